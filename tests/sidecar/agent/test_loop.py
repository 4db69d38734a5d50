"""The loop's own decisions: what is carried out, what is said back, what is kept, and what ends it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.agent.asking import Answer
from sidecar.agent.context import Context
from sidecar.agent.dialects.base import Reading
from sidecar.agent.endings import Finished, OutOfSteps, Stuck
from sidecar.agent.loop import MOST_CALLS, NO_CALL, Loop
from sidecar.agent.talk import Call, Observed, Reply, Said, Told
from sidecar.agent.tools.base import Observation


class Answers:
    """An Asker that answers with the next of its script, and ends it when there is none left."""

    def __init__(self, *script) -> None:
        self.script = list(script)
        self.context = Context(16_384, 4_096)
        self.turns: list[Any] = []
        self.briefed: dict[int, str] = {}
        self.context.brief = self.briefed.__setitem__  # type: ignore[method-assign,assignment]

    async def ask(self, turns, unread):
        self.turns = turns
        if not self.script:
            raise OutOfSteps("The script is at its end.")
        said = self.script.pop(0)
        while isinstance(said, Reading):
            await unread(Answer(reply=Reply(text="Hm?"), reading=said))
            said = self.script.pop(0)
        if isinstance(said, str):
            return Answer(reply=Reply(text=said), reading=Reading())
        return Answer(reply=Reply(text="I act."), reading=Reading(calls=tuple(said)), notes=("repaired: json",))


class Tools:
    """A tool box that remembers what was used; `seen` are results by tool, used up in order."""

    specs = ()

    def __init__(self, **seen) -> None:
        self.used: list[Call] = []
        self.seen = seen

    async def use(self, call):
        self.used.append(call)
        if call.name == "finish_task":
            summary = call.arguments["summary"]
            return Observation(ok=True, data={"finished": True}, brief="[finished]", finished=summary)
        data = self.seen.get(call.name, {"number": len(self.used)})
        data = data.pop(0) if isinstance(data, list) else data
        changed = frozenset({"app.py"} if call.name == "edit_file" else ())
        return Observation(ok="error" not in data, data=data, brief=f"[{call.name}]", changed=changed)


def call(name="read_file", call_id="", **arguments):
    return Call(name=name, arguments=arguments or {"path": "app.py"}, id=call_id)


FINISH = call("finish_task", summary="Mended it.")


async def run(*script, **seen):
    """How it ended, what was asked and used, and the steps as they were kept."""
    answers, box, steps = Answers(*script), Tools(**seen), []

    async def kept(step):
        steps.append(step)

    ending = await Loop(answers, box, kept).run("Mend app.py.")  # type: ignore[arg-type]
    return ending, answers, box, steps


async def test_of_a_flood_of_calls_only_the_first_are_carried_out():
    ending, _, box, steps = await run([call(path=f"{number}.py") for number in range(MOST_CALLS + 30)], [FINISH])

    assert MOST_CALLS + 1 == len(box.used)
    assert MOST_CALLS == len(steps[0].used)
    assert isinstance(ending, Finished)


def told(answers):
    return [turn.text for turn in answers.turns if isinstance(turn, Told)]


# --- asking and acting ------------------------------------------------------------------------------------------------


async def test_calls_are_carried_out_in_order_and_their_observations_follow_what_was_said():
    ending, answers, box, steps = await run([call(path="a"), call(path="b")], [FINISH])

    assert isinstance(ending, Finished)
    assert ["a", "b"] == [used.arguments["path"] for used in box.used[:2]]
    assert ["Told", "Said", "Observed", "Observed", "Said", "Observed"] == [
        type(turn).__name__ for turn in answers.turns
    ]
    assert '{"number": 1}' == answers.turns[2].text
    assert {2: "[read_file]", 3: "[read_file]", 5: "[finished]"} == answers.briefed
    assert [1, 2] == [step.number for step in steps]
    assert [["read_file", "read_file"], ["finish_task"]] == [[used.call.name for used in step.used] for step in steps]
    assert ("repaired: json",) == steps[0].answer.notes


async def test_what_the_model_saw_is_what_is_kept():
    _, answers, _, steps = await run([call()], read_file={"text": "naïve ✓"})

    assert '{"text": "naïve ✓"}' == answers.turns[2].text == steps[0].used[0].observation
    assert steps[0].used[0].seconds >= 0


async def test_a_failing_tool_is_an_observation_and_no_end():
    ending, answers, _, steps = await run([call()], [FINISH], read_file={"error": "There is no app.py."})

    assert isinstance(ending, Finished)
    assert not steps[0].used[0].outcome.ok
    assert "There is no app.py." in answers.turns[2].text


async def test_every_call_has_an_id_of_its_own_and_a_provider_keeps_its_own():
    twice = [call(call_id="toolu_1"), call(call_id="toolu_1", path="b"), call(path="c")]
    _, answers, box, _ = await run(twice, [call(path="d"), call(call_id="call_2", path="e")], [FINISH])

    ids = [used.id for used in box.used]
    assert "toolu_1" == ids[0]
    assert len(ids) == len(set(ids))
    assert all(ids)
    said = [made.id for turn in answers.turns if isinstance(turn, Said) for made in turn.calls]
    assert ids == said == [turn.call.id for turn in answers.turns if isinstance(turn, Observed)]


# --- endings ----------------------------------------------------------------------------------------------------------


async def test_finish_task_ends_it_with_its_summary_and_what_follows_is_not_carried_out():
    ending, _, box, steps = await run([call(), FINISH, call("edit_file", path="b")])

    assert isinstance(ending, Finished)
    assert ("finished", "Mended it.", False) == (ending.reason, ending.message, ending.partial)
    assert ["read_file", "finish_task"] == [used.name for used in box.used]
    assert 2 == len(steps[0].used)


async def test_words_alone_are_reminded_once_and_then_taken_for_the_end():
    ending, answers, box, steps = await run("I would start with app.py.", "It is done.")

    assert isinstance(ending, Finished)
    assert "It is done." == ending.message
    assert ["Mend app.py.", NO_CALL] == told(answers)
    assert not box.used
    assert 2 == len(steps)


async def test_a_call_in_between_earns_another_reminder():
    ending, answers, _, _ = await run("Hm.", [call()], "Hm, hm.", [FINISH])

    assert "Mended it." == ending.message
    assert [NO_CALL, NO_CALL] == told(answers)[1:]


async def test_an_ending_of_the_asker_is_the_ending_and_what_was_done_is_kept():
    ending, _, _, steps = await run([call()])

    assert isinstance(ending, OutOfSteps)
    assert ending.partial
    assert 1 == len(steps)


async def test_an_answer_that_could_not_be_read_is_a_step_of_its_own_at_once():
    misread = Reading(complaint="Nothing was carried out.")

    _, _, box, steps = await run([call()], misread, misread, [FINISH])

    assert [1, 2, 3, 4] == [step.number for step in steps]
    assert ["", "Nothing was carried out.", "Nothing was carried out.", ""] == [
        step.answer.reading.complaint for step in steps
    ]
    assert [1, 0, 0, 1] == [len(step.used) for step in steps]
    assert 2 == len(box.used)


async def test_a_defect_is_no_ending():
    class Broken(Tools):
        async def use(self, call):
            raise RuntimeError("a defect")

    async def kept(step):
        return None

    with pytest.raises(RuntimeError, match="a defect"):
        await Loop(Answers([call()]), Broken(), kept).run("Mend app.py.")  # type: ignore[arg-type]


# --- going round in circles -------------------------------------------------------------------------------------------

SAME = [[call("run_command", command="make")]] * 6
BACK_AND_FORTH = [[call("run_command", command=command)] for command in "ab" * 6]
REREADING = [[call(path=f"{number}.py")] for number in range(6)] * 4
FAILING = [[call("edit_file", path=f"{number}.py")] for number in range(8)]
FAILED = [
    {"verify": {"exit_code": 1, "output": f"at 0x7f{address}0: failed in 0.{n} s"}, "n": n}
    for n, address in enumerate("abcdef12")
]


@pytest.mark.parametrize(
    ("script", "seen", "nudge", "after", "until"),
    [
        pytest.param(SAME, {"run_command": {"output": ""}}, "this very call 3 times", 3, 6, id="the same step"),
        pytest.param(BACK_AND_FORTH, {}, "back and forth", 6, 12, id="back and forth"),
        pytest.param(REREADING, {"read_file": [{"n": n} for n in range(24)]}, "read again", 12, 24, id="rereading"),
        pytest.param(FAILING, {"edit_file": FAILED}, "failed four times", 4, 8, id="the same failure"),
    ],
)
async def test_a_circle_is_nudged_once_and_is_then_stuck(script, seen, nudge, after, until):
    ending, answers, _, steps = await run(*script, [FINISH], **{name: _copy(data) for name, data in seen.items()})

    assert isinstance(ending, Stuck)
    assert ("stuck", "capability", True) == (ending.reason, ending.blame, ending.partial)
    assert 1 == len(told(answers)[1:])
    assert nudge in told(answers)[1]
    assert [after] == [step.number for step in steps if step.notes]
    assert until == len(steps)


def _copy(data):
    return list(data) if isinstance(data, list) else data


async def test_another_kind_of_circle_after_the_nudge_is_stuck_as_well():
    script = [*SAME[:3], *FAILING[:4], [FINISH]]
    ending, _, _, steps = await run(*script, run_command={"output": ""}, edit_file=_copy(FAILED))

    assert isinstance(ending, Stuck)
    assert 7 == len(steps)


async def test_a_model_that_takes_the_nudge_goes_on():
    ending, _, _, _ = await run(*SAME[:3], [call()], [FINISH], run_command={"output": ""})

    assert isinstance(ending, Finished)


async def test_one_answer_is_nudged_once_however_many_calls_it_makes():
    ending, answers, _, _ = await run([call("run_command", command="make")] * 9, [FINISH], run_command={"output": ""})

    assert isinstance(ending, Finished)
    assert 2 == len(told(answers))


async def test_the_turns_of_a_talk_are_only_ever_added_to():
    lengths: list[str] = []

    class Watching(Answers):
        async def ask(self, turns, unread):
            now = json.dumps([repr(turn) for turn in turns])
            assert now[:-1].startswith(lengths[-1][:-1] if lengths else "[")
            lengths.append(now)
            return await super().ask(turns, unread)

    async def kept(step):
        return None

    script = ["Hm.", *SAME[:3], [call()], [FINISH]]
    await Loop(Watching(*script), Tools(run_command={"output": ""}), kept).run("Mend.")  # type: ignore[arg-type]

    assert 6 == len(lengths)
