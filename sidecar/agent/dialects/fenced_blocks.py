"""What is inside of a block, read and written: header lines, text, and the markers between two texts. (pure)

A block is a fence with the tool's name, header lines `argument: value`, an empty line, and then text as it is. Text
below header lines is whole lines, each with its newline; text alone, such as a command, has none at its end. Two texts,
an old one and a new one, are divided by markers as in a merge conflict. A value in double quotes is a JSON string. The
header `unended` names texts whose last line has no newline.

Nothing inside of a text is escaped. So where a marker inside could as well be the block's own, nothing is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.agent.repair.found import Found
from sidecar.agent.talk import Call, ToolSpec

UNENDED = "unended"
_HEADER = re.compile(r"(?P<key>[A-Za-z_][\w-]{0,40}):(?:[ \t](?P<value>.*)|\r?)")
_SEARCH = re.compile(r"(?P<marks><{5,})[ \t]*SEARCH[ \t]*\r?")
_ONCE_EACH = (
    "the markers <<<<<<< SEARCH, ======= and >>>>>>> REPLACE must each stand once, on a line of their own; "
    "if the text itself has such a line, make all three markers longer"
)
_PLAIN_VALUE = re.compile(r"[^\s\"'`](?:.*\S)?")


@dataclass
class Block:
    """One fence: what its first line says, and its lines. `end` is the index of its closing line."""

    spec: ToolSpec
    rest: str
    repair: str
    begin: int
    end: int
    lines: list[str] = field(default_factory=list)
    broken: str = ""


def calls_of(block: Block) -> list[Found]:
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


def _parts(block: Block) -> tuple[dict[str, Any], list[str]]:
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


def _on_the_fence(block: Block) -> dict[str, Any]:
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


def _filled(block: Block, headers: dict[str, Any], body: list[str]) -> Iterator[dict[str, Any]]:
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
        closers = _marked(re.compile(rf">{{{width}}}[ \t]*REPLACE[ \t]*\r?"), body, at + 1, len(body))
        end = next(closers, None)
        dividers = list(_marked(re.compile(rf"={{{width}}}[ \t]*\r?"), body, at + 1, end or at + 1))
        if end is None or len(dividers) != 1:
            raise _Unclear(_ONCE_EACH)
        divider = dividers[0]
        if any(_SEARCH.fullmatch(line) and line.count("<") >= width for line in body[at + 1 : end]):
            raise _Unclear("a SEARCH marker stands inside of another")
        yield list(body[at + 1 : divider]), list(body[divider + 1 : end])
        at = end + 1


def _marked(marker: re.Pattern[str], lines: Sequence[str], first: int, last: int) -> Iterator[int]:
    """The indexes of the lines from `first` on, and before `last`, that are the marker."""
    return (index for index in range(first, last) if marker.fullmatch(lines[index]))


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
