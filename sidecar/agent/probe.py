"""A trial of a model before it gets work: real tool calls, in each dialect, and whether its context is really there.

A model that passes is spoken to in the dialect it did best in; the numbers are stored with its settings.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sidecar.agent import prompts
from sidecar.agent.context import FIRST_GUESS, characters
from sidecar.agent.dialects.base import Dialect, Reading
from sidecar.agent.faults import ModelFault
from sidecar.agent.models.base import Model
from sidecar.agent.talk import Call, Observed, Reply, Request, Said, Told, Turn
from sidecar.agent.tools.specs import SPECS

ENOUGH = 0.75
"""A dialect is good enough when so much of its trial went right."""
ANSWER_TOKENS = 600
FILLING = 0.7
"""How much of the context the last trial fills, as we estimate it: our estimate may be off by a third."""

ONE = {"path": "notes/to do.txt", "start": 3, "count": 7}
NASTY = {"path": "greet.py", "content": 'print("hello \\"you\\"")\nprint(\'\\\\n\')\n'}
PAIR = ({"path": "first.txt"}, {"path": "second.txt"})
WORD = "heliotrope"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One request and what a good answer to it is."""

    name: str
    turns: Sequence[Turn]
    good: Callable[[Sequence[Call]], bool]


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one dialect went: trials passed, of how many; what went wrong, in words; how often a call was repaired."""

    dialect: str
    passed: int
    trials: int
    repairs: int
    wrong: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return self.passed >= ENOUGH * self.trials


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a trial found. `dialect` is empty when the model can do no work; `reason` says why, in a sentence.

    `context_measured` are the prompt tokens that a nearly full context was measured at, 0 when it did not come to that.
    """

    dialect: str
    scores: tuple[Score, ...]
    context_measured: int
    tokens_per_second: float
    reason: str = ""


async def probe(model: Model, dialects: Sequence[Dialect], *, fill: bool = True) -> Probed:
    """Try `model` in each of `dialects` until one is good enough, then its context. Raises ModelFault when the
    endpoint itself fails."""
    speeds: list[float] = []
    scores: list[Score] = []
    for dialect in dialects:
        scores.append(await _score(model, dialect, speeds))
        if scores[-1].good:
            break
    chosen = scores[-1]
    if not chosen.good:
        tried = "; ".join(f"{s.dialect}: {s.passed} of {s.trials} ({', '.join(s.wrong)})" for s in scores)
        return Probed(
            dialect="",
            scores=tuple(scores),
            context_measured=0,
            tokens_per_second=_median(speeds),
            reason=f"It cannot call tools well enough: {tried}.",
        )
    measured, reason = (0, "") if not fill else await _context(model, dialects[len(scores) - 1])
    return Probed(
        dialect="" if reason else chosen.dialect,
        scores=tuple(scores),
        context_measured=measured,
        tokens_per_second=_median(speeds),
        reason=reason,
    )


async def _score(model: Model, dialect: Dialect, speeds: list[float]) -> Score:
    wrong: list[str] = []
    repairs = 0
    trials = _trials()
    for trial in trials:
        try:
            reply = await model.reply(_request(dialect, trial.turns))
        except ModelFault as fault:
            if fault.blame != "capability":
                raise
            wrong.append(f"{trial.name}: {fault.code}")
            continue
        speeds.append(_speed(reply))
        reading = dialect.read(reply, SPECS)
        repairs += bool(reading.repairs)
        if not trial.good(reading.calls):
            wrong.append(f"{trial.name}: {_what(reading)}")
    return Score(
        dialect=dialect.name, passed=len(trials) - len(wrong), trials=len(trials), repairs=repairs, wrong=tuple(wrong)
    )


def _trials() -> list[Trial]:
    read = Call(name="read_file", arguments={"path": "answer.txt"}, id="call_1")
    seen = json.dumps({"path": "answer.txt", "total_lines": 1, "text": f"1 {WORD}"})
    return [
        Trial(name="one call", turns=[_ask("read_file", ONE)], good=_is("read_file", ONE)),
        Trial(name="quotes and newlines", turns=[_ask("write_file", NASTY)], good=_is("write_file", NASTY)),
        Trial(
            name="two calls",
            turns=[
                Told(text=f"{_words('read_file', PAIR[0])}\n{_words('read_file', PAIR[1])}\nMake both calls at once.")
            ],
            good=lambda calls: _are("read_file", PAIR)(calls) or _is("read_file", PAIR[0])(calls),
        ),
        Trial(
            name="use of a result, and stopping",
            turns=[
                Told(text="Read answer.txt, then call finish_task with the word that is in it as the summary."),
                Said(reply=Reply(text=""), calls=(read,)),
                Observed(call=read, text=seen),
            ],
            good=lambda calls: (
                len(calls) == 1 and calls[0].name == "finish_task" and WORD in str(calls[0].arguments["summary"])
            ),
        ),
    ]


def _words(tool: str, arguments: object) -> str:
    return f"Call {tool} with these arguments: {json.dumps(arguments)}"


def _ask(tool: str, arguments: object) -> Told:
    return Told(text=f"{_words(tool, arguments)}\nMake this one call, exactly, and nothing else.")


def _is(tool: str, arguments: object) -> Callable[[Sequence[Call]], bool]:
    return _are(tool, [arguments])


def _are(tool: str, arguments: Sequence[object]) -> Callable[[Sequence[Call]], bool]:
    wanted = [(tool, one) for one in arguments]
    return lambda calls: [(call.name, dict(call.arguments)) for call in calls] == wanted


async def _context(model: Model, dialect: Dialect) -> tuple[int, str]:
    """The measured size of a nearly full prompt, and what is wrong when its beginning was lost."""
    frame = characters(_request(dialect, []))
    room = (model.context - ANSWER_TOKENS) * FILLING * FIRST_GUESS - frame
    filler = [f"{number}: nothing of note." for number in range(int(room / 22))]
    told = f"The word is {WORD}.\n" + "\n".join(filler)
    ask = "What was the word at the very beginning? Call finish_task with it as the summary."
    try:
        reply = await model.reply(_request(dialect, [Told(text=f"{told}\n{ask}")]))
    except ModelFault as fault:
        if fault.blame != "capability":
            raise
        return 0, f"Its context of {model.context} tokens is not really there: {fault.message}"
    said = reply.text + json.dumps([call.arguments for call in reply.calls], default=str)
    if WORD not in said.casefold():
        return reply.usage.prompt, f"It lost the beginning of a prompt of {reply.usage.prompt} tokens."
    return reply.usage.prompt, ""


def _request(dialect: Dialect, turns: Sequence[Turn]) -> Request:
    return Request(
        system=prompts.system(dialect.instructions(SPECS)),
        turns=dialect.render(turns),
        tools=dialect.specs(SPECS),
        max_tokens=ANSWER_TOKENS,
        temperature=0.0,
    )


def _what(reading: Reading) -> str:
    if reading.complaint:
        return "not understood"
    made = ", ".join(call.name for call in reading.calls)
    return f"called {made}" if made else "no call"


def _speed(reply: Reply) -> float:
    writing = reply.seconds - reply.first_seconds
    return reply.usage.output / writing if writing > 0 else 0.0


def _median(values: Sequence[float]) -> float:
    return round(sorted(values)[len(values) // 2], 1) if values else 0.0
