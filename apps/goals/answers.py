"""Finding the one JSON object in what a model answered, and saying exactly what is wrong when it cannot be used. Pure.

A model may think aloud, fence its answer or talk around it. The text is gone through a fixed number of times at most,
whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError

LONGEST = 200_000
"""Characters of an answer that are looked at; a longer one is refused."""
DEEPEST = 32
"""Levels of nesting that an answer may have."""
_STARTS = 16
"""Braces that may turn out to open nothing, before the rest is taken for prose."""
_SHOWN = 120
_LONGEST_MESSAGE = 1_500

_OUTSIDE = re.compile(r"\{|<(/?)think(?:ing)?>", re.IGNORECASE)
_CLOSED = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
# A string that never ends matches to the end of the text, so that no part of it is tried as another string.
_INSIDE = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)


class Fault(Exception):
    """An answer that cannot be used. `kind` is a stable word, `message` the exact fault, for models and people."""

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = storable(message)[:_LONGEST_MESSAGE]
        super().__init__(self.message)


def storable(text: str) -> str:
    """The text without what a database cannot hold: NUL and halves of surrogate pairs."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def named(text: str) -> str:
    """A name from an answer as it can stand in a sentence: printable, on one line, cut."""
    safe = "".join(c if c.isprintable() else "\ufffd" for c in text[: _SHOWN + 1])
    return safe if len(safe) <= _SHOWN else safe[:_SHOWN] + "…"


def read_object(text: str, *, keys: Collection[str]) -> dict[str, Any]:
    """The object in the answer that has one of `keys`. Raises Fault("not_json").

    Objects without any of them are prose. Two different ones that have them are a fault: nobody can say which is meant.
    """
    if len(text) > LONGEST:
        raise Fault("not_json", f"The answer has {len(text)} characters; at most {LONGEST} are read.")
    found: list[dict[str, Any]] = []
    problem = ""
    for piece in _objects(text):
        try:
            value = json.loads(piece, strict=False, parse_constant=_no_number, object_pairs_hook=_members)
        except ValueError as error:
            problem = problem or str(error)
            continue
        if any(key in value for key in keys):
            found.append(value)
    if not found:
        wanted = " or ".join(f'"{key}"' for key in sorted(keys))
        why = f" What looks like one cannot be read: {problem[:200]}." if problem else ""
        raise Fault("not_json", f"The answer holds no complete JSON object with {wanted}.{why}")
    if any(other != found[0] for other in found[1:]):
        raise Fault("not_json", f"The answer holds {len(found)} different JSON objects; exactly one is wanted.")
    return found[0]


def _objects(text: str) -> Iterator[str]:
    """The outermost objects of the text that are closed, those in thoughts left out."""
    found: list[str] = []
    at, starts = 0, 0
    while starts < _STARTS and (mark := _OUTSIDE.search(text, at)):
        at = mark.end()
        if mark[0] != "{":
            if mark[1]:  # the thoughts began before the text did: what was found was a part of them
                found.clear()
            else:
                at = _after_thoughts(text, at)
        elif end := _end(text, mark.start()):
            found.append(text[mark.start() : end])
            at = end
        else:
            starts += 1
    yield from found


def _after_thoughts(text: str, at: int) -> int:
    closed = _CLOSED.search(text, at)
    return closed.end() if closed else len(text)


def _end(text: str, start: int) -> int | None:
    """Where the object that begins at `start` ends; None when it does not, or is too deep to be read safely."""
    depth = 0
    for token in _INSIDE.finditer(text, start):
        if token[0] in {"{", "["}:
            depth += 1
            if depth > DEEPEST:
                return None
        elif token[0] in {"}", "]"}:
            depth -= 1
            if depth == 0:
                return token.end()
    return None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is given twice in one object")
    return members


def what_is_wrong(error: ValidationError, *, names: dict[str, str]) -> str:
    """The first faults that a schema found, each with its place. `names` are words for the items of a list.

    Places are counted from one, as models count them; what was given there is not repeated.
    """
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    said = [f"{_place(fault['loc'], names)}: {fault['msg']}" for fault in faults[:5]]
    more = f" And {len(faults) - 5} more faults." if len(faults) > 5 else ""
    return "; ".join(said) + "." + more


def _place(where: tuple[int | str, ...], names: dict[str, str]) -> str:
    words: list[str] = []
    for step in where:
        if isinstance(step, int) and words:
            words[-1] = f"{names.get(words[-1], words[-1])} {step + 1}"
        else:
            words.append(named(str(step)))
    return ", ".join(words) or "the answer"
