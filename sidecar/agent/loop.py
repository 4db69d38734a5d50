"""The loop: ask, act, look at what came of it, until it is over. Limits, tools and the judge are elsewhere."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sidecar.agent.asking import Answer, Asker
from sidecar.agent.endings import Ending, Finished, Stuck
from sidecar.agent.talk import Call, Observed, Said, Told, Turn
from sidecar.agent.tools.base import Observation, Toolbox
from sidecar.agent.watch import Watch

MOST_CALLS = 20
"""Of one answer; what comes after them was decided before anything of it could be seen."""
NO_CALL = "You called no tool, so nothing was done. Call a tool, or call finish_task if the work is done."


@dataclass(frozen=True, kw_only=True)
class Used:
    """One tool call, and what came of it. `observation` is the JSON that the model saw."""

    call: Call
    outcome: Observation
    observation: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Step:
    """One answer and what was done with it, as it is kept and shown; of one that could not be read, nothing was."""

    number: int
    answer: Answer
    used: tuple[Used, ...] = ()
    notes: tuple[str, ...] = field(default=())


class Loop:
    """One run of a model at one task. `kept` hears of every step as soon as it is over."""

    def __init__(self, asker: Asker, box: Toolbox, kept: Callable[[Step], Awaitable[None]]) -> None:
        self._asker = asker
        self._box = box
        self._kept = kept
        self._turns: list[Turn] = []
        self._watch = Watch()
        self._number = 0
        self._nudged = self._spoke = False
        self._ids: set[str] = set()

    async def run(self, task: str) -> Ending:
        """Work at `task` until it ends, and say how. Cancel it to stop; the tree stays as it is."""
        self._turns.append(Told(text=task))
        try:
            while True:
                await self._step()
        except Ending as ending:
            return ending

    async def _step(self) -> None:
        answer = await self._asker.ask(self._turns, self._unread)
        calls = [self._named(call) for call in answer.reading.calls[:MOST_CALLS]]
        self._turns.append(Said(reply=answer.reply, calls=tuple(calls)))
        self._number += 1
        used: list[Used] = []
        notes: list[str] = []
        over: Ending | None = None
        try:
            await self._act(answer, calls, used, notes)
        except Ending as ending:
            over = ending
        await self._kept(Step(number=self._number, answer=answer, used=tuple(used), notes=tuple(notes)))
        if over:
            raise over

    async def _unread(self, answer: Answer) -> None:
        self._number += 1
        await self._kept(Step(number=self._number, answer=answer))

    async def _act(self, answer: Answer, calls: list[Call], used: list[Used], notes: list[str]) -> None:
        for call in calls:
            used.append(await self._use(call))
            if (summary := used[-1].outcome.finished) is not None:
                raise Finished(summary)
            if ending := used[-1].outcome.ending:
                raise ending
        if not calls:
            self._only_words(answer.reply.text)
        for one in used:
            if advice := self._advice(one):
                self._nudge(advice, notes)
                break

    async def _use(self, call: Call) -> Used:
        began = time.monotonic()
        outcome = await self._box.use(call)
        observation = json.dumps(outcome.data, ensure_ascii=False)
        self._asker.context.brief(len(self._turns), outcome.brief)
        self._turns.append(Observed(call=call, text=observation))
        return Used(call=call, outcome=outcome, observation=observation, seconds=time.monotonic() - began)

    def _only_words(self, text: str) -> None:
        """Said once, it is reminded of its tools; twice in a row, its words are taken for its end."""
        if self._spoke:
            raise Finished(text)
        self._spoke = True
        self._turns.append(Told(text=NO_CALL))

    def _advice(self, one: Used) -> str:
        self._spoke = False
        data = one.outcome.data
        return self._watch.note(one.call, data, changed=bool(one.outcome.changed), failure=_failure(one.outcome))

    def _nudge(self, advice: str, notes: list[str]) -> None:
        if self._nudged:
            raise Stuck(advice)
        self._nudged = True
        notes.append(advice)
        self._turns.append(Told(text=advice))

    def _named(self, call: Call) -> Call:
        """With an id that no other call of the talk has; a provider's own is kept, for it wants it back."""
        name, number = call.id or "call_1", 1
        while name in self._ids:
            number += 1
            name = f"{call.id or 'call'}_{number}"
        self._ids.add(name)
        return Call(name=call.name, arguments=call.arguments, id=name)


def _failure(outcome: Observation) -> str:
    """What failed, without numbers: times and addresses differ from one run to the next."""
    run = outcome.data.get("verify", outcome.data)
    if not isinstance(run, dict) or not run.get("exit_code"):
        return ""
    return re.sub(r"0x[0-9a-fA-F]+|\d+(\.\d+)?", "#", str(run.get("output", "")))[-2_000:]
