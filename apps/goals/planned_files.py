"""Whether what the slices of a plan name is there by then: in the repository, or made by a slice before. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from apps.goals import order
from apps.goals.answers import Fault, named
from apps.goals.references import Shelf, bad_path, in_the_way, outside_in, paths_in

if TYPE_CHECKING:
    from apps.goals.plan import PlannedSlice


def grounded(slices: Sequence[PlannedSlice], shelf: Shelf) -> tuple[PlannedSlice, ...]:
    """The same slices, each new file made by exactly one of them. Raises Fault("path"), naming slice and path.

    Their order must have been checked.
    """
    numbered = dict(enumerate(slices, start=1))
    site = _Site(shelf, order.ancestors({number: piece.after for number, piece in numbered.items()}))
    for number, piece in numbered.items():
        site.may_make(number, piece)
    # Those first that wait for fewest, so that the maker of a file is known before whoever comes after it.
    for number in sorted(numbered, key=lambda number: (len(site.before[number]), number)):
        numbered[number] = site.make(number, numbered[number])
    everything = Shelf(shelf.files | site.makers.keys())
    for number, piece in numbered.items():
        site.must_find(number, piece)
        _may_mention(number, piece, everything)
    return tuple(numbered.values())


@dataclass
class _Site:
    """What is there, who comes before whom, and which slice makes which new file."""

    shelf: Shelf
    before: dict[int, frozenset[int]]
    makers: dict[str, int] = field(default_factory=dict)

    def may_make(self, number: int, piece: PlannedSlice) -> None:
        for path in piece.new_files:
            if why := self._cannot_be_new(path):
                raise Fault("path", f"new_files of slice {number}: {named(path)} {why}.")

    def _cannot_be_new(self, path: str) -> str:
        if why := bad_path(path):
            return why
        if self.shelf.holds(path):
            return "exists already; put it into files"
        other = in_the_way(path, self.shelf.files)
        return f"cannot be below {named(other)}, which is a file" if other else ""

    def make(self, number: int, piece: PlannedSlice) -> PlannedSlice:
        """The slice as the one maker of its new files; what was made before it is no new file any more."""
        new, files = [], list(piece.files)
        for path in piece.new_files:
            maker = self.makers.setdefault(path, number)
            if maker == number:
                new.append(path)
            elif maker in self.before[number]:
                files.append(path)
            else:
                one, other = sorted((maker, number))
                raise Fault(
                    "path", f"Slices {one} and {other} both make {named(path)} and neither waits for the other."
                )
        kept = dict.fromkeys(path for path in files if path not in new)
        return replace(piece, files=tuple(kept), new_files=tuple(new))

    def must_find(self, number: int, piece: PlannedSlice) -> None:
        before = self.before[number]
        for path in piece.files:
            if why := self._missing(path, before):
                raise Fault("path", f"files of slice {number}: {named(path)} {why}")
        for path in _expected(piece):
            if why := self._missing(path, before | {number}):
                raise Fault("path", f"A file_exists check of slice {number}: {named(path)} {why}")

    def _missing(self, path: str, before: frozenset[int]) -> str:
        if why := bad_path(path.rstrip("/") or path):
            return f"{why}."
        if self.shelf.holds(path) or self._made(path, before):
            return ""
        if maker := self.makers.get(path):
            return f"is made by slice {maker}; put {maker} into its after."
        return is_missing(path, self.shelf)

    def _made(self, path: str, before: frozenset[int]) -> bool:
        below = path.rstrip("/") + "/"
        return any(maker in before and (made == path or made.startswith(below)) for made, maker in self.makers.items())


def _expected(piece: PlannedSlice) -> Iterator[str]:
    return (check.target.removeprefix("./") for check in piece.checks if check.type == "file_exists")


def _may_mention(number: int, piece: PlannedSlice, shelf: Shelf) -> None:
    for text in piece.texts:
        if found := outside_in(text):
            raise Fault("path", f"Slice {number} names {named(found)}, which is outside of the repository.")
        for path in paths_in(text, shelf):
            if not (shelf.holds(path) or ("/" not in path and path in shelf.names)):
                raise Fault("path", f"The text of slice {number}: {named(path)} {is_missing(path, shelf)}")


def is_missing(path: str, shelf: Shelf) -> str:
    """That a path is nowhere, and where there is a file of the same name."""
    like = shelf.like(path)
    hint = f" There is {' and '.join(named(other) for other in like)}." if like else ""
    return f"is not in the repository, and no slice has it in new_files.{hint}"
