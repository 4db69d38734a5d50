"""Find the one place of a text that a model means, though it may not have copied it to the letter. (pure)

From strict to lenient: the very characters; lines whose trailing space may differ; lines that are all indented further
or less; lines that are nearly the same. A step with more than one answer ends the search: guessing would change the
wrong place. All steps but the last take time in proportion to the text; the last has a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from sidecar.agent.tools.texts import lines_of

_NEARLY = "as nearly the same"
_ALIKE = 0.9
_LINE_ALIKE = 0.5
_SHOWN = 12
_MANY = 100
_FUZZY_LINES = 20_000
_FUZZY_OLD_LINES = 300
_FUZZY_LINE_CHARACTERS = 300
_WORK = 10_000_000  # pairs of characters that may be compared: about a second


@dataclass(frozen=True)
class Edit:
    """The new text, how the place was found, and its lines in the new text, counted from 1.

    `was` are the lines that have been replaced, where they were not those that were asked for.
    """

    text: str
    how: str
    first: int
    last: int
    was: str = ""


class Ambiguous(Exception):
    """More than one place fits. `lines` are where they begin (a few)."""

    def __init__(self, lines: Sequence[int]) -> None:
        super().__init__("more than one place fits")
        self.lines = list(lines[:20])


class NoMatch(Exception):
    """No place fits. Lines `first` to `last` come closest, 0 when none is anything like it."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__("no place fits")
        self.first = first
        self.last = last


def replaced(text: str, old: str, new: str) -> Edit:
    """`text` with `new` in the one place of `old`. Raises Ambiguous or NoMatch; an empty `old` fits an empty text."""
    at = _places(text, old) if old or not text else []
    if at:
        start = _only(at, lambda place: text.count("\n", 0, place) + 1)
        first = text.count("\n", 0, start) + 1
        changed = text[:start] + new + text[start + len(old) :]
        return Edit(changed, "exactly", first, first + len(lines_of(new)) - 1)
    if not old.strip():
        raise NoMatch(0, 0)
    return _by_lines(text, old, new)


def _places(text: str, old: str) -> list[int]:
    """Where `old` begins, overlaps included; a hundred are enough to say that they are many."""
    found: list[int] = []
    at = text.find(old)
    while at >= 0 and len(found) < _MANY:
        found.append(at)
        at = text.find(old, at + 1) if old else -1
    return found


def _only(places: Sequence[int], line: Callable[[int], int]) -> int:
    if len(places) > 1:
        raise Ambiguous([line(place) for place in places])
    return places[0]


def _by_lines(text: str, old: str, new: str) -> Edit:
    lines, wanted, given = text.split("\n"), lines_of(old), lines_of(new)
    steps: tuple[tuple[str, Callable[[], list[int]]], ...] = (
        ("without trailing space", lambda: _same(lines, wanted, str.rstrip)),
        ("by another indentation", lambda: _indented(lines, wanted)),
        (_NEARLY, lambda: _similar(lines, wanted)),
    )
    for how, look in steps:
        if found := look():
            at = _only(found, lambda index: index + 1)
            window = lines[at : at + len(wanted)]
            put = _shifted(given, _shift(wanted, window) or ("", ""))
            changed = "\n".join([*lines[:at], *put, *lines[at + len(wanted) :]])
            was = "\n".join(window) if how == _NEARLY else ""
            return Edit(changed, how, at + 1, at + len(put), was)
    raise _miss(lines, wanted)


def _same(lines: list[str], wanted: list[str], bare: Callable[[str], str]) -> list[int]:
    """Indices of lines from which on all are the same as wanted, once both are made bare."""
    hay = "\n" + "\n".join(map(bare, lines)) + "\n"
    needle = "\n" + "\n".join(map(bare, wanted)) + "\n"
    found, index, counted = [], 0, 0
    for place in _places(hay, needle):
        index += hay.count("\n", counted, place)
        counted = place
        found.append(index)
    return found


def _indented(lines: list[str], wanted: list[str]) -> list[int]:
    """Those places that are indented as wanted up to one shift; where there are too many to look at, all of them."""
    places = _same(lines, wanted, str.strip)
    return places if len(places) == _MANY else [at for at in places if _fits(lines, wanted, at)]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _shift(wanted: list[str], window: list[str]) -> tuple[str, str] | None:
    """What all lines must lose and gain at their beginning to be indented as the window is; None if they differ."""
    shifts = {
        _step(_indent(ours), _indent(theirs)) for ours, theirs in zip(wanted, window, strict=True) if ours.strip()
    }
    return shifts.pop() if len(shifts) == 1 else None


def _step(ours: str, theirs: str) -> tuple[str, str] | None:
    if theirs.endswith(ours):
        return "", theirs[: len(theirs) - len(ours)]
    if ours.endswith(theirs):
        return ours[: len(ours) - len(theirs)], ""
    return None


def _fits(lines: list[str], wanted: list[str], at: int) -> bool:
    return _shift(wanted, lines[at : at + len(wanted)]) is not None


def _shifted(lines: list[str], shift: tuple[str, str]) -> list[str]:
    lose, gain = shift
    return [gain + line.removeprefix(lose) if line.strip() else line for line in lines]


def _similar(lines: list[str], wanted: list[str]) -> list[int]:
    """Indices of windows that are at least nine tenths the same and indented alike, up to one shift of all lines."""
    if len(lines) > _FUZZY_LINES or len(wanted) > _FUZZY_OLD_LINES:
        return []
    likeness = _Likeness()
    texts, sought = [line.strip() for line in lines], [line.strip() for line in wanted]
    longest_first = sorted(range(len(sought)), key=lambda index: -len(sought[index]))
    found = []
    for at in range(len(lines) - len(wanted) + 1):
        if _alike(texts, sought, at, longest_first, likeness) and _fits(lines, wanted, at):
            found.append(at)
        if likeness.spent:
            return []  # what has not been looked at might fit as well
    return found


def _alike(texts: list[str], sought: list[str], at: int, order: list[int], likeness: _Likeness) -> bool:
    """Line by line, the long ones first: most windows are out after one.

    No line may be another altogether, however short: it would be lost without a word.
    """
    total = sum(len(sought[index]) + len(texts[at + index]) for index in order)
    allowed = total * (1 - _ALIKE)
    for index in order:
        ours, theirs = sought[index], texts[at + index]
        if ours != theirs:
            like = likeness.of(ours, theirs)
            allowed -= (len(ours) + len(theirs)) * (1 - like)
            if like < _LINE_ALIKE or allowed < -1e-9:
                return False
    return True


class _Likeness:
    """How alike two lines are, 0 to 1, as long as the budget lasts."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], float] = {}
        self._left = _WORK

    @property
    def spent(self) -> bool:
        return self._left <= 0

    def of(self, ours: str, theirs: str) -> float:
        """Equal lines are 1; lines that cannot be half alike, very long ones and empty ones are 0."""
        if ours == theirs:
            return 1.0
        shorter, longer = sorted((len(ours), len(theirs)))
        if not shorter or longer > _FUZZY_LINE_CHARACTERS or 4 * shorter < longer or self.spent:
            return 0.0
        if (ours, theirs) not in self._known:
            self._known[ours, theirs] = self._measured(ours, theirs)
        return self._known[ours, theirs]

    def _measured(self, ours: str, theirs: str) -> float:
        matcher = SequenceMatcher(None, ours, theirs, autojunk=False)
        self._left -= 5 * (len(ours) + len(theirs))
        bound = matcher.quick_ratio()
        if bound < _LINE_ALIKE:
            return 0.0
        self._left -= len(ours) * len(theirs)
        return matcher.ratio()


def _miss(lines: list[str], wanted: list[str]) -> NoMatch:
    """The twelve lines that share most with what was wanted: equal lines first, else one that is like the longest."""
    texts = [line.strip() for line in lines]
    sought = {line.strip() for line in wanted} - {""}
    at = _densest([text in sought for text in texts])
    if at is None:
        at = _closest(texts, max(sought, key=len))
    if at is None:
        return NoMatch(0, 0)
    return NoMatch(at + 1, min(at + _SHOWN, len(lines)))


def _densest(hits: list[bool]) -> int | None:
    """Where the window of twelve with most hits begins, as early as its first hit allows."""
    if not any(hits):
        return None
    best, best_at = 0, 0
    running = 0
    for index, hit in enumerate(hits):
        running += hit - (hits[index - _SHOWN] if index >= _SHOWN else False)
        if running > best:
            best, best_at = running, max(index - _SHOWN + 1, 0)
    first = hits.index(True, best_at)
    return max(min(first - 2, len(hits) - _SHOWN), 0)


def _closest(texts: list[str], longest: str) -> int | None:
    likeness = _Likeness()
    scores = [likeness.of(longest, text) for text in texts[:_FUZZY_LINES]]
    best = max(scores, default=0.0)
    if best < _LINE_ALIKE:
        return None
    return max(min(scores.index(best) - _SHOWN // 2, len(texts) - _SHOWN), 0)
