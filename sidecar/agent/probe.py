"""A trial of a model before it gets work: twelve requests in each dialect, and whether its context is really there.

A model that passes is spoken to in the first dialect that it was good enough in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.agent import prompts
from sidecar.agent.context import FIRST_GUESS, characters
from sidecar.agent.dialects.base import Dialect
from sidecar.agent.faults import ModelFault
from sidecar.agent.models.base import Model
from sidecar.agent.talk import Reply, Request, Told, Turn
from sidecar.agent.tools.specs import SPECS
from sidecar.agent.trials import Trial, trials

ENOUGH = 0.75
"""A dialect is good enough when so much of its trial went right: 9 of 12.

A model that is right nine times in ten passes with a chance of 97 %, one that is right every other time with 7 %. At 10
of 12 the former would be sent away in one trial of nine; at 8 the latter would be taken in one of five. What a run can
bear is about the same: the loop changes the dialect at three repairs in ten calls.
"""
ANSWER_TOKENS = 600
FILLING = 0.7
"""How much of the context the last request fills, as we estimate it: our estimate may be off by a third."""
WORD = "heliotrope"


@dataclass(frozen=True, kw_only=True)
class Result:
    """How one trial went. `what` says why it is not `ok`, or what there is to say all the same; `repairs` is how many
    kinds of repair its calls needed; `ms` is how long the answer took."""

    name: str
    ok: bool
    what: str = ""
    repairs: int = 0
    ms: int = 0


@dataclass(frozen=True, kw_only=True)
class Score:
    """How one dialect went, of so many `trials`. Those after the point of no return are not among the `results`."""

    dialect: str
    trials: int
    results: tuple[Result, ...] = ()

    @property
    def passed(self) -> int:
        """Trials that went right."""
        return sum(result.ok for result in self.results)

    @property
    def repaired(self) -> int:
        """Trials whose calls had to be repaired."""
        return sum(result.repairs > 0 for result in self.results)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Each trial that went wrong, and why."""
        return tuple(f"{result.name}: {result.what}" for result in self.results if not result.ok)

    @property
    def good(self) -> bool:
        """Whether the dialect is good enough to work in."""
        return self.passed >= ENOUGH * self.trials

    @property
    def hopeless(self) -> bool:
        """Whether it can no longer become good enough, however the rest goes."""
        return len(self.wrong) > self.trials - math.ceil(ENOUGH * self.trials)

    def in_words(self) -> str:
        """The score for people: how many went right, which did not and why."""
        of = f"of {self.trials}" if len(self.results) == self.trials else f"of the first {len(self.results)}"
        remarks = [f"{result.name}: {result.what}" for result in self.results if result.ok and result.what]
        parts = [
            f"{self.passed} {of} right",
            f"{self.repaired} repaired" if self.repaired else "",
            f"weak in {'; '.join(self.wrong)}" if self.wrong else "",
            "; ".join(remarks),
        ]
        return ", ".join(filter(None, parts))


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
        tried = ". ".join(f"{score.dialect}: {score.in_words()}" for score in scores)
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
    asked = trials(dialect)
    score = Score(dialect=dialect.name, trials=len(asked))
    for trial in asked:
        score = replace(score, results=(*score.results, await _result(model, dialect, trial, speeds)))
        if score.hopeless:
            break
    return score


async def _result(model: Model, dialect: Dialect, trial: Trial, speeds: list[float]) -> Result:
    try:
        reply = await model.reply(_request(dialect, trial.turns))
    except ModelFault as fault:
        if fault.blame != "capability":
            raise
        return Result(name=trial.name, ok=False, what=fault.code)
    if speed := _speed(reply):
        speeds.append(speed)
    reading = dialect.read(reply, SPECS)
    wrong = "not understood" if reading.complaint else trial.wrong(reading.calls)
    return Result(
        name=trial.name,
        ok=not wrong,
        what=wrong or trial.remark(reading.calls),
        repairs=len(reading.repairs),
        ms=round(reply.seconds * 1000),
    )


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


def _speed(reply: Reply) -> float:
    """Tokens a second; by the server's own clock if it says, for a call comes in one piece when it is complete."""
    writing = reply.writing_seconds or reply.seconds - reply.first_seconds
    return reply.usage.output / writing if writing > 0 else 0.0


def _median(values: Sequence[float]) -> float:
    return round(sorted(values)[len(values) // 2], 1) if values else 0.0
