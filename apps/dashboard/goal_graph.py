"""The slices of a plan as a picture: what waits for what, from top to bottom, narrow enough for a phone. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, GAP, DROP = 104, 44, 12, 30
"""Of a box, and between boxes beside and below each other. Three boxes and two gaps fit on a phone as they are."""
MOST_BESIDE = 3
LONGEST_LABEL = 14
MARGIN = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A slice to be drawn: `after` are the numbers of those before it, `says` is its state in a word or two."""

    number: int
    title: str
    says: str
    tone: str = ""
    href: str = ""
    after: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Box:
    """A node and the upper left corner of its box."""

    node: Node
    x: int
    y: int

    @property
    def label(self) -> str:
        """As much of the title as fits."""
        title = self.node.title
        return title if len(title) <= LONGEST_LABEL else f"{title[: LONGEST_LABEL - 1].rstrip()}…"


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes, all of one size, and the curves between them as SVG paths."""

    width: int
    height: int
    boxes: Sequence[Box]
    curves: Sequence[str]
    box_width: int = WIDTH
    box_height: int = HEIGHT


def draw(nodes: Sequence[Node]) -> Picture:
    """Where everything goes. Dependencies on what is not drawn, or on what comes later, are left out."""
    known = {node.number: node for node in sorted(nodes, key=lambda node: node.number)}
    after = direct(
        {number: [each for each in node.after if each in known and each < number] for number, node in known.items()}
    )
    rows = _rows(after)
    width = max((len(row) for row in rows), default=0)
    full = width * WIDTH + max(0, width - 1) * GAP
    boxes: dict[int, Box] = {}
    for level, row in enumerate(_ordered(rows, after)):
        left = (full - len(row) * WIDTH - (len(row) - 1) * GAP) // 2
        for place, number in enumerate(row):
            x = MARGIN + left + place * (WIDTH + GAP)
            boxes[number] = Box(known[number], x, MARGIN + level * (HEIGHT + DROP))
    curves = [_curve(boxes[before], boxes[number]) for number, befores in after.items() for before in befores]
    tall = len(rows) * HEIGHT + max(0, len(rows) - 1) * DROP
    return Picture(full + 2 * MARGIN, tall + 2 * MARGIN, list(boxes.values()), curves)


def direct(after: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """Without what follows from the rest: of 1 → 2 → 3 and 1 → 3, the last."""
    above: dict[int, set[int]] = {}
    for number in sorted(after):
        above[number] = set(after[number]).union(*(above[before] for before in after[number]))
    return {
        number: sorted({one for one in befores if not any(one in above[other] for other in befores)})
        for number, befores in after.items()
    }


def _rows(after: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Each number below all that it waits for, at most so many beside each other."""
    level: dict[int, int] = {}
    for number in sorted(after):
        level[number] = 1 + max((level[before] for before in after[number]), default=-1)
    layers = [
        [number for number in sorted(after) if level[number] == at] for at in range(max(level.values(), default=-1) + 1)
    ]
    return [layer[start : start + MOST_BESIDE] for layer in layers for start in range(0, len(layer), MOST_BESIDE)]


def _ordered(rows: Sequence[Sequence[int]], after: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Each row sorted by where its prerequisites stand, so that fewer curves cross."""
    place: dict[int, float] = {}
    ordered = []
    for row in rows:
        ranked = sorted(row, key=lambda number: (_middle([place[before] for before in after[number]]), number))
        for at, number in enumerate(ranked):
            place[number] = at - (len(ranked) - 1) / 2
        ordered.append(ranked)
    return ordered


def _middle(places: Sequence[float]) -> float:
    return sum(places) / len(places) if places else 0.0


def _curve(above: Box, below: Box) -> str:
    x1, y1 = above.x + WIDTH // 2, above.y + HEIGHT
    x2, y2 = below.x + WIDTH // 2, below.y
    bend = max(12, (y2 - y1) // 2)
    return f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}"
