"""A run, written down step by step: at once, within bounds, and whatever a model says."""

from __future__ import annotations

import json

import pytest

from sidecar.agent.asking import Answer
from sidecar.agent.dialects.base import Reading
from sidecar.agent.loop import Step, Used
from sidecar.agent.talk import Call, RawCall, Reply, Usage
from sidecar.agent.tools.base import Observation
from sidecar.agent.trajectory import FILE, Trajectory, read
from sidecar.report import GAP
from sidecar.wire.nouns import AgentStep


def used(name="read_file", arguments=None, observation='{"text": "x"}', ok=True):
    return Used(
        call=Call(name=name, arguments=arguments or {"path": "app.py"}),
        outcome=Observation(ok=ok, data={}, brief="[read]"),
        observation=observation,
        seconds=0.25,
    )


def step(number=1, *uses, text="I look.", notes=(), **reply):
    said = Reply(text=text, usage=Usage(input=10, output=3), first_seconds=0.5, seconds=1.5, **reply)
    return Step(number=number, answer=Answer(reply=said, reading=Reading(), notes=tuple(notes)), used=uses)


def test_a_step_is_on_the_disk_when_keep_returns(tmp_path):
    trajectory = Trajectory(tmp_path, 2)

    kept = trajectory.keep(step(1, used(ok=False), notes=["repaired: json"]), 1_234, "+ x")

    assert [kept] == read(tmp_path) == trajectory.steps
    assert (1, 2, 1_234, "I look.", "+ x", ["repaired: json"]) == (
        kept.number,
        kept.run,
        kept.at_ms,
        kept.said,
        kept.diff,
        kept.notes,
    )
    assert ({"input": 10, "output": 3}, 500, 1_500) == (kept.tokens, kept.first_ms, kept.model_ms)
    assert ("read_file", '{"path": "app.py"}', '{"text": "x"}', False, 250) == (
        kept.uses[0].name,
        kept.uses[0].arguments,
        kept.uses[0].observation,
        kept.uses[0].ok,
        kept.uses[0].duration_ms,
    )


def test_an_answer_that_could_not_be_read_is_kept_with_its_calls_and_what_was_said_to_it(tmp_path):
    calls = (RawCall(name="write_file", arguments={"path": "é"}), RawCall(name="fly", arguments='{"a'))
    said = Reply(text="I write.", thinking="Hm.", calls=calls, usage=Usage(input=10, output=3), seconds=1.5)
    answer = Answer(reply=said, reading=Reading(complaint="Nothing was carried out: no."), notes=("no",))

    kept = Trajectory(tmp_path, 1).keep(Step(number=4, answer=answer), 1)

    assert [kept] == read(tmp_path)
    assert ("Nothing was carried out: no.", ["no"], [], 4) == (kept.complaint, kept.notes, kept.uses, kept.number)
    assert 'I write.\n[not carried out: write_file {"path": "é"}; fly "{\\"a"]' == kept.said
    assert ("Hm.", {"input": 10, "output": 3}, 1_500) == (kept.thinking, kept.tokens, kept.model_ms)


def test_the_runs_of_an_attempt_share_a_file(tmp_path):
    Trajectory(tmp_path, 1).keep(step(1), 1)
    Trajectory(tmp_path, 2).keep(step(1), 2)

    assert [1, 2] == [kept.run for kept in read(tmp_path)]


def test_what_is_long_is_cut_to_what_a_report_may_hold(tmp_path):
    long = "begin" + "é" * 50_000 + "end"
    uses = [used("n" * 99, {"content": long}, json.dumps({"text": long}, ensure_ascii=False))] * 25

    kept = Trajectory(tmp_path, 1).keep(step(1, *uses, text=long, thinking=long, notes=[long] * 30), 1, long)

    assert (4_000, 4_000, 10_000) == (len(kept.said), len(kept.thinking), len(kept.diff))
    assert (20, 20, 500) == (len(kept.uses), len(kept.notes), len(kept.notes[0]))
    assert (64, 6_000, 6_000) == tuple(len(text) for text in (kept.uses[0].name, kept.uses[0].arguments,
                                                              kept.uses[0].observation))  # fmt: skip
    assert kept.said.startswith("begin")
    assert kept.said.endswith("end")
    assert GAP in kept.said
    assert [kept] == read(tmp_path)


@pytest.mark.parametrize(
    "odd", ["half \ud800 a character", "NUL \x00", "lines \u2028 of \x85 their \x0c own", "\r\n\t"]
)
def test_whatever_a_model_says_can_be_written_down_and_read_again(tmp_path, odd):
    trajectory = Trajectory(tmp_path, 1)

    first = trajectory.keep(step(1, used(odd, {"path": odd}, odd), text=odd, thinking=odd, notes=[odd]), 1, odd)
    second = trajectory.keep(step(2), 2)

    assert [first, second] == read(tmp_path)
    assert AgentStep.model_validate_json(first.model_dump_json()) == first


@pytest.mark.parametrize("tail", [b'{"number": 3, "sa', b"\xff\xfe", b"not at all\n", b'{"number": "three"}\n'])
def test_a_line_that_was_cut_off_is_left_out(tmp_path, tail):
    Trajectory(tmp_path, 1).keep(step(1), 1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(tail)

    assert [1] == [kept.number for kept in read(tmp_path)]


def test_where_nothing_was_written_there_is_nothing(tmp_path):
    assert [] == read(tmp_path)


def test_a_disk_that_takes_nothing_is_no_secret(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Trajectory(tmp_path / "away", 1).keep(step(1), 1)
