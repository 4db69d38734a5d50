"""How much a caller may ask: a bucket for each, filled steadily. Buckets live in the web process, so n processes allow
n times as much; they protect the hub from a loop gone wild, and enrolment codes from guessing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.agents.models import Token

if TYPE_CHECKING:  # REST framework's settings name this module, so its views cannot be imported yet
    from rest_framework.views import APIView

PERIODS = {"second": 1, "min": 60, "hour": 3_600, "day": 86_400}
MOST_CALLERS = 10_000


@dataclass
class Buckets:
    """`size` requests at once, and the same number again over each `period` seconds, for every caller."""

    size: int
    period: float
    clock: Callable[[], float] = time.monotonic
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, caller: str) -> float:
        """Seconds until `caller` may ask again; 0 when it may now."""
        with self._lock:
            level = self._level(caller)
        return 0.0 if level >= 1 else (1 - level) * self.period / self.size

    def take(self, caller: str) -> float:
        """As `wait`, and when it may: count this request."""
        with self._lock:
            level = self._level(caller)
            if level < 1:
                return (1 - level) * self.period / self.size
            if len(self._levels) >= MOST_CALLERS and caller not in self._levels:
                self._levels.clear()
            self._levels[caller] = (level - 1, self.clock())
        return 0.0

    def _level(self, caller: str) -> float:
        level, at = self._levels.get(caller, (float(self.size), self.clock()))
        return min(float(self.size), level + (self.clock() - at) * self.size / self.period)


def parse(rate: str) -> Buckets:
    """Buckets for a rate such as `6000/min`. Raises ValueError for a rate that says nothing."""
    number, _, period = rate.partition("/")
    if period not in PERIODS or not number.isdecimal() or int(number) < 1:
        raise ValueError(f"A rate looks like 6000/min, with one of {', '.join(PERIODS)}; not {rate!r}.")
    return Buckets(int(number), PERIODS[period])


@cache
def requests(rate: str) -> Buckets:
    """The buckets of REST requests, one set for each rate that is configured (tests configure several)."""
    return parse(rate)


@cache
def guesses(rate: str) -> Buckets:
    """The buckets of wrong enrolment codes."""
    return parse(rate)


class TokenRate(BaseThrottle):
    """Requests of one token; of one address where there is no token."""

    _wait: float = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        token = request.auth
        caller = f"token {token.pk}" if isinstance(token, Token) else self.get_ident(request)
        self._wait = requests(settings.REST_RATE).take(caller)
        return self._wait == 0

    def wait(self) -> float:
        return self._wait


class GuessRate(BaseThrottle):
    """Wrong enrolment codes from one address. Only the wrong ones count: a rack of machines may join at once."""

    _wait: float = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:
        self._wait = guesses(settings.ENROLMENT_GUESS_RATE).wait(self.get_ident(request))
        return self._wait == 0

    def wait(self) -> float:
        return self._wait

    def count(self, request: Request) -> None:
        """One wrong code came in."""
        guesses(settings.ENROLMENT_GUESS_RATE).take(self.get_ident(request))
