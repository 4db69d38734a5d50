"""Calls written as elements: `<function=…><parameter=…>`, `<invoke name="…">`, `<read_file><path>`, `<arg_key>`.

None of this is XML: what is inside of an argument is the text itself, with its `&` and `<`. So the end of an argument
is not simply the next closing tag: it is the one after which the call goes on or ends, preferably on a line of its own.
Where a closing tag inside could be the end as well, the reading is in doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sidecar.agent.repair.found import Found
from sidecar.agent.repair.loose_json import Unreadable, read_value
from sidecar.agent.repair.names import plainly
from sidecar.agent.talk import ToolSpec

FUNCTION = re.compile(
    r"<(?P<tag>function|invoke|tool|function_call|tool_call)(?:=|\s++name\s*+=\s*+)"
    r"(?P<quote>[\"']?)(?P<name>[^<>\n\"']{1,80})(?P=quote)\s*+>"
)
KEYED = re.compile(r"<tool_call>\s*(?P<name>[\w.\-:]{1,80})\s*(?=<arg_key>)")
ELEMENT = re.compile(r"^[ \t]*<(?P<name>[a-zA-Z][\w-]{2,60})>[ \t]*(?=\r?\n|<)", re.MULTILINE)

_NAMED = re.compile(
    r"<(?P<tag>parameter|param|argument|arg)(?:=|\s++name\s*+=\s*+)[\"']?(?P<name>[^<>\n\"']{1,60})[\"']?[^<>\n]*+>"
)
_CHILD = re.compile(r"<(?P<tag>(?P<name>[a-zA-Z_]\w{0,40}))>")
_PAIR = re.compile(r"<arg_key>(?P<name>[^<>\n]{1,60})</arg_key>\s*<(?P<tag>arg_value)>")
_CLOSERS = re.compile(
    r"(?:\s*(?:</(?:tool_calls?|function_calls?|function|invoke|tool|tools|tool_use)>|<\|(?:im_end|eot_id|eom_id)\|>))+"
)
_BONES = re.compile(
    r"</?(?:parameter|param|function|invoke|tool_call|tool_calls|function_calls|arg_key|arg_value)(?:[=\s>])"
)
_NEW_LINE = re.compile(r"[ \t]*\r?\n")
_INDENT = re.compile(r"[^\S\n]*")
_ENTITY = re.compile(r"&(?:lt|gt|amp|quot|apos|#\d+|#x[0-9a-fA-F]+);")


@dataclass
class _Body:
    """The arguments of one element, where it ends, and what is doubtful about them."""

    arguments: dict[str, Any] = field(default_factory=dict)
    end: int = 0
    closed: bool = False
    sure: bool = True
    doubt: str = ""
    broken: str = ""


def function(text: str, opener: re.Match[str]) -> Found:
    """The call whose `opener` (by FUNCTION) has been found; its arguments may be elements, or one JSON object."""
    closer = re.compile(rf"</{opener['tag']}>")
    found = _json_inside(text, opener, closer)
    return found or _found(opener, _read(text, opener.end(), _NAMED, closer))


def keyed(text: str, opener: re.Match[str]) -> Found:
    """The call whose `opener` (by KEYED) has been found: a name, then keys and values in turn."""
    return _found(opener, _read(text, opener.end(), _PAIR, re.compile(r"</tool_call>")))


def element(text: str, opener: re.Match[str], tools: Sequence[ToolSpec]) -> Found | None:
    """The call whose tool is the element's own name (by ELEMENT), with an element for each argument."""
    spec = plainly(opener["name"], tools)
    if spec is None:
        return None
    closer = re.compile(rf"</{re.escape(opener['name'])}>")
    body = _read(text, opener.end(), _CHILD, closer)
    if not body.closed and not body.arguments:
        return None
    return _found(opener, body)


def _found(opener: re.Match[str], body: _Body) -> Found:
    return Found(
        name=opener["name"].strip(),
        arguments=body.arguments,
        start=opener.start(),
        end=body.end,
        doubt=body.doubt,
        broken=body.broken,
    )


def _json_inside(text: str, opener: re.Match[str], closer: re.Pattern[str]) -> Found | None:
    start = opener.end()
    if not re.compile(r"\s*\{").match(text, start):
        return None
    try:
        loose = read_value(text, start)
    except Unreadable as problem:
        return Found(
            name=opener["name"], start=opener.start(), end=len(text), broken=f"the JSON is not valid: {problem}"
        )
    doubt = loose.doubt or ("the JSON breaks off before its end" if loose.cut else "")
    ended = re.compile(r"\s*(?:" + closer.pattern + r"|\Z|<[/|])").match(text, loose.end)
    return Found(
        name=opener["name"].strip(),
        arguments=loose.value,
        start=opener.start(),
        end=after_closers(text, loose.end),
        repairs=frozenset({"json"} if loose.repaired else ()),
        doubt=doubt or ("" if ended else "something follows the JSON"),
    )


def after_closers(text: str, at: int) -> int:
    """Where the closing tags that may stand at `at` are over."""
    found = _CLOSERS.match(text, at)
    return found.end() if found else at


# --- arguments --------------------------------------------------------------------------------------------------------


def _read(text: str, at: int, opener: re.Pattern[str], closer: re.Pattern[str]) -> _Body:
    body = _Body(end=at)
    while True:
        at = _after_space(text, at)
        if end := closer.match(text, at):
            body.closed = True
            body.end = after_closers(text, end.end())
            return body
        head = opener.match(text, at)
        if not head:
            return _unclosed(text, at, body)
        at = _argument(text, head, opener, closer, body)
        body.end = at


def _unclosed(text: str, at: int, body: _Body) -> _Body:
    """The closing tag is missing: harmless where the last argument was closed on a line of its own, and nothing else
    follows but another call. Elsewhere that argument may go on, and only hold what looked like its end."""
    if not body.sure:
        body.doubt = body.doubt or "the call is not closed"
    if at < len(text) and not text.startswith(("<tool_call>", "</tool_call>", "<function", "<invoke", "<|"), at):
        body.doubt = body.doubt or "something stands between the arguments, or the call is not closed"
    body.end = after_closers(text, at)
    return body


def _argument(text: str, head: re.Match[str], opener: re.Pattern[str], closer: re.Pattern[str], body: _Body) -> int:
    start = head.end()
    end = _likeliest(text, start, _ends(text, start, head["tag"], opener, closer))
    if end is None:
        stop = closer.search(text, start)
        value, at = text[start : stop.start() if stop else len(text)], stop.start() if stop else len(text)
        body.doubt = body.doubt or f"“{head['name']}” is not closed"
    else:
        value, at = text[start : end.start()], end.end()
        body.sure = not value.rpartition("\n")[2].strip() and value.lstrip(" \t\r").startswith("\n")
    if _hides_a_call(value):
        body.doubt = body.doubt or f"it is not clear where “{head['name']}” ends"
    value = _inner(value)
    if _ENTITY.search(value) and not _has_raw_marks(value):
        body.doubt = (
            body.doubt or f"it is not clear whether “{head['name']}” holds entities such as &lt; or what they stand for"
        )
    name = head["name"].strip()
    if body.arguments.get(name, value) != value:
        body.broken = f"“{name}” is given twice"
    body.arguments[name] = value
    return at


def _ends(text: str, start: int, tag: str, opener: re.Pattern[str], closer: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The closing tags after which the call goes on, ends, or nothing comes any more."""
    for found in re.compile(rf"</{tag}>").finditer(text, start):
        at = _after_space(text, found.end())
        if at == len(text) or opener.match(text, at) or closer.match(text, at) or after_closers(text, at) > at:
            yield found


def _likeliest(text: str, start: int, ends: Iterator[re.Match[str]]) -> re.Match[str] | None:
    """The first; but for an argument that begins on a new line, the first that stands on a line of its own, unless a
    tag of calls stands before it. Looks no further than it must: there may be as many ends as arguments."""
    first = next(ends, None)
    if first is None or not _NEW_LINE.match(text, start):
        return first
    lines = _Lines(text, start)
    for end in chain((first,), ends):
        if lines.bones_before(end.start()):
            return first
        if lines.begins_at(end.start()):
            return end
    return first


class _Lines:
    """Goes through a text line by line, once, however often it is asked; places must come in order."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._at = start
        self._indented = start
        self._bones = False

    def bones_before(self, place: int) -> bool:
        """Whether a line before `place` begins with a tag of calls."""
        while not self._bones and (end := self._text.find("\n", self._at, place)) >= 0:
            self._bones = bool(_BONES.match(self._text, self._indented, end))
            self._at = end + 1
            indent = _INDENT.match(self._text, self._at)
            self._indented = indent.end() if indent else self._at
        self._at = max(self._at, place)
        return self._bones or bool(_BONES.match(self._text, self._indented, place))

    def begins_at(self, place: int) -> bool:
        """Whether nothing but space stands before `place` on its line; asked after `bones_before`."""
        return self._indented >= place


def _hides_a_call(value: str) -> bool:
    """A tag of calls at the beginning of a line, or in a value of one line, may be the call's own."""
    lines = value.split("\n")
    found = [line for line in lines if _BONES.match(line.lstrip())]
    return bool(found) or (len(lines) == 1 and bool(_BONES.search(value)))


def _inner(value: str) -> str:
    """The text without the newline after the opening tag, and then without the one before the closing tag."""
    inner = re.sub(r"\A[ \t]*\r?\n", "", value, count=1)
    return value if inner == value else re.sub(r"\r?\n[ \t]*\Z", "", inner, count=1)


def _has_raw_marks(value: str) -> bool:
    return "<" in value or bool(re.search(r"&(?!(?:\w+|#\w+);)", value))


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at
