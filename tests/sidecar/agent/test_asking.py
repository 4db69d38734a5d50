"""One answer from a model: what each fault leads to, what is said when it is not understood, and what counts."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sidecar.agent import faults
from sidecar.agent.asking import READABLE, TOO_LONG, Asker, Manner
from sidecar.agent.asking import Answer as Answered
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.endings import ContextFull, FormatError, ModelFailed, OutOfMoney, OutOfSteps, OutOfTime
from sidecar.agent.faults import ModelFault
from sidecar.agent.limits import Limits, Spent
from sidecar.agent.models.ollama import Ollama
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Said, Told, Usage
from sidecar.agent.tools.specs import SPECS
from tests.providers.ollama import NAME, Answer, Fault, OllamaServer, serving

ALL = [
    fault
    for fault in vars(faults).values()
    if isinstance(fault, type) and issubclass(fault, ModelFault) and fault is not ModelFault
]
READ = RawCall(name="read_file", arguments={"path": "app.py"})
GOOD = Reply(text="I look.", calls=(READ,), stop="tools", usage=Usage(input=100, output=10))
MENDED = replace(GOOD, calls=(RawCall(name="read_file", arguments='{"path": "app.py"}'),))
UNCLEAR = replace(GOOD, calls=(RawCall(name="fly_away", arguments={}),))
BLOCK = Reply(text="```read_file\npath: app.py\n```", usage=Usage(input=100, output=10))


def hearing(heard):
    """Hears of the answers that could not be read."""

    async def unread(answer):
        heard.append(answer)

    return unread


def by(remedy):
    return [pytest.param(fault, id=fault.__name__) for fault in ALL if fault.remedy == remedy]


class Scripted:
    """Answers with the next of its script: a reply, a fault to raise, or something to await."""

    name = "scripted"

    def __init__(self, *script, context=16_384) -> None:
        self.script = list(script)
        self.context = context
        self.asked: list[Any] = []

    async def reply(self, request):
        self.asked.append(request)
        turn = self.script.pop(0)
        if isinstance(turn, ModelFault):
            raise turn
        return await turn() if callable(turn) else turn

    async def close(self):
        return None


class Purse:
    """Remembers what it was told; `closed` is what it raises before the next call."""

    microusd = 0

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.closed: Exception | None = None

    def begin(self, prompt, answer):
        if self.closed:
            raise self.closed
        self.told.append(("begin", prompt > 0, answer))
        return "call"

    def end(self, call, usage, *, seconds=0.0, request_id=""):
        self.told.append(("end", usage))

    def void(self, call):
        self.told.append(("void",))


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """How long was waited, without waiting; and chance adds nothing."""
    slept: list[float] = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr("sidecar.agent.asking.asyncio.sleep", sleep)
    monkeypatch.setattr("sidecar.agent.asking.random.uniform", lambda least, _most: least)
    return slept


def asker(model, **changes):
    defaults: dict[str, Any] = {
        "system": lambda instructions: f"Work. {instructions}",
        "tools": SPECS,
        "bounds": Limits(steps=20, seconds=600.0),
        "spent": Spent(),
        "elapsed": lambda: 0.0,
        "purse": Purse(),
    }
    manner = changes.pop("manner", Manner(dialects=[Native(), Fenced()], answer_tokens=1_000, temperature=0.5))
    return Asker(model, manner, **{**defaults, **changes})


def task():
    return [Told(text="Mend app.py.")]


def texts(turns):
    return [turn.text for turn in turns if isinstance(turn, Told)]


# --- every fault ends as its remedy says ------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", by("again"))
async def test_a_fault_that_passes_is_waited_out(fault, pauses):
    model = Scripted(fault("Not now."), GOOD)

    answer = await asker(model).ask(task())

    assert GOOD == answer.reply
    assert (f"{fault.code}: Not now.",) == answer.notes
    assert [1.0] == pauses
    assert model.asked[0] == model.asked[1]


@pytest.mark.parametrize("fault", by("again"))
async def test_a_fault_that_does_not_pass_is_asked_about_as_often_as_it_says(fault, pauses):
    model, spent = Scripted(*[fault("Not now.")] * 9), Spent()

    with pytest.raises(ModelFailed) as ended:
        await asker(model, spent=spent).ask(task())

    assert (fault.code, fault.blame, "Not now.") == (ended.value.reason, ended.value.blame, ended.value.message)
    assert fault.tries == len(model.asked) == spent.calls
    assert [1.0, 2.0, 4.0, 8.0][: fault.tries - 1] == pauses
    assert 0 == spent.steps


async def test_different_faults_in_turn_are_bounded_as_well(pauses):
    passing = [fault for fault in ALL if fault.remedy == "again"]
    model = Scripted(*[fault("Not now.") for _ in range(9) for fault in passing])

    with pytest.raises(ModelFailed):
        await asker(model).ask(task())

    assert len(model.asked) <= 1 + sum(fault.tries - 1 for fault in passing)


@pytest.mark.parametrize("fault", by("less"))
async def test_what_is_too_long_is_asked_with_less_and_once_only(fault, pauses):
    model, turns = Scripted(fault("Too long."), GOOD, GOOD), task()
    asking = asker(model)
    for number in range(6):
        call = Call(name="read_file", arguments={"path": f"{number}.py"}, id=f"call_{number}")
        turns.append(Said(reply=Reply(text=""), calls=(call,)))
        asking.context.brief(len(turns), f"[read {number}.py]")
        turns.append(Observed(call=call, text=f"the whole of {number}.py"))

    await asking.ask(turns)
    await asking.ask(turns)

    seen = [[turn.text for turn in request.turns if isinstance(turn, Observed)] for request in model.asked]
    whole = [f"the whole of {number}.py" for number in range(6)]
    assert whole == seen[0]
    assert [*(f"[read {number}.py]" for number in range(5)), whole[5]] == seen[1] == seen[2]
    assert not pauses


@pytest.mark.parametrize("fault", by("less"))
async def test_what_is_still_too_long_is_the_end(fault):
    model = Scripted(fault("Too long."), fault("Still too long."), GOOD)

    with pytest.raises(ContextFull, match="Still too long"):
        await asker(model).ask(task())

    assert 2 == len(model.asked)


@pytest.mark.parametrize("fault", by("different"))
async def test_what_the_model_did_wrong_is_told_to_it_and_it_is_asked_more_coolly(fault, pauses):
    model, turns = Scripted(fault("Wrong.", usage=Usage(input=7)), GOOD), task()
    unread: list[Answered] = []

    answer = await asker(model).ask(turns, hearing(unread))

    assert ["Mend app.py.", fault.advice] == texts(turns)
    assert fault.advice
    assert [0.5, 0.3] == [request.temperature for request in model.asked]
    [lost] = unread
    assert (fault.advice, (f"{fault.code}: Wrong.",), Usage(input=7)) == (
        lost.reading.complaint,
        lost.notes,
        lost.reply.usage,
    )
    assert () == answer.notes
    assert not pauses


@pytest.mark.parametrize("fault", by("different"))
async def test_a_model_that_goes_wrong_three_times_in_a_row_is_given_up(fault):
    model = Scripted(*[fault("Wrong.")] * 4)

    with pytest.raises(FormatError) as ended:
        await asker(model).ask(task())

    assert ("format_error", "capability") == (ended.value.reason, ended.value.blame)
    assert [7, 7, 0] == [len(request.tools) for request in model.asked]  # the last one in fenced blocks


@pytest.mark.parametrize("fault", by("end"))
async def test_what_cannot_be_helped_is_the_end_at_once(fault, pauses):
    model = Scripted(fault("No."), GOOD)

    with pytest.raises(ModelFailed) as ended:
        await asker(model).ask(task())

    assert (fault.code, fault.blame) == (ended.value.reason, ended.value.blame)
    assert 1 == len(model.asked)
    assert not pauses


def test_there_is_no_fault_without_a_remedy_that_is_tested():
    assert {"again", "less", "different", "end"} == {fault.remedy for fault in ALL}
    assert len(ALL) == len({fault.code for fault in ALL})


# --- pauses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 7.0, 45.0, 60.0])
async def test_the_server_says_how_long_to_wait(seconds, pauses):
    await asker(Scripted(faults.RateLimited("Slow down.", retry_after=seconds), GOOD)).ask(task())

    assert [seconds] == pauses


@pytest.mark.parametrize(("asked_for", "left"), [(61.0, 600.0), (20.0, 20.0), (20.0, 5.0)])
async def test_nobody_waits_for_longer_than_it_may_take(asked_for, left, pauses):
    model = Scripted(faults.RateLimited("Slow down.", retry_after=asked_for), GOOD)

    with pytest.raises(ModelFailed) as ended:
        await asker(model, elapsed=lambda: 600.0 - left).ask(task())

    assert ("rate_limited", "infrastructure") == (ended.value.reason, ended.value.blame)
    assert not pauses


async def test_chance_only_ever_adds_to_a_pause(monkeypatch, pauses):
    given: list[tuple[float, float]] = []

    def most(low, high):
        given.append((low, high))
        return high

    monkeypatch.setattr("sidecar.agent.asking.random.uniform", most)

    await asker(Scripted(faults.RateLimited("Slow down.", retry_after=40.0), GOOD)).ask(task())

    assert [(1.0, 1.25)] == given
    assert [50.0] == pauses


# --- misunderstandings ------------------------------------------------------------------------------------------------


async def test_first_it_is_asked_more_coolly_then_in_the_other_dialect_then_no_more():
    model, turns = Scripted(UNCLEAR, UNCLEAR, UNCLEAR), task()

    with pytest.raises(FormatError, match="could not make itself understood"):
        await asker(model).ask(turns)

    assert [0.5, 0.3, 0.3] == [request.temperature for request in model.asked]
    assert [True, True, False] == [bool(request.tools) for request in model.asked]
    assert ["Told", "Said", "Told", "Said", "Told", "Said", "Told"] == [type(turn).__name__ for turn in turns]


async def test_a_complaint_says_what_was_wrong_and_is_in_the_next_question():
    model, turns = Scripted(UNCLEAR, GOOD), task()
    unread: list[Answered] = []

    answer = await asker(model).ask(turns, hearing(unread))

    complaint = texts(model.asked[1].turns)[-1]
    assert "fly_away" in complaint
    assert [(UNCLEAR, complaint, (complaint[:300],))] == [(a.reply, a.reading.complaint, a.notes) for a in unread]
    assert () == answer.notes


async def test_every_misunderstanding_is_heard_of_before_the_model_is_given_up():
    model = Scripted(UNCLEAR, faults.EmptyReply("Nothing."), UNCLEAR)
    unread: list[Answered] = []

    with pytest.raises(FormatError):
        await asker(model).ask(task(), hearing(unread))

    assert [UNCLEAR.usage, Usage(measured=False), UNCLEAR.usage] == [answer.reply.usage for answer in unread]
    assert ["speaks fenced from now on: two misunderstandings in a row"] == [
        note for note in unread[1].notes if note.startswith("speaks")
    ]
    assert all(answer.reading.complaint for answer in unread)


async def test_what_is_heard_of_is_heard_before_the_next_question():
    model = Scripted(UNCLEAR, UNCLEAR, BLOCK)
    asked: list[int] = []

    async def unread(_answer):
        asked.append(len(model.asked))

    await asker(model).ask(task(), unread)

    assert [1, 2] == asked


async def test_words_that_ran_into_the_limit_are_heard_of_too_with_what_was_said():
    long = Reply(text="Let me think about", stop="length")
    unread: list[Answered] = []

    await asker(Scripted(long, GOOD)).ask(task(), hearing(unread))

    assert [(long, faults.CutOff.advice)] == [(answer.reply, answer.reading.complaint) for answer in unread]


async def test_how_long_an_answer_took_is_known_though_it_was_lost():
    now = iter([0.0, 0.0, 5.0, 10.0, *[30.0] * 20])
    unread: list[Answered] = []

    await asker(Scripted(faults.EmptyReply("Nothing."), GOOD), elapsed=lambda: next(now)).ask(task(), hearing(unread))

    assert [10.0] == [answer.reply.seconds for answer in unread]


async def test_an_answer_that_is_understood_forgives_the_ones_before():
    model = Scripted(UNCLEAR, GOOD, UNCLEAR, GOOD, *[GOOD] * 8, UNCLEAR, UNCLEAR, BLOCK)
    asking, turns = asker(model), task()

    for _ in range(11):
        await asking.ask(turns)

    assert "fenced" == asking.dialect


async def test_a_temperature_is_never_below_nothing_and_none_stays_none():
    low = Manner(dialects=[Native()], temperature=0.1)
    model, silent = Scripted(UNCLEAR, GOOD), Scripted(UNCLEAR, GOOD)

    await asker(model, manner=low).ask(task())
    await asker(silent, manner=replace(low, temperature=None)).ask(task())

    assert [0.1, 0.0] == [request.temperature for request in model.asked]
    assert [None, None] == [request.temperature for request in silent.asked]


async def test_a_model_with_one_dialect_keeps_it():
    model = Scripted(UNCLEAR, UNCLEAR, GOOD)

    await asker(model, manner=Manner(dialects=[Native()])).ask(task())

    assert [7, 7, 7] == [len(request.tools) for request in model.asked]


async def test_words_that_ran_into_the_output_limit_are_no_answer():
    model, turns = Scripted(Reply(text="Let me think about", stop="length"), GOOD), task()

    answer = await asker(model).ask(turns)

    assert GOOD == answer.reply
    assert faults.CutOff.advice == texts(turns)[-1]


async def test_an_answer_of_a_length_that_no_model_has_is_not_looked_at():
    unread: list[Answered] = []
    longest = Reply(text=BLOCK.text.ljust(READABLE))

    answer = await asker(Scripted(longest)).ask(task(), hearing(unread))
    with pytest.raises(ContextFull):
        await asker(Scripted(replace(longest, thinking="x"))).ask(task(), hearing(unread))

    assert longest == answer.reply
    assert [TOO_LONG] == [heard.reading.complaint for heard in unread]


async def test_words_alone_are_an_answer():
    answer = await asker(Scripted(Reply(text="It is done."))).ask(task())

    assert () == answer.reading.calls


# --- demotion ---------------------------------------------------------------------------------------------------------


async def test_three_repaired_calls_among_ten_change_the_dialect():
    model = Scripted(MENDED, *[GOOD] * 4, MENDED, *[GOOD] * 3, MENDED, BLOCK)
    asking, turns = asker(model), task()

    for _ in range(10):
        answer = await asking.ask(turns)

    assert "fenced" == asking.dialect
    assert any("speaks fenced from now on: 3 of the last 10 calls" in note for note in answer.notes)
    await asking.ask(turns)
    assert () == tuple(model.asked[-1].tools)
    assert "```read_file" in model.asked[-1].system


async def test_three_repaired_calls_among_eleven_do_not():
    asking, turns = asker(Scripted(MENDED, *[GOOD] * 5, MENDED, *[GOOD] * 3, MENDED)), task()

    for _ in range(11):
        await asking.ask(turns)

    assert "native" == asking.dialect


async def test_one_answer_never_changes_the_dialect_twice():
    """A repair and two misunderstandings are three in ten, and two in a row; twice would be back to where it was."""
    model = Scripted(MENDED, UNCLEAR, UNCLEAR, BLOCK)
    asking, turns = asker(model), task()

    await asking.ask(turns)
    await asking.ask(turns)

    assert "fenced" == asking.dialect
    assert [7, 7, 7, 0] == [len(request.tools) for request in model.asked]


async def test_the_beginning_of_a_talk_stays_the_same_as_long_as_the_dialect_does():
    model = Scripted(*[GOOD] * 5)
    asking, turns = asker(model), task()

    for _ in range(5):
        turns.append(Said(reply=(await asking.ask(turns)).reply))

    assert 1 == len({request.system for request in model.asked})
    assert all(request.tools == SPECS for request in model.asked)
    for before, after in zip(model.asked, model.asked[1:], strict=False):
        assert list(before.turns) == list(after.turns)[: len(before.turns)]


# --- what counts ------------------------------------------------------------------------------------------------------


async def test_everything_is_counted_but_only_answers_are_steps():
    broken = faults.Disconnected("Gone.", usage=Usage(input=50, output=5, measured=False))
    spent = Spent()

    await asker(Scripted(broken, UNCLEAR, GOOD), spent=spent).ask(task())

    assert (3, 2) == (spent.calls, spent.steps)
    assert Usage(input=250, output=25, measured=False) == spent.usage


async def test_the_book_has_each_call_before_it_is_made_and_how_it_ended():
    purse = Purse()
    known = faults.Disconnected("Gone.", usage=Usage(input=50, output=5))
    model = Scripted(faults.Unreachable("Nobody."), known, faults.Slow("Late."), GOOD)

    await asker(model, purse=purse).ask(task())

    ends = [told for told in purse.told if told[0] != "begin"]
    begun = ("begin", True, 1_000)
    assert [begun, begun, begun, begun] == purse.told[::2]
    assert [("void",), ("end", known.usage), ("end", ends[2][1]), ("end", GOOD.usage)] == ends
    assert (1_000, False) == (ends[2][1].output, ends[2][1].measured)  # nobody knows: the most that it can be


async def test_an_empty_purse_ends_it_before_the_call():
    purse, model = Purse(), Scripted(GOOD)
    purse.closed = OutOfMoney("Nothing is left.")

    with pytest.raises(OutOfMoney):
        await asker(model, purse=purse).ask(task())

    assert not model.asked


@pytest.mark.parametrize(
    ("elapsed", "steps", "ending"), [(600.0, 20, OutOfTime), (0.0, 20, OutOfSteps), (0.0, 0, None)]
)
async def test_limits_are_looked_at_before_every_call(elapsed, steps, ending):
    model = Scripted(GOOD)
    asking = asker(model, elapsed=lambda: elapsed, spent=Spent(steps=steps))

    if ending is None:
        await asking.ask(task())
    else:
        with pytest.raises(ending):
            await asking.ask(task())

    assert (ending is None) == bool(model.asked)


async def test_steps_run_out_between_misunderstandings():
    model = Scripted(UNCLEAR, GOOD)

    with pytest.raises(OutOfSteps):
        await asker(model, bounds=Limits(steps=1, seconds=600.0)).ask(task())

    assert 1 == len(model.asked)


async def test_time_runs_out_during_a_call_which_is_cancelled_and_counted(monkeypatch):
    given: list[float] = []
    cancelled = asyncio.Event()
    timeout = asyncio.timeout

    def at_once(seconds):
        given.append(seconds)
        return timeout(0)

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    monkeypatch.setattr("sidecar.agent.asking.asyncio.timeout", at_once)
    spent, purse = Spent(), Purse()

    with pytest.raises(OutOfTime) as over:
        await asker(Scripted(forever), elapsed=lambda: 500.0, spent=spent, purse=purse).ask(task())

    assert [100.0] == given
    assert cancelled.is_set()
    assert (1, 0, False) == (spent.calls, spent.steps, spent.usage.measured)
    assert ("end", spent.usage) == purse.told[-1]
    assert "infrastructure" == over.value.blame  # of a model that never answered nothing else is known


async def test_being_cancelled_during_a_call_leaves_it_in_the_book():
    begun = asyncio.Event()

    async def forever():
        begun.set()
        await asyncio.Event().wait()

    purse = Purse()
    asking = asyncio.create_task(asker(Scripted(forever), purse=purse).ask(task()))
    await begun.wait()

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert ["begin", "end"] == [told[0] for told in purse.told]


async def test_a_talk_that_cannot_fit_is_never_sent():
    model = Scripted(GOOD, context=4_096)

    with pytest.raises(ContextFull, match="4096 are there"):
        await asker(model).ask([Told(text="word " * 5_000)])

    assert not model.asked


async def test_before_it_is_given_up_all_but_the_last_observation_are_masked():
    model, turns = Scripted(GOOD, context=8_192), task()
    asking = asker(model)
    for number in range(4):  # four are kept whole as long as that is possible; here it is not
        call = Call(name="read_file", arguments={"path": "a.py"}, id=f"call_{number}")
        turns.append(Said(reply=Reply(text=""), calls=(call,)))
        asking.context.brief(len(turns), "[read a.py]")
        turns.append(Observed(call=call, text="x" * 6_000))

    await asking.ask(turns)

    assert [11, 11, 11, 6_000] == [len(turn.text) for turn in model.asked[0].turns if isinstance(turn, Observed)]


# --- with the real client ---------------------------------------------------------------------------------------------


async def test_a_server_that_is_busy_and_then_breaks_off_is_asked_again_in_the_same_words(pauses):
    server = OllamaServer(
        Fault(name="status", status=503, error="server busy", headers={"Retry-After": "3"}),
        Fault(name="reset", first=Answer(text="I will")),
        Answer(text="I look.", calls=[{"name": "read_file", "arguments": {"path": "app.py"}}]),
    )
    spent = Spent()
    async with serving(server):
        model = Ollama(url=server.url, model=NAME, context=16_384)
        answer = await asker(model, spent=spent).ask(task())
        await model.close()

    assert ["read_file"] == [call.name for call in answer.reading.calls]
    assert [3.0, 1.0] == [pause for pause in pauses if pause]  # the server's own are of no length
    assert server.asked[0].body == server.asked[2].body
    assert (3, 1) == (spent.calls, spent.steps)


async def test_the_second_misunderstanding_is_asked_without_tools_in_the_request():
    def nonsense(asked):
        if 2 == len(server.asked):
            server.forget()  # the one moment at which the beginning of a talk may change
        return Answer(calls=[{"name": "fly_away", "arguments": {}}])

    server = OllamaServer(nonsense, nonsense, Answer(text=BLOCK.text))
    async with serving(server):
        model = Ollama(url=server.url, model=NAME, context=16_384)
        answer = await asker(model).ask(task())
        await model.close()

    assert ["read_file"] == [call.name for call in answer.reading.calls]
    assert [7, 7, 0] == [len(asked.tools) for asked in server.asked]
    assert [0.5, 0.3, 0.3] == [asked.body["options"]["temperature"] for asked in server.asked]
