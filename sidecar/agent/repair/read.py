"""Find the calls in what a model wrote. One pass from left to right, so that what is inside of a call, of a code sample
or of a thought is never looked at as if it stood for itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sidecar.agent.repair import marks, markup, pythonic
from sidecar.agent.repair.ahead import Ahead, Runs
from sidecar.agent.repair.found import Found, once_each
from sidecar.agent.repair.loose_json import Loose, Unreadable, read_value
from sidecar.agent.repair.prose import hedged_after, hedged_before, quoted_before
from sidecar.agent.repair.shapes import calls_in
from sidecar.agent.talk import ToolSpec

NOT_CLEAR = "it is not clear whether you want this done or only speak of it; if you want it, make the call by itself"
_TOLD_APART = "your thoughts hold more than one call; make the one that you mean in your answer"

_MOST_UNREAD = 100
MOST_FOUND = 100
"""Calls in one text: the first few are carried out, and to weigh thousands would take as many looks at the text."""
TOO_MANY = f"you made more than {MOST_FOUND} calls in one answer; make the first few, and look at what comes of them"
_MOST_PYTHON = 500_000
"""Characters of a text that are read as Python, all tries together."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a text holds: calls, thoughts that stood inside of it, and whether there were any words beside them."""

    found: tuple[Found, ...] = ()
    thoughts: str = ""
    words: bool = False


def listen(text: str, tools: Sequence[ToolSpec]) -> Heard:
    """Find the calls in an answer. What is quoted as code is left alone; what is doubtful or broken is marked so."""
    scan = _Scan(text, tools)
    scan.run()
    return Heard(
        found=tuple(once_each(_weighed(text, scan.found, sorted(scan.quoted)))),
        thoughts="\n".join(scan.thoughts),
        words=scan.words(),
    )


def overhear(thoughts: str, tools: Sequence[ToolSpec]) -> list[Found]:
    """The calls with which thoughts end: a model that puts its call there says nothing after it.

    What stands in the middle of thoughts is deliberation. Of several calls at the end, all are in doubt.
    """
    scan = _Scan(re.sub(r"</?(?:think|thinking|thought|reasoning)>", "", thoughts), tools)
    scan.run()
    found = once_each(_weighed(scan.text, scan.found, sorted(scan.quoted)))
    if not found or scan.text[found[-1].end :].strip():
        return []
    return found if len(found) == 1 else [replace(one, doubt=one.doubt or _TOLD_APART) for one in found]


def _weighed(text: str, found: Sequence[Found], quoted: Sequence[tuple[int, int]]) -> list[Found]:
    """The words before and after each call say whether it is meant."""
    weighed = []
    for index, one in enumerate(found):
        start = found[index - 1].end if index else 0
        end = found[index + 1].start if index + 1 < len(found) else len(text)
        before = _without(text, start, one.start, quoted)
        after = _without(text, one.end, end, quoted)
        line = text[text.rfind("\n", 0, one.start) + 1 : one.start]
        embedded = bool(line.strip()) and bool(re.match(r"[ \t]*[^\s<\[]", after))
        if hedged_before(before) or embedded or line.lstrip().startswith(">"):
            one = replace(one, broken=one.broken or NOT_CLEAR)  # noqa: PLW2901  it is weighed, then kept
        elif (
            line.startswith(("    ", "\t"))
            or hedged_after(after)
            or quoted_before(before)
            or before.rpartition("\n\n")[2].count("`") % 2
        ):
            one = replace(one, doubt=one.doubt or NOT_CLEAR)  # noqa: PLW2901
        weighed.append(one)
    return weighed


def _without(text: str, start: int, end: int, quoted: Sequence[tuple[int, int]]) -> str:
    """The words between two places, thoughts and comments left out."""
    kept, at = [], start
    for first, last in quoted[bisect_left(quoted, (start, 0)) : bisect_left(quoted, (end, 0))]:
        kept.append(text[at:first])
        at = max(at, min(end, last))
    return "".join([*kept, text[at:end]])


class _Scan:
    """One pass over a text."""

    def __init__(self, text: str, tools: Sequence[ToolSpec]) -> None:
        self.text = text
        self.tools = tools
        self.found: list[Found] = []
        self.thoughts: list[str] = []
        self.quoted: list[tuple[int, int]] = []
        self._from = 0
        self._over = False
        self._unread = 0
        self._mentions = 0
        self._python_left = _MOST_PYTHON
        self._backticks = Runs(marks.TICKS, text)
        self._lines_with_calls = Ahead(marks.CALL_ON_A_LINE, text)
        self._paragraphs = Ahead(marks.PARAGRAPH, text)

    def run(self) -> None:
        """Go through the whole text, or until there are too many calls in it for anybody to have meant them."""
        at = 0
        while not self._over and (event := marks.EVENT.search(self.text, at)):
            at = max(event.start() + 1, self._steps[self._kind(event)](self, event))
            if len(self.found) > MOST_FOUND:
                self.found = [Found(name=self.found[0].name, end=len(self.text), broken=TOO_MANY)]
                self._over = True
        if not self.found and not self._over:
            self._whole()

    def words(self) -> bool:
        """Whether something was said beside calls and thoughts."""
        rest, at = [], self._from
        for start, end in sorted([*self.quoted, *((one.start, one.end) for one in self.found)]):
            rest.append(self.text[at:start])
            at = max(at, end)
        return bool(re.sub(r"<[^<>\n]{1,40}>", "", "".join([*rest, self.text[at:]])).strip())

    @staticmethod
    def _kind(event: re.Match[str]) -> str:
        return next(name for name in _Scan._steps if event[name] is not None)

    def _keep(self, *found: Found) -> int:
        self.found += found
        return found[-1].end

    # --- what is not said ---------------------------------------------------------------------------------------------

    def _fence(self, event: re.Match[str]) -> int:
        ticks = event["ticks"]
        closing = re.compile(rf"^[ ]{{0,3}}{ticks[0]}{{{len(ticks)},}}[ \t]*$", re.MULTILINE)
        end = closing.search(self.text, event.end())
        language = event["info"].strip().lower()
        if language in marks.CALLS_FENCED or not language:
            taken = self._fenced(event, closing, language)
            if taken:
                return taken
        return end.end() if end else len(self.text)

    def _fenced(self, event: re.Match[str], closing: re.Pattern[str], language: str) -> int:
        """Calls that fill a whole fence; 0 when what is in it is something else."""
        found, at = self._values(
            event.end(), marked=language not in {"", "json", "jsonc", "json5"}, begin=event.start()
        )
        if not found and language in marks.PYTHON_FENCED:
            found, at = self._python(event.end(), event.start())
        ended = closing.match(self.text, _after(marks.EMPTY_LINES, self.text, at)) if found else None
        if not found or not (ended or not self.text[at:].strip() or found[-1].broken):
            return 0
        found[-1] = replace(found[-1], end=ended.end() if ended else max(at, found[-1].end))
        return self._keep(*found)

    def _code(self, event: re.Match[str]) -> int:
        """Between backticks, within a paragraph, is code."""
        long, start = len(event["code"]), event.end()
        end = self._backticks.next(long, start)
        if end is None or self._paragraphs.ends(start) <= end or self._lines_with_calls.ends(start) <= end:
            return start
        return end + long

    def _comment(self, event: re.Match[str]) -> int:
        return self._skip(event, "-->")

    def _skip(self, event: re.Match[str], closer: str) -> int:
        end = self.text.find(closer, event.end())
        stop = len(self.text) if end < 0 else end + len(closer)
        self.quoted.append((event.start(), stop))
        return stop

    def _think(self, event: re.Match[str]) -> int:
        stop = self._skip(event, event["think"].replace("<", "</"))
        self.thoughts.append(self.text[event.end() : stop])
        return stop

    def _unthink(self, event: re.Match[str]) -> int:
        """All that came before was a thought, though nothing had said so."""
        self.thoughts.append(self.text[self._from : event.start()])
        self.quoted.append((self._from, event.end()))
        self.found.clear()
        self._from = event.end()
        return event.end()

    def _analysis(self, event: re.Match[str]) -> int:
        end = re.compile(r"<\|(?:end|start|channel|return)\|>").search(self.text, event.end())
        stop = end.start() if end else len(self.text)
        self.thoughts.append(self.text[event.end() : stop])
        self.quoted.append((event.start(), stop))
        return stop

    def _response(self, event: re.Match[str]) -> int:
        """From here on the model imagines what its calls brought."""
        if not self.found:
            return event.end()
        self._over = True
        doubt = "you wrote what came of it yourself; end your answer after the call"
        self.found = [replace(one, doubt=one.doubt or doubt) for one in self.found]
        return len(self.text)

    def _stray(self, event: re.Match[str]) -> int:
        """A closing tag that closes nothing: the call before it may have ended too early."""
        if self.found:
            last = self.found[-1]
            self.found[-1] = replace(last, doubt=last.doubt or f"it is not clear where it ends ({event['stray']})")
        return event.end()

    # --- calls --------------------------------------------------------------------------------------------------------

    def _keyed(self, event: re.Match[str]) -> int:
        opener = markup.KEYED.match(self.text, event.start())
        return self._keep(markup.keyed(self.text, opener)) if opener else event.end()

    def _function(self, event: re.Match[str]) -> int:
        opener = markup.FUNCTION.match(self.text, event.start())
        if opener is None:
            return event.end()
        found = markup.function(self.text, opener)
        return self._keep(found)

    def _element(self, event: re.Match[str]) -> int:
        opener = markup.ELEMENT.match(self.text, event.start())
        found = markup.element(self.text, opener, self.tools) if opener else None
        return self._keep(found) if found else event.start() + event[0].index("<")

    def _named(self, event: re.Match[str]) -> int:
        """A name, and after it the arguments as JSON."""
        start = event.start() - (self._before_to(event) if event["harmony"] else 0)
        name = next(event[form] for form in ("harmony", "mistral", "kimi", "deepseek", "bare", "react") if event[form])
        try:
            loose = read_value(self.text, event.end())
        except Unreadable as problem:
            broken = f"the JSON of the arguments is not valid: {problem}"
            return self._keep(Found(name=name, start=start, end=len(self.text), broken=broken))
        end, doubt = self._ended(loose)
        repairs = frozenset({"json"} if loose.repaired else ())
        return self._keep(Found(name=name, arguments=loose.value, start=start, end=end, doubt=doubt, repairs=repairs))

    def _before_to(self, event: re.Match[str]) -> int:
        """How many characters before `to=` belong to the call."""
        found = marks.BEFORE_TO.search(self.text[max(0, event.start() - 60) : event.start()])
        return len(found[0]) if found else 0

    def _marked(self, event: re.Match[str]) -> int:
        """After a mark that says so, there is a call; unless the words only mention the mark."""
        at = event.end()
        inside = re.compile(r"\s*(?:```\w*\s*)?").match(self.text, at)
        at = inside.end() if inside else at
        if self.text[at : at + 1] in {"{", "["}:
            found, end = self._values(at, marked=True, begin=event.start())
            if found:
                return self._keep(*found)
        found, end = self._python(at, event.start())
        if found:
            rest = self._line_from(end).strip()
            doubt = "something follows the call" if rest and not rest.startswith(("<", "[/")) else ""
            found[-1] = replace(found[-1], end=self._after_mark(end), doubt=doubt)
            return self._keep(*found)
        return self._mentioned(event, at)

    def _mentioned(self, event: re.Match[str], at: int) -> int:
        """Another event may follow the mark; nothing, or a body that cannot be read, is a broken call."""
        following = marks.EVENT.match(self.text, at)
        if following and following["stray"] is None and following["code"] is None and following["json"] is None:
            return event.end()
        self._mentions += 1
        if self._mentions > _MOST_UNREAD:  # of so many marks that are only spoken of, the next is as well
            return event.end()
        closing = "</" + event["marked"][1:]
        end = self.text.find(closing, at)
        if self._is_mention(event, self.text[at : None if end < 0 else end], closed=end >= 0):
            return event.end()
        end = len(self.text) if end < 0 else end + len(closing)
        broken = f"what follows {event['marked']} cannot be read as a call"
        return self._keep(Found(name="", start=event.start(), end=end, broken=broken))

    def _is_mention(self, event: re.Match[str], body: str, *, closed: bool) -> bool:
        """Whether words go on after the mark as if it were one of them."""
        if not body.strip() or body[:1] in {"{", "["}:
            return False
        if event["marked"].startswith(("<|", "[")):
            return bool(self.text[self.text.rfind("\n", 0, event.start()) + 1 : event.start()].strip())
        return not (closed and "{" in body)

    def _json(self, event: re.Match[str]) -> int:
        """A value at the beginning of a line that is a call, with nothing behind it on its last line."""
        if self._unread > _MOST_UNREAD:  # of so many lines that look like values and are none, the next is none either
            return event.end()
        self._unread += 1
        if self.text[event.end()] == "[" and pythonic.looks_so(self.text, event.end(), self.tools):
            found, end = self._python(event.end(), event.start())
        else:
            found, end = self._values(event.end(), marked=False, begin=event.start())
        if not found:
            return max(end, event.end())
        line = self._line_from(end).strip().rstrip(";,]}")
        if line and not line.startswith(("<", "[/")):
            return max(end, event.end())
        found[-1] = replace(found[-1], end=self._after_mark(end))
        return self._keep(*found)

    def _values(self, at: int, *, marked: bool, begin: int) -> tuple[list[Found], int]:
        """The calls in the JSON values from `at` on, one after the other, and where they end."""
        found: list[Found] = []
        while True:
            at = _after(marks.BETWEEN, self.text, at)
            if self.text[at : at + 1] not in {"{", "["}:
                return found, at
            try:
                loose = read_value(self.text, at)
            except Unreadable as problem:
                if not marked and not marks.LOOKS_LIKE_CALL.match(self.text, at):
                    return found, at
                broken = f"the JSON is not valid: {problem}"
                return [*found, Found(start=begin, end=len(self.text), broken=broken)], len(self.text)
            shapes = calls_in(loose.value, self.tools, marked=marked)
            if not shapes:
                return found, (at if found else loose.end)
            end, doubt = self._ended(loose) if marked else (loose.end, loose.doubt or _cut(loose))
            repairs = frozenset({"json"} if loose.repaired else ())
            for shape in shapes:
                why = doubt or shape.doubt
                found.append(
                    Found(name=shape.name, arguments=shape.arguments, start=begin, end=end, doubt=why, repairs=repairs)
                )
            begin = at = end

    def _ended(self, loose: Loose) -> tuple[int, str]:
        """Where a marked call is over, and what speaks against taking it: a missing tail, or too much behind it."""
        end = self._after_mark(loose.end)
        doubt = loose.doubt or _cut(loose)
        rest = _after(marks.SPACE, self.text, end)
        if not doubt and end == loose.end and not self.text.startswith(marks.GOES_ON, rest) and rest < len(self.text):
            mark = marks.CALL_ENDS_OR_BEGINS.search(self.text, end)
            if (mark and mark["ends"]) or self._line_from(end).strip().strip("]}"):
                doubt = "something follows the JSON"
        return end, doubt

    def _line_from(self, at: int) -> str:
        """The rest of the line."""
        end = self.text.find("\n", at)
        return self.text[at : end if end >= 0 else len(self.text)]

    def _after_mark(self, at: int) -> int:
        while found := marks.MARK_ENDS.match(self.text, at):
            at = found.end()
        return at

    def _python(self, at: int, begin: int) -> tuple[list[Found], int]:
        if not pythonic.looks_so(self.text, at, self.tools):
            return [], at
        most = min(self._python_left, pythonic.LONGEST)
        read = pythonic.read_calls(self.text, at, self.tools, most=most)
        if read is None:
            self._python_left -= most
            return [], at
        calls, end = read
        self._python_left -= end - at
        return [Found(name=name, arguments=arguments, start=begin, end=end) for name, arguments in calls], end

    def _whole(self) -> None:
        """An answer that is nothing but a call in Python."""
        start = self._from
        found, end = self._python(start, start)
        if found and not self.text[end:].strip():
            self.found = found

    _steps: dict[str, Callable[[_Scan, re.Match[str]], int]] = {
        "fence": _fence,
        "comment": _comment,
        "think": _think,
        "unthink": _unthink,
        "analysis": _analysis,
        "keyed": _keyed,
        "function": _function,
        "named": _named,
        "marked": _marked,
        "response": _response,
        "stray": _stray,
        "element": _element,
        "json": _json,
        "code": _code,
    }


def _cut(loose: Loose) -> str:
    return "the JSON breaks off before its end" if loose.cut else ""


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    """Where `pattern` is over, if it stands at `at`."""
    found = pattern.match(text, at)
    return found.end() if found else at
