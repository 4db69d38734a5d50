"""A model that only repeats itself is told from one that writes a table."""

from __future__ import annotations

import pytest

from sidecar.agent.models.stream import Tail


@pytest.mark.parametrize("unit", [1, 7, 20, 33, 100, 101, 200])
def test_a_unit_said_over_and_over_is_a_loop(unit):
    tail = Tail()
    tail.feed("It was a dark night. " + "".join(chr(0x4E00 + at) for at in range(unit)) * (800 // unit + 1))

    assert tail.loops()


@pytest.mark.parametrize(
    "text",
    [
        "-" * 399,
        "\n".join(f"    self.assertEqual({n}, add({n}, 0))" for n in range(1000, 1040)),
        "".join(chr(0x4E00 + at) for at in range(200)) * 3,
        "".join(chr(0x4E00 + at) for at in range(201)) * 6,
        "",
    ],
)
def test_what_merely_looks_alike_is_no_loop(text):
    tail = Tail()
    for character in text:
        tail.feed(character)
        assert not tail.loops()


def test_only_the_end_counts():
    tail = Tail()
    tail.feed("again and again and " * 100)
    tail.feed("but no more")

    assert not tail.loops()
    assert not tail.stutters()
