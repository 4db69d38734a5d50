"""What an attempt may still spend on its model, looked at before every call, and every call in the book."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Protocol

from sidecar.agent.endings import OutOfMoney, OutOfTokens
from sidecar.agent.talk import Usage
from sidecar.callbook import CallBook
from sidecar.wire.nouns import Allowance, ModelCall, Rate

MILLION = 1_000_000


class Purse(Protocol):
    """Asked before and after every call of a model."""

    @property
    def microusd(self) -> int:
        """Spent so far."""
        ...

    def begin(self, prompt: int, answer: int) -> str:
        """The name of a call that may use so many tokens; raises OutOfMoney or OutOfTokens when it may not be made."""
        ...

    def end(self, call: str, usage: Usage, *, seconds: float = 0.0, request_id: str = "") -> None:
        """It used this much."""
        ...

    def void(self, call: str) -> None:
        """It certainly used nothing."""
        ...


class Free:
    """No allowance and no book: for work without a model."""

    microusd = 0

    def begin(self, prompt: int, answer: int) -> str:
        return ""

    def end(self, call: str, usage: Usage, *, seconds: float = 0.0, request_id: str = "") -> None:
        return

    def void(self, call: str) -> None:
        return


class Kept:
    """The allowance of one attempt, over all of its runs. `microusd` and `tokens` are what was spent so far."""

    def __init__(self, allowance: Allowance, book: CallBook, *, task: int, attempt: int, model: str) -> None:
        self._allowance = allowance
        self._book = book
        self._task = task
        self._attempt = attempt
        self._model = model
        self._begun: dict[str, ModelCall] = {}
        self.microusd = 0
        self.tokens = 0
        self.calls = 0

    def begin(self, prompt: int, answer: int) -> str:
        """Raises OutOfMoney, OutOfTokens, and OSError when it cannot be written down: then it must not be made."""
        worst = worst_cost(self._allowance.rates, prompt, answer)
        if self.microusd + worst > self._allowance.microusd and worst:
            left = self._allowance.microusd - self.microusd
            raise OutOfMoney(f"The next call may cost {worst} micro-USD; {left} are left of the allowance.")
        if self.tokens + prompt + answer > self._allowance.tokens:
            raise OutOfTokens(
                f"{self.tokens} of {self._allowance.tokens} tokens are used; the next call may need more."
            )
        if self.calls >= self._allowance.calls:
            raise OutOfTokens(f"All {self.calls} calls are made.")
        call = ModelCall(
            call=secrets.token_hex(8),
            model=self._model,
            at=round(time.time() * 1000),
            tokens={"input": prompt, "output": answer},
            certain=False,
        )
        self._book.begin(self._task, self._attempt, call, paid=bool(worst))
        self._begun[call.call] = call
        self.calls += 1
        return call.call

    def end(self, call: str, usage: Usage, *, seconds: float = 0.0, request_id: str = "") -> None:
        """Counts what was used; an estimate of ours is reported as not certain."""
        begun = self._begun.pop(call)
        rates = self._allowance.rates
        self.microusd += cost(rates, usage) if usage.measured else worst_of(rates, usage)
        self.tokens += usage.prompt + usage.output
        ended = begun.model_copy(
            update={
                "tokens": usage.by_class(),
                "certain": usage.measured,
                "duration_ms": round(seconds * 1000),
                "request_id": request_id[:200],
            }
        )
        self._book.end(self._attempt, ended)

    def void(self, call: str) -> None:
        """It is as if it had not been asked."""
        del self._begun[call]
        self.calls -= 1
        self._book.void(self._attempt, call)


def cost(rates: Sequence[Rate], usage: Usage) -> int:
    """Micro-USD of one call, rounded half up once, in the band of its whole prompt."""
    rate = _band(rates, usage.prompt)
    if rate is None:
        return 0
    return _rounded(_sum(rate, usage))


def worst_cost(rates: Sequence[Rate], prompt: int, answer: int) -> int:
    """The most that a call can cost: its prompt at the dearest class of the dearest band."""
    return worst_of(rates, Usage(input=prompt, output=answer))


def worst_of(rates: Sequence[Rate], usage: Usage) -> int:
    """The most that a usage which was not measured can have cost, as the hub posts it: `input` may be of any class."""
    return max((_rounded(_sum(rate, usage) + usage.input * (_dearest(rate) - rate.input)) for rate in rates), default=0)


def _band(rates: Sequence[Rate], prompt: int) -> Rate | None:
    fitting = [rate for rate in rates if prompt > rate.prompt_over or not rate.prompt_over]
    return max(fitting, key=lambda rate: rate.prompt_over, default=None)


def _sum(rate: Rate, usage: Usage) -> int:
    return sum(count * getattr(rate, name) for name, count in usage.by_class().items())


def _dearest(rate: Rate) -> int:
    return max(rate.input, rate.cache_write_5m, rate.cache_write_1h, rate.cache_read)


def _rounded(millionths: int) -> int:
    return (millionths + MILLION // 2) // MILLION
