"""One usable answer from a model: what goes wrong on the way is retried, said, or put otherwise, within bounds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from sidecar.agent import limits
from sidecar.agent.context import Context
from sidecar.agent.dialects.base import Dialect, Reading
from sidecar.agent.endings import ContextFull, Ending, FormatError, ModelFailed
from sidecar.agent.faults import CutOff, ModelFault
from sidecar.agent.limits import Limits, Spent
from sidecar.agent.models.base import Model
from sidecar.agent.purse import Purse
from sidecar.agent.talk import Reply, Request, Said, Told, ToolSpec, Turn, Usage

logger = structlog.get_logger(__name__)

MISUNDERSTANDINGS = 3
"""The first lowers the temperature, the second changes the dialect, the third ends it."""
COOLER = 0.2
REPAIRS, OF_CALLS = 3, 10
"""So many repaired calls among the last so many show that the dialect does not suit the model."""
READABLE = 500_000
"""Characters of one answer: some 100,000 tokens, and a second or two for whoever has to find the calls in it."""
TOO_LONG = "Your answer is too long to be read, so nothing of it was done. Make one call, and a smaller change."
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How a model is spoken to: `dialects` in the order of preference, and the tokens that one answer may have."""

    dialects: Sequence[Dialect]
    answer_tokens: int = 4_096
    temperature: float | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the model said, and how it was read; `notes` say what had to be done to get there, since the answer before.

    One that could not be acted on has what the model was told about it as its reading's complaint.
    """

    reply: Reply
    reading: Reading
    notes: tuple[str, ...] = ()


Unread = Callable[[Answer], Awaitable[None]]
"""Hears of an answer that could not be acted on, before the model is asked again, or given up."""


async def _nobody(_answer: Answer) -> None:
    return


class Asker:
    """Asks one model for the whole of a run, counts what it costs, and remembers how it wants to be spoken to."""

    def __init__(
        self,
        model: Model,
        manner: Manner,
        *,
        system: Callable[[str], str],
        tools: Sequence[ToolSpec],
        bounds: Limits,
        spent: Spent,
        elapsed: Callable[[], float],
        purse: Purse,
    ) -> None:
        """`system` makes the system text around a dialect's instructions."""
        self._model = model
        self._dialects = deque(manner.dialects)
        self._temperature = manner.temperature
        self._answer_tokens = manner.answer_tokens
        self._system = system
        self._tools = tools
        self._bounds = bounds
        self._spent = spent
        self._elapsed = elapsed
        self._purse = purse
        self.context = Context(model.context, manner.answer_tokens)
        self._repaired: deque[bool] = deque(maxlen=OF_CALLS)
        self._misunderstood = 0
        self._notes: list[str] = []

    @property
    def dialect(self) -> str:
        """The one that is spoken now."""
        return self._dialects[0].name

    async def ask(self, turns: list[Turn], unread: Unread = _nobody) -> Answer:
        """The next answer that can be acted on; complaints on the way are added to `turns`, and `unread` hears of each.

        Every answer counts as a step, understood or not; a call that brought none, by a fault, does not. Raises an
        Ending.
        """
        self._notes = []
        faults: Counter[str] = Counter()
        while True:
            if ending := limits.check(self._bounds, self._spent, self._elapsed()):
                raise ending
            began = self._elapsed()
            try:
                reply = await self._call(turns, less=faults["context"] > 0)
            except ModelFault as fault:
                faults[fault.code] += 1
                lost = Reply(usage=fault.usage, seconds=self._elapsed() - began)
                await self._after(fault, faults[fault.code], turns, lost, unread)
                continue
            reading = self._read(reply)
            self._count_repairs(reading)
            complaint = reading.complaint or _unended(reply, reading)
            if not complaint:
                self._misunderstood = 0
                return Answer(reply=reply, reading=reading, notes=self._noted())
            turns += [Said(reply=reply), Told(text=complaint)]
            await self._say_it_otherwise(complaint, reply, complaint, unread)

    def _read(self, reply: Reply) -> Reading:
        """Nothing else is done meanwhile, heartbeats not either; so what no model says is not looked at."""
        if not reply.calls and len(reply.text) + len(reply.thinking) > READABLE:
            return Reading(complaint=TOO_LONG)
        return self._dialects[0].read(reply, self._tools)

    async def _call(self, turns: Sequence[Turn], *, less: bool) -> Reply:
        request = self._request(turns, less=less)
        if not self.context.fits(request):
            request = self._request(turns, less=True)
        if not self.context.fits(request):
            raise ContextFull(f"The talk needs {self.context.tokens(request)} tokens; {self._model.context} are there.")
        left = max(1.0, self._bounds.seconds - self._elapsed())
        try:
            async with asyncio.timeout(left):
                reply = await self._paid_for(request)
        except TimeoutError:  # nobody says what it took, but it was not nothing
            self._spent.add(self._worst(request))
            raise _over(self._bounds, heard=self._spent.steps > 0) from None
        self._spent.steps += 1
        self._spent.add(reply.usage)
        self.context.learn(request, reply.usage)
        return reply

    async def _paid_for(self, request: Request) -> Reply:
        """Ask, with the call in the book before and after, however it ends."""
        worst = self._worst(request)
        call = self._purse.begin(worst.input, worst.output)
        try:
            reply = await self._model.reply(request)
        except ModelFault as fault:
            if fault.billed:
                known = fault.usage.measured or fault.usage.prompt or fault.usage.output
                self._purse.end(call, fault.usage if known else worst)
            else:
                self._purse.void(call)
            raise
        except BaseException:  # cancelled, or its time was over: the provider may have worked, and may charge
            self._purse.end(call, worst)
            raise
        self._purse.end(call, reply.usage, seconds=reply.seconds, request_id=reply.request_id)
        return reply

    def _worst(self, request: Request) -> Usage:
        """The most that a call is likely to take."""
        return Usage(input=self.context.tokens(request), output=self._answer_tokens, measured=False)

    def _request(self, turns: Sequence[Turn], *, less: bool) -> Request:
        dialect = self._dialects[0]
        whole = Request(
            system=self._system(dialect.instructions(self._tools)),
            turns=turns,
            tools=dialect.specs(self._tools),
            max_tokens=self._answer_tokens,
            temperature=self._temperature,
        )
        fitted = self.context.fit(whole, less=less)
        return replace(fitted, turns=dialect.render(fitted.turns))

    async def _after(self, fault: ModelFault, times: int, turns: list[Turn], lost: Reply, unread: Unread) -> None:
        """Do what the fault calls for, so that asking again makes sense; raises an Ending when it does not."""
        self._spent.add(fault.usage)
        what = f"{fault.code}: {fault.message}"
        if fault.remedy != "different":
            self._notes.append(what[:300])
        logger.info("the model failed", code=fault.code, times=times, message=fault.message[:300])
        match fault.remedy:
            case "again":
                await self._pause(fault, times)
            case "less" if times == 1:
                return
            case "less":
                raise ContextFull(fault.message)
            case "different":
                turns.append(Told(text=fault.advice))
                await self._say_it_otherwise(what, lost, fault.advice, unread)
            case _:
                raise ModelFailed(fault)

    async def _pause(self, fault: ModelFault, times: int) -> None:
        left = self._bounds.seconds - self._elapsed()
        asked_for = fault.retry_after if fault.retry_after is not None else FIRST_PAUSE * 2 ** (times - 1)
        pause = asked_for * random.uniform(1.0, 1.25)  # noqa: S311  spreads, hides nothing
        if times >= fault.tries or asked_for > LONGEST_PAUSE or pause >= left:
            raise ModelFailed(fault)
        await asyncio.sleep(pause)

    async def _say_it_otherwise(self, why: str, reply: Reply, told: str, unread: Unread) -> None:
        """Something changes before it is asked again, or it would go wrong the same way."""
        self._misunderstood += 1
        self._notes.append(why[:300])
        if self._misunderstood == 2:
            self._change_dialect("two misunderstandings in a row")
        elif self._misunderstood < MISUNDERSTANDINGS and self._temperature is not None:
            self._temperature = max(0.0, self._temperature - COOLER)
        await unread(Answer(reply=reply, reading=Reading(complaint=told), notes=self._noted()))
        if self._misunderstood >= MISUNDERSTANDINGS:
            raise FormatError(f"The model could not make itself understood: {why}"[:2_000])

    def _noted(self) -> tuple[str, ...]:
        """What had to be done since this was last asked; each note is handed on once."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _count_repairs(self, reading: Reading) -> None:
        self._notes += [f"repaired: {repair}" for repair in reading.repairs]
        if reading.calls or reading.complaint:
            self._repaired.append(bool(reading.repairs or reading.complaint))
        # What was not understood at all changes the dialect by itself; twice would be back to where it was.
        if sum(self._repaired) >= REPAIRS and not reading.complaint:
            self._change_dialect(f"{sum(self._repaired)} of the last {len(self._repaired)} calls had to be repaired")

    def _change_dialect(self, why: str) -> None:
        self._repaired.clear()
        if len(self._dialects) > 1:
            self._dialects.rotate(-1)
            self._notes.append(f"speaks {self.dialect} from now on: {why}")


def _unended(reply: Reply, reading: Reading) -> str:
    """What to say to words that ran into the output limit before they came to a call: that is no end of the work."""
    return CutOff.advice if reply.stop == "length" and not reading.calls else ""


def _over(bounds: Limits, *, heard: bool) -> Ending:
    """Time ran out during a call. Of a model that was never `heard` nothing is known: its endpoint is to blame."""
    ending = limits.check(bounds, Spent(), bounds.seconds)
    assert ending is not None
    ending.blame = "capability" if heard else "infrastructure"
    return ending
