"""A report with all that a model did still fits into a frame, and what matters most goes last."""

from __future__ import annotations

import pytest

from sidecar.report import ROOM, UNREAD, clip, fit, storable
from sidecar.wire import decode_from_sidecar, encode, messages
from sidecar.wire.nouns import AgentStep, CheckResult, Report, Result, ToolUse


def report(steps=100, text="x", uses=20, notes=20, checks=5):
    use = ToolUse(name="run_command", arguments=text * 6_000, observation=text * 6_000)
    step = AgentStep(
        number=1,
        said=text * 4_000,
        thinking=text * 4_000,
        uses=[use] * uses,
        notes=[text * 500] * notes,
        diff=text * 10_000,
        complaint=text * 2_000,
        tokens={"input": 2**40, "output": 2**40},
    )
    trajectory = [step.model_copy(update={"number": number}) for number in range(1, steps + 1)]
    check = CheckResult(type="tests_pass", status="fail", output=text * 10_000)
    return messages.TaskCompleted(
        task=1,
        attempt=1,
        result=Result(output=text * 60_000, trajectory=trajectory),
        reports=[Report(status="fail", checks=[check] * checks)] * 3,
    )


def fitted(frame):
    """The same report, made to fit."""
    shorter = fit(frame)
    assert isinstance(shorter, messages.TaskCompleted)
    return shorter


def size(frame):
    return len(encode(frame).encode())


def test_what_fits_stays_as_it_is():
    small = report(steps=3, uses=1, notes=2, checks=1)

    assert small == fit(small)


@pytest.mark.parametrize("text", ["x", "é", "😀", "\x01", '"'], ids=["ascii", "two", "four", "escaped", "quotes"])
def test_the_fullest_trajectory_fits_whatever_it_is_made_of(text):
    short = fitted(report(text=text))

    assert size(short) <= ROOM
    assert 100 == short.result.trajectory[-1].number
    assert short == decode_from_sidecar(encode(short))


def test_texts_are_cut_before_steps_are_left_out():
    short = fitted(report(uses=2, notes=1))

    steps = short.result.trajectory
    assert 100 == len(steps)
    assert size(short) <= ROOM
    assert {2} == {len(step.uses) for step in steps}
    assert 200 <= len(steps[0].said) < 4_000
    assert {"input": 2**40, "output": 2**40} == steps[0].tokens


def test_the_steps_that_are_left_out_are_the_first():
    steps = fitted(report(text="é")).result.trajectory

    assert list(range(101 - len(steps), 101)) == [step.number for step in steps]
    assert [] == steps[-1].notes


def test_of_what_could_not_be_read_this_much_always_stays_known():
    steps = fitted(report(text="é")).result.trajectory

    assert ("", UNREAD) == (steps[-1].said, len(steps[-1].complaint))


@pytest.mark.parametrize(
    ("text", "stored"),
    [("plain", "plain"), ("naïve 😀", "naïve 😀"), ("half \ud83d", "half \ufffd"), ("whole \ud83d\ude00", "whole 😀")],
)
def test_halves_of_characters_are_replaced_and_whole_ones_stay(text, stored):
    assert stored == storable(text)


def test_a_limit_shorter_than_the_mark_of_a_gap_still_holds():
    assert ["", "x", "x" * 20] == [clip("x" * 100, limit) for limit in (0, 1, 20)]
