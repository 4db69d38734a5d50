"""JSON as models write it: single quotes, trailing commas, Python's literals, comments, raw newlines, a missing tail.

Whatever has one reading is read. What has two is read one way and marked with a `doubt`, so that nobody acts on it who
should not. What has none raises `Unreadable`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DEEPEST = 60
_SPACE = re.compile(r"\s+")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_][\w-]*")
_LITERALS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "/": "/", "\\": "\\"}
_CODE_POINT = {"u": re.compile(r"[0-9a-fA-F]{4}"), "x": re.compile(r"[0-9a-fA-F]{2}")}
_AS_GOOD_AS_END = ("<", "```", "[/TOOL")


class Unreadable(ValueError):
    """No value can be read here; the message says what is wrong and where."""


@dataclass(frozen=True, kw_only=True)
class Loose:
    """A value and where it ended. `cut` means that its tail was missing, `doubt` why it may not mean what was read."""

    value: Any
    end: int
    repaired: bool = False
    cut: bool = False
    doubt: str = ""


def read_value(text: str, start: int = 0) -> Loose:
    """Read the one value that begins at `start`, spaces before it aside. What follows it is for the caller to judge."""
    start = _after_space(text, start)
    strict = _strict(text, start)
    return strict if strict is not None else _Reader(text, start).read()


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _strict(text: str, start: int) -> Loose | None:
    twice: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(_given_twice(members))
        return dict(members)

    try:
        decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_no_constant)
        value, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return Loose(value=value, end=end, doubt=_twice(twice))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _given_twice(members: Sequence[tuple[str, Any]]) -> list[str]:
    seen: dict[str, Any] = {}
    return [key for key, value in members if seen.setdefault(key, value) != value]


def _twice(keys: Sequence[str]) -> str:
    return f"“{keys[0]}” is given twice with different values" if keys else ""


class _Reader:
    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.at = start
        self.depth = 0
        self.repaired = False
        self.cut = False
        self.doubt = ""

    def read(self) -> Loose:
        value = self.value()
        return Loose(value=value, end=self.at, repaired=self.repaired, cut=self.cut, doubt=self.doubt)

    def value(self) -> Any:
        self.skip()
        head = self.text[self.at : self.at + 1]
        if head in {"{", "["}:
            return self.nested(head)
        if head in {'"', "'"}:
            return self.string(head)
        return self.number() if head.isdigit() or head == "-" else self.word()

    def nested(self, head: str) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.wrong("it is nested too deeply")
        value = self.object() if head == "{" else self.array()
        self.depth -= 1
        return value

    def object(self) -> dict[str, Any]:
        self.at += 1
        members: list[tuple[str, Any]] = []
        while not self.closes("}"):
            key = self.key()
            self.skip()
            if self.ends():
                break
            self.expect(":")
            self.skip()
            if self.ends():
                break
            members.append((key, self.value()))
            if not self.goes_on("}"):
                break
        self.doubt = self.doubt or _twice(_given_twice(members))
        return dict(members)

    def array(self) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while not self.closes("]"):
            items.append(self.value())
            if not self.goes_on("]"):
                break
        return items

    def closes(self, bracket: str) -> bool:
        """Whether the object or array is over here, because it is closed or because nothing more comes."""
        self.skip()
        if self.ends():
            return True
        if self.text[self.at] != bracket:
            return False
        self.at += 1
        return True

    def goes_on(self, bracket: str) -> bool:
        """Step over a comma; False when the closing bracket, or the end, came in its place."""
        self.skip()
        if self.ends():
            return False
        if self.text[self.at] == bracket:
            self.at += 1
            return False
        self.expect(",")
        self.skip()
        if self.text[self.at : self.at + 1] == bracket:
            self.repaired = True
        return True

    def ends(self) -> bool:
        """Nothing more comes, or a closing mark does that cannot be JSON: the tail is missing."""
        if self.at < len(self.text) and not self.text.startswith(_AS_GOOD_AS_END, self.at):
            return False
        self.cut = self.repaired = True
        return True

    def expect(self, mark: str) -> None:
        if self.text[self.at : self.at + 1] != mark:
            raise self.wrong(f"“{mark}” was expected")
        self.at += 1

    def key(self) -> str:
        head = self.text[self.at]
        if head in {'"', "'"}:
            return self.string(head)
        found = _WORD.match(self.text, self.at)
        if not found:
            raise self.wrong("a key was expected")
        self.repaired = True
        self.at = found.end()
        return found[0]

    def string(self, quote: str) -> str:
        self.repaired = self.repaired or quote == "'"
        reading = _String(self.text, self.at + 1, quote)
        value = reading.read()
        self.at = reading.at
        self.repaired = self.repaired or reading.raw or bool(reading.doubt)
        self.doubt = self.doubt or reading.doubt
        if reading.open:
            self.cut = self.repaired = True
        return value

    def number(self) -> int | float:
        found = _NUMBER.match(self.text, self.at)
        if not found:
            raise self.wrong("this is no number")
        self.at = found.end()
        return int(found[0]) if found[0].lstrip("-").isdigit() else float(found[0])

    def word(self) -> Any:
        found = _WORD.match(self.text, self.at)
        if found and found[0] in _LITERALS:
            self.at = found.end()
            self.repaired = True
            return _LITERALS[found[0]]
        if found and self.depth and found.end() == len(self.text):
            self.at = found.end()
            self.cut = self.repaired = True
            return None
        raise self.wrong("a value was expected")

    def skip(self) -> None:
        """Step over spaces and comments."""
        while True:
            self.at = _after_space(self.text, self.at)
            found = _COMMENT.match(self.text, self.at)
            if not found:
                return
            self.at = found.end()
            self.repaired = True

    def wrong(self, what: str) -> Unreadable:
        found = self.text[self.at : self.at + 20].split("\n")[0]
        place = f"at “{found}”" if found else "at the end"
        return Unreadable(f"{what} {place} (character {self.at})")


class _String:
    """One string, of either quote.

    Someone who leaves newlines raw may have left backslashes raw too, so the two together are in doubt; so is an escape
    that JSON does not have, since `\\d` shows that `\\b` beside it may not be what JSON makes of it.
    """

    def __init__(self, text: str, start: int, quote: str) -> None:
        self.text = text
        self.at = start
        self.quote = quote
        self.raw = False
        self.escaped = False
        self.open = False
        self.strange = False
        self._plain = re.compile(r"[^\\" + quote + r"]+")

    @property
    def doubt(self) -> str:
        if self.strange:
            return "a string has a backslash that JSON does not know"
        if self.raw and self.escaped:
            return "a string has raw newlines and backslashes, so it is not clear which are meant"
        return ""

    def read(self) -> str:
        parts: list[str] = []
        while self.at < len(self.text):
            plain = self._plain.match(self.text, self.at)
            if plain:
                self.at = plain.end()
                self.raw = self.raw or any(letter < " " for letter in plain[0])
                parts.append(plain[0])
            elif self.text[self.at] == self.quote:
                self.at += 1
                return _paired("".join(parts))
            else:
                parts.append(self.escape())
        self.open = True
        return _paired("".join(parts))

    def escape(self) -> str:
        letter = self.text[self.at + 1 : self.at + 2]
        self.at += 1 + len(letter)  # a backslash may be the last thing there is
        if letter in {self.quote, '"'}:
            return letter
        self.escaped = True
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        if letter == "u" or (letter == "x" and self.quote == "'"):
            digits = _CODE_POINT[letter].match(self.text, self.at)
            if digits:
                self.at = digits.end()
                return chr(int(digits[0], 16))
        self.strange = True
        return letter if letter == "'" else "\\" + letter


def _paired(text: str) -> str:
    """Two escapes that are the halves of one character become it."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text
