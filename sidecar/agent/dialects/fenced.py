"""Calls as fenced blocks of text, for models that are bad at JSON, or at putting code into it.

A block is a fence with the tool's name, header lines `argument: value`, an empty line, and then text as it is. Text
below header lines is whole lines, each with its newline; text alone, such as a command, has none at its end. Two texts,
an old one and a new one, are divided by markers as in a merge conflict. A value in double quotes is a JSON string. The
header `unended` names texts whose last line has no newline.

Nothing inside of a text is escaped. So where a fence or a marker inside could as well be the block's own, nothing is
read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sidecar.agent.dialects.base import Reading
from sidecar.agent.dialects.ladder import climb, from_thinking
from sidecar.agent.repair.found import Found, Settled, settle
from sidecar.agent.repair.names import near, plainly
from sidecar.agent.repair.prose import hedged_after, hedged_before, quoted_before
from sidecar.agent.repair.read import NOT_CLEAR, listen
from sidecar.agent.talk import Call, Observed, Reply, Said, Told, ToolSpec, Turn

UNENDED = "unended"
_FENCE = re.compile(r"(?P<marks>`{3,}|~{3,})[ \t]*(?P<info>[^`\r\n]*)\r?")
_INDENTED = re.compile(r"[ \t>]+(?:`{3,}|~{3,})[ \t]*(?P<info>\w+)")
_HEADER = re.compile(r"(?P<key>[A-Za-z_][\w-]{0,40}):(?:[ \t](?P<value>.*)|\r?)")
_SEARCH = re.compile(r"(?P<marks><{5,})[ \t]*SEARCH[ \t]*\r?")
_PLAIN_VALUE = re.compile(r"[^\s\"'`](?:.*\S)?")
_THINK = re.compile(r"\s*<think(?:ing)?>")
_UNTHINK = re.compile(r".*</think(?:ing)?>.*")
_TWO_FORMS = "there are blocks and calls of another form; write blocks only"
_IMAGINED = "you wrote results yourself; end your answer after the blocks, the results come to you"
_APART = "your thoughts hold more than one call; make the one that you mean in your answer"
_LONGER = "open and close the block with a longer fence than any inside of it"

_INSTRUCTIONS = """\
Call a tool by writing a fenced block: the fence with the tool's name, `argument: value` lines, an empty line, then \
text as it is, unescaped. Blocks are carried out in order; then stop, and the results come back to you. Only such \
blocks do anything. An answer without a block ends your work.

{tools}

```read_file
path: src/app.py
start: 1
```
````write_file
path: src/new.py

whole content of the file
````
```edit_file
path: src/app.py

<<<<<<< SEARCH
lines as they are in the file
=======
lines to put in their place
>>>>>>> REPLACE
```
```run_command
python -m pytest -q
```
If text holds a line of backticks, open and close its block with more of them."""


class Fenced:
    """No tools in the request; blocks in the words."""

    name = "fenced"

    def specs(self, tools: Sequence[ToolSpec]) -> Sequence[ToolSpec]:
        """None: the system text tells of them."""
        return ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """The form of a block, the tools, and one block of each kind."""
        return _INSTRUCTIONS.format(tools="\n".join(_told(tool) for tool in tools))

    def render(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Everything in words: calls as blocks, and the results of one answer's calls in one turn."""
        rendered: list[Turn] = []
        for turn in turns:
            last = rendered[-1] if rendered else None
            if isinstance(turn, Observed) and isinstance(last, Told) and last.text.startswith(_RESULT):
                rendered[-1] = Told(text=f"{last.text}\n{_result(turn)}")
            else:
                rendered.append(_put(turn))
        return rendered

    def read(self, reply: Reply, tools: Sequence[ToolSpec]) -> Reading:
        """The blocks; failing these, calls in any other form that has one meaning."""
        settled = _settled(reply, tools)
        if settled is None:
            return Reading()
        if settled.wrong:
            return Reading(complaint=_complaint(settled.wrong, settled.spec or tools[0]) if tools else settled.wrong)
        return Reading(calls=settled.calls, repairs=settled.repairs)


def _settled(reply: Reply, tools: Sequence[ToolSpec]) -> Settled | None:
    found = [] if reply.calls else _blocks(reply.text, tools)
    settled = settle(found, tools, cut=reply.stop == "length") if found else climb(reply, tools)
    if settled or reply.text.strip():
        return settled
    thought = _blocks(reply.thinking, tools, at_the_end=True)
    return from_thinking(settle(thought, tools, cut=reply.stop == "length")) if thought else None


def _told(tool: ToolSpec) -> str:
    optional = [name for name in tool.parameters.get("properties", {}) if name not in tool.required]
    arguments = ", ".join([*tool.required, *(f"[{name}]" for name in optional)])
    return f"- {tool.name}: {arguments}. {tool.description}"


def _complaint(wrong: str, spec: ToolSpec) -> str:
    texts = [name for name in spec.required if spec.parameters["properties"][name].get("type") == "string"]
    example = render_call(Call(name=spec.name, arguments=_sample(spec, texts)))
    return f"Nothing was carried out: {wrong}.\nA correct block looks like this:\n{example}"


def _sample(spec: ToolSpec, texts: Sequence[str]) -> dict[str, Any]:
    """Inert values; what changes something has its last texts as lines, as they are written in a body."""
    sample: dict[str, Any] = {name: f"<{name}>" if name in texts else 1 for name in spec.required}
    lines = texts[1:] if spec.changes else []
    return {**sample, **{name: f"<{name}>\n" for name in lines}}


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass
class _Block:
    """One fence: what its first line says, and its lines. `end` is the index of its closing line."""

    spec: ToolSpec
    rest: str
    repair: str
    begin: int
    end: int
    lines: list[str] = field(default_factory=list)
    broken: str = ""


def _blocks(text: str, tools: Sequence[ToolSpec], *, at_the_end: bool = False) -> list[Found]:
    """The calls in a text's blocks. `at_the_end`: only those that the text ends with, for the rest is deliberation."""
    scan = _Scan(text.split("\n"), tools)
    scan.run()
    found = [one for index in range(len(scan.blocks)) for one in scan.weighed(index)]
    if scan.imagined:
        return [Found(name=found[0].name, broken=_IMAGINED)]
    others = listen(text, tools).found
    if at_the_end:
        stray = _APART if len(scan.blocks) > 1 else ""
        found = [] if found and "".join(scan.lines[scan.blocks[-1].end + 1 :]).strip() else found
    else:
        stray = scan.stray or (_TWO_FORMS if others else "")
    if stray and not found:
        return [] if others else [Found(broken=stray)]
    return [replace(one, doubt=one.doubt or stray) for one in found]


class _Scan:
    """One pass over lines: the blocks that are calls, and what about the fences around them is not sure."""

    def __init__(self, lines: Sequence[str], tools: Sequence[ToolSpec]) -> None:
        self.lines = lines
        self.tools = tools
        self.blocks: list[_Block] = []
        self.stray = ""
        self.imagined = False
        self._from = 0

    def run(self) -> None:
        """Go through all lines."""
        at = 0
        while at < len(self.lines):
            opener = _FENCE.fullmatch(self.lines[at])
            at = self._words(at) if opener is None else self._fence(opener, at)

    def weighed(self, index: int) -> Iterator[Found]:
        """The calls of one block; the words before and after it say whether they are meant."""
        block = self.blocks[index]
        start = max(self._from, self.blocks[index - 1].end + 1 if index else 0)
        end = self.blocks[index + 1].begin if index + 1 < len(self.blocks) else len(self.lines)
        before, after = self.lines[start : block.begin], self.lines[block.end + 1 : end]
        words = "\n".join(before)
        hedged, doubtful = hedged_before(words), quoted_before(words) or hedged_after("\n".join(after))
        for one in _calls(block):
            if hedged:
                yield replace(one, broken=one.broken or NOT_CLEAR)
            else:
                yield replace(one, doubt=one.doubt or NOT_CLEAR) if doubtful else one

    def _words(self, at: int) -> int:
        line = self.lines[at]
        if line.startswith(_RESULT) and self.blocks:
            self.imagined = True
        indented = _INDENTED.match(line)
        if indented and plainly(indented["info"], self.tools):
            self.stray = "a block must begin at the beginning of its line"
        if _THINK.match(line):
            lines = range(at, len(self.lines))
            self._from = next((index for index in lines if _UNTHINK.match(self.lines[index])), len(self.lines)) + 1
            return self._from
        if _UNTHINK.match(line):  # all that came before was a thought
            self.blocks.clear()
            self.stray, self._from = "", at + 1
        return at + 1

    def _fence(self, opener: re.Match[str], at: int) -> int:
        block = _block(opener, self.lines, at, self.tools)
        if isinstance(block, _Block):
            self.blocks.append(block)
            return block.end + 1
        trouble = _trouble(opener, closed=block < len(self.lines), after=bool(self.blocks))
        self.stray = self.stray or trouble or _hidden(opener, self.lines[at + 1 : block], self.tools)
        return block + 1


def _trouble(opener: re.Match[str], *, closed: bool, after: bool) -> str:
    """A fence that is no call, but comes after one, may have been part of a text that seemed to be over."""
    if after and not opener["info"].strip():
        return f"it is not clear which fence closes which block; {_LONGER}"
    return f"a fence is not closed; {_LONGER}" if after and not closed else ""


def _hidden(opener: re.Match[str], lines: Sequence[str], tools: Sequence[ToolSpec]) -> str:
    """A fence of the same length inside of a code sample cannot be of the sample: a call may have been meant."""
    inner = (_FENCE.fullmatch(line) for line in lines)
    if any(one and one["marks"] == opener["marks"] and plainly(_first(one["info"]), tools) for one in inner):
        return f"a block stands inside of another fence; {_LONGER}"
    return ""


def _first(info: str) -> str:
    return info.strip().partition(" ")[0]


def _block(opener: re.Match[str], lines: Sequence[str], at: int, tools: Sequence[ToolSpec]) -> _Block | int:
    """The block that begins at line `at`; for a fence that is no call, the index of the line that closes it."""
    word, _, rest = opener["info"].strip().partition(" ")
    spec = near(word, tools) if "_" in word else plainly(word, tools)
    end, broken = _closing(opener["marks"], lines, at + 1, strict=spec is not None)
    if spec is None:
        return end
    return _Block(
        spec=spec,
        rest=rest.strip(),
        repair="" if word == spec.name else "name",
        begin=at,
        end=end,
        lines=list(lines[at + 1 : end]),
        broken=broken,
    )


def _closing(marks: str, lines: Sequence[str], at: int, *, strict: bool) -> tuple[int, str]:
    """Where the fence is closed. `strict`: any other fence of its length or more on the way makes that doubtful."""
    doubt = ""
    for index in range(at, len(lines)):
        fence = _FENCE.fullmatch(lines[index])
        if fence is None or fence["marks"][0] != marks[0] or len(fence["marks"]) < len(marks):
            continue
        if not fence["info"].strip() and (fence["marks"] == marks or not strict):
            return index, doubt
        doubt = doubt or f"there is a fence inside of the block; {_LONGER}"
    return len(lines), doubt or "the block is not closed"


def _calls(block: _Block) -> list[Found]:
    """Usually one; several search and replace pairs make a call each."""
    try:
        made = list(_filled(block, *_parts(block)))
    except _Unclear as unclear:
        broken = block.broken or str(unclear)
        return [Found(name=block.spec.name, broken=f"{block.spec.name}: {broken}")]
    repairs = frozenset({block.repair} if block.repair else ())
    return [
        Found(name=block.spec.name, arguments=arguments, doubt=block.broken, repairs=repairs, literal=True)
        for arguments in made
    ]


class _Unclear(Exception):
    """A block that cannot be read; the message says why."""


def _parts(block: _Block) -> tuple[dict[str, Any], list[str]]:
    """Header values by their key, and the lines of the body."""
    headers: dict[str, Any] = {}
    lines = list(block.lines)
    if block.rest:
        headers.update(_on_the_fence(block))
    properties = block.spec.parameters.get("properties", {})
    while lines:
        line = lines.pop(0)
        if not line.strip():
            break
        found = _HEADER.fullmatch(line)
        if found is None:
            lines.insert(0, line)
            break
        key = _key(found["key"], properties)
        if not key:
            raise _Unclear(
                f"there is no argument “{found['key']}”; leave an empty line before text, after the header lines"
            )
        if key in headers:
            raise _Unclear(f"“{key}” is given twice")
        headers[key] = _value(found["value"] or "", properties.get(key, {}))
    return headers, lines


def _on_the_fence(block: _Block) -> dict[str, Any]:
    """Some put the first argument beside the name."""
    found = _HEADER.fullmatch(block.rest)
    properties = block.spec.parameters.get("properties", {})
    if found and (key := _key(found["key"], properties)):
        return {key: _value(found["value"] or "", properties.get(key, {}))}
    first = block.spec.required[0] if block.spec.required else ""
    if first and len(block.rest.split()) == 1 and "=" not in block.rest:
        return {first: _value(block.rest, properties.get(first, {}))}
    raise _Unclear("only the tool's name belongs on the line of the fence")


def _key(given: str, properties: Mapping[str, Any]) -> str:
    folded = given.lower().replace("-", "_")
    return folded if folded in properties or folded == UNENDED else ""


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    """A header's value: as it stands, or a JSON string, or in quotes that nobody means; JSON if it is to be no text."""
    text = text.strip()
    if schema.get("type", "string") != "string" or (len(text) > 1 and text[0] == text[-1] == '"'):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    if len(text) > 2 and text[0] == text[-1] and text[0] in "'`" and text[0] not in text[1:-1]:
        return text[1:-1]
    return text


def _filled(block: _Block, headers: dict[str, Any], body: list[str]) -> Iterator[dict[str, Any]]:
    """Put the body where arguments are missing."""
    unended = [name.strip() for name in str(headers.pop(UNENDED, "")).split(",")]
    missing = [name for name in block.spec.required if name not in headers] or _left_out(block.spec, headers)
    if not "".join(body).strip():
        yield headers
        return
    pairs = list(_pairs(body)) if len(missing) == 2 else []
    if pairs:
        for texts in pairs:
            named = zip(missing, texts, strict=True)
            yield {**headers, **{name: _lines(text, name in unended) for name, text in named}}
    elif len(missing) == 1:
        alone = not headers
        yield {**headers, missing[0]: _lines(body, alone or missing[0] in unended)}
    elif len(missing) == 0:
        raise _Unclear("there is text below the header lines that belongs to no argument")
    else:
        raise _Unclear(_expected(missing))


def _left_out(spec: ToolSpec, headers: Mapping[str, Any]) -> list[str]:
    """The optional text that the body of a tool that only reads must be."""
    properties = spec.parameters.get("properties", {})
    texts = [name for name, schema in properties.items() if schema.get("type") == "string" and name not in headers]
    return texts if len(texts) == 1 and not spec.changes else []


def _expected(missing: Sequence[str]) -> str:
    if len(missing) == 2:
        return (
            f"“{missing[0]}” and “{missing[1]}” are missing; write them between <<<<<<< SEARCH, ======= and "
            ">>>>>>> REPLACE, each marker once and on a line of its own"
        )
    return " and ".join(f"“{name}”" for name in missing) + " are missing"


def _lines(lines: Sequence[str], unended: bool) -> str:
    return "\n".join(lines) + ("\n" if lines and not unended else "")


def _pairs(body: Sequence[str]) -> Iterator[tuple[list[str], list[str]]]:
    """The old and the new text of each search and replace; a marker too many, and nothing is sure."""
    at = 0
    while at < len(body):
        if not body[at].strip():
            at += 1
            continue
        opener = _SEARCH.fullmatch(body[at])
        if opener is None:
            raise _Unclear("text stands outside of the SEARCH and REPLACE markers")
        width = len(opener["marks"])
        end = _only(re.compile(rf">{{{width}}}[ \t]*REPLACE[ \t]*\r?"), body, at, first=True)
        divider = _only(re.compile(rf"={{{width}}}[ \t]*\r?"), body[:end], at)
        if any(_SEARCH.fullmatch(line) and line.count("<") >= width for line in body[at + 1 : end]):
            raise _Unclear("a SEARCH marker stands inside of another")
        yield list(body[at + 1 : divider]), list(body[divider + 1 : end])
        at = end + 1


def _only(marker: re.Pattern[str], lines: Sequence[str], at: int, *, first: bool = False) -> int:
    """The index of the one line that is the marker."""
    places = [index for index in range(at + 1, len(lines)) if marker.fullmatch(lines[index])]
    if not places or (len(places) > 1 and not first):
        raise _Unclear(
            "the markers <<<<<<< SEARCH, ======= and >>>>>>> REPLACE must each stand once, on a line of their own; "
            "if the text itself has such a line, make all three markers longer"
        )
    return places[0]


# --- writing ----------------------------------------------------------------------------------------------------------

_RESULT = "Result of "


def _put(turn: Turn) -> Turn:
    match turn:
        case Observed():
            return Told(text=_result(turn))
        case Said(reply=reply, calls=calls):
            made = not reply.calls or not calls
            text = reply.text if made and reply.text.strip() else _with_blocks(reply.text, turn)
            return Said(reply=Reply(text=text, stop=reply.stop))
        case _:
            return turn


def _result(turn: Observed) -> str:
    return f"{_RESULT}{turn.call.name}: {turn.text}"


def _with_blocks(text: str, turn: Said) -> str:
    refused = [f"[not carried out: a call of {call.name}]" for call in turn.reply.calls if not turn.calls]
    return "\n".join(filter(None, [text.strip(), *refused, *map(render_call, turn.calls)]))


def render_call(call: Call) -> str:
    """A call as a block that reads back as exactly this call."""
    values = dict(call.arguments)
    lines = [name for name, value in values.items() if _is_lines(value)]
    strings = [name for name, value in values.items() if isinstance(value, str)]
    if len(values) > 2 and lines and strings[-2:] == list(values)[-2:] and set(lines) <= set(strings[-2:]):
        lines = strings[-2:]
    else:
        lines = lines[-1:]
    headers = [f"{name}: {_header(value)}" for name, value in values.items() if name not in lines]
    if headers and (open_ones := [name for name in lines if values[name] and not values[name].endswith("\n")]):
        headers.append(f"{UNENDED}: {', '.join(open_ones)}")
    body = _body([values[name] for name in lines], alone=not headers)
    longest = max(map(len, re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{call.name}", *headers, *([body] if lines else []), fence])


def _is_lines(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value and bool(value.strip())


def _header(value: Any) -> str:
    if isinstance(value, str) and _PLAIN_VALUE.fullmatch(value) and "\r" not in value:
        return value
    return json.dumps(value)


def _body(texts: Sequence[str], *, alone: bool) -> str:
    """The text with the empty line that divides it from header lines, or that keeps it from looking like one."""
    if len(texts) == 2:
        old, new = (text.removesuffix("\n") + "\n" if text else "" for text in texts)
        width = max([6, *map(len, re.findall(r"[<=>]{5,}", old + new))]) + 1
        return f"\n{'<' * width} SEARCH\n{old}{'=' * width}\n{new}{'>' * width} REPLACE"
    if not texts:
        return ""
    if not alone:
        return "\n" + texts[0].removesuffix("\n")
    first = texts[0].split("\n")[0]
    return "\n" + texts[0] if not first.strip() or _HEADER.fullmatch(first) else texts[0]
