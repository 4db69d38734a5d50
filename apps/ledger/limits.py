"""Whose accounts a call is counted in, and whether they have room for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

MEASURES = ("micro", "tokens", "calls")
"""Money in micro-USD, tokens of all classes, and calls; a budget may limit each of them."""
EACH = "*"
"""The key of a budget that holds for every account of its scope that has none of its own."""
WARNING_PERCENT = 80
LONGEST_STATE = 40
"""Characters of a state's name."""
NEARLY_ALL = 80
"""Percent of an allowance; who used that much may have been short of it."""
ENOUGH = 20
"""So many allowances say what one usually needs."""


class Scope(StrEnum):
    """What a budget can be for."""

    TASK = "task"
    GOAL = "goal"
    REPO = "repo"
    AGENT = "agent"
    PURPOSE = "purpose"
    STATE = "state"
    STATE_HOUR = "state hour"
    STATE_DAY = "state day"
    OWN_DAY = "own day"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    HUB = "hub"


GIVEN = (Scope.TASK, Scope.GOAL, Scope.REPO, Scope.AGENT, Scope.STATE)
"""Those that the caller names; the others follow from the purpose and the time."""
PERIODS = {
    Scope.HOUR: "%Y-%m-%dT%H",
    Scope.DAY: "%Y-%m-%d",
    Scope.MONTH: "%Y-%m",
    Scope.OWN_DAY: "%Y-%m-%d",
}
"""How their keys are written. Of an own day are the calls for what the hub wants of itself, whoever makes them."""
OF_A_STATE = {Scope.STATE_HOUR: Scope.HOUR, Scope.STATE_DAY: Scope.DAY}
"""Periods of one state of the hub. A key is the state and the period's own: `healing 2026-12-24`; or `healing *`."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """So much of each measure; a difference may be less than nothing."""

    micro: int = 0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(micro=self.micro + other.micro, tokens=self.tokens + other.tokens, calls=self.calls + other.calls)

    def __sub__(self, other: Amount) -> Amount:
        return self + -other

    def __neg__(self) -> Amount:
        return Amount(micro=-self.micro, tokens=-self.tokens, calls=-self.calls)

    def at_most(self, other: Amount) -> Amount:
        """The lesser of the two, measure by measure."""
        return Amount(
            micro=min(self.micro, other.micro),
            tokens=min(self.tokens, other.tokens),
            calls=min(self.calls, other.calls),
        )

    def items(self) -> list[tuple[str, int]]:
        """Each measure that is not nothing, with how much."""
        return [(measure, much) for measure in MEASURES if (much := getattr(self, measure))]


NOTHING = Amount()


def usually(most: Amount, spent: Iterable[tuple[Amount, Amount]]) -> Amount:
    """What 95 of 100 attempts need, of what each `spent` of what it was granted; `most` where too few of them say so.

    Measure by measure. One that used nearly all it had may have needed more: it counts as `most`, or the result would
    sink with every attempt that it was too little for.
    """
    seen = list(spent)
    if len(seen) < ENOUGH:
        return most
    found = {}
    for measure in MEASURES:
        full = getattr(most, measure)
        needed = sorted(
            full if getattr(used, measure) * 100 >= getattr(granted, measure) * NEARLY_ALL else getattr(used, measure)
            for used, granted in seen
        )
        found[measure] = needed[-(-len(needed) * 95 // 100) - 1]
    return Amount(**found).at_most(most)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most that an account may come to; None is any amount. Without `enforce` they warn and never refuse."""

    micro: int | None = None
    tokens: int | None = None
    calls: int | None = None
    enforce: bool = True

    def bounds(self, ask: Amount) -> list[tuple[str, int]]:
        """Each measure that may refuse `ask`, with the most that there may be before it.

        A measure of which nothing is asked does not refuse: what is free goes on when the money is gone.
        """
        if not self.enforce:
            return []
        return [
            (measure, limit - much) for measure, much in ask.items() if (limit := getattr(self, measure)) is not None
        ]

    def room(self, used: Amount, ask: Amount) -> Amount:
        """As much of `ask` as fits beside `used` (spent and reserved), measure by measure."""
        if not self.enforce:
            return ask
        fits = {
            measure: max(0, min(getattr(ask, measure), limit - getattr(used, measure)))
            for measure in MEASURES
            if (limit := getattr(self, measure)) is not None
        }
        return replace(ask, **fits)


@dataclass(frozen=True)
class Shortfall:
    """What an account has too little of. `left` is never less than zero."""

    measure: str
    left: int
    asked: int


def shortfall(limits: Limits, used: Amount, ask: Amount) -> Shortfall | None:
    """The first measure in which `ask` does not fit beside `used` (spent and reserved); None when it fits."""
    for measure, bound in limits.bounds(ask):
        if getattr(used, measure) > bound:
            asked = getattr(ask, measure)
            return Shortfall(measure, max(0, bound + asked - getattr(used, measure)), asked)
    return None


def percent(limits: Limits, used: Amount) -> int | None:
    """How much of the limits is used, by the measure that is nearest its own; None without any limit."""
    shares = [
        getattr(used, measure) * 100 // limit if limit else 100
        for measure in MEASURES
        if (limit := getattr(limits, measure)) is not None
    ]
    return max(shares, default=None)


def keys_of(scopes: Mapping[str, str], purpose: str, at: datetime, *, own: bool = False) -> list[tuple[str, str]]:
    """Scope and key of every account that a call at this time is counted in, in the order in which they are made.

    `own`: it is for what the hub wants of itself. Periods are those of UTC. Raises ValueError for a scope that no
    caller can give, and for a state of two words.
    """
    if unknown := set(scopes) - set(GIVEN):
        raise ValueError(f"no such scope: {', '.join(sorted(unknown))}")
    given = {scope: key for scope, key in scopes.items() if key}
    periods = {scope.value: at.astimezone(UTC).strftime(form) for scope, form in PERIODS.items()}
    if not own:
        del periods[Scope.OWN_DAY.value]
    if state := given.get(Scope.STATE):
        if not is_state(state):
            raise ValueError(f"no state: {state}")
        periods |= {scope.value: f"{state} {periods[period]}" for scope, period in OF_A_STATE.items()}
    return sorted({**given, **periods, Scope.PURPOSE.value: purpose, Scope.HUB.value: ""}.items())


def is_state(name: str) -> bool:
    """Whether it can be one: a single word."""
    return 0 < len(name) <= LONGEST_STATE and name != EACH and name.isprintable() and " " not in name


def budget_keys(scope: str, key: str) -> list[str]:
    """The keys of the budgets that may hold for an account; of those that there are, the first one does."""
    each_of_the_state = [f"{key.partition(' ')[0]} {EACH}"] if scope in OF_A_STATE else []
    return [key, *each_of_the_state, EACH]


def key_now(scope: str, key: str, now: Mapping[str, str]) -> str | None:
    """The key of the one account that a budget is about now; None when it is for each of many.

    `now` has the keys of the periods that run, by scope.
    """
    state, _, period = key.partition(" ")
    if scope in OF_A_STATE and period == EACH:
        return f"{state} {now[OF_A_STATE[Scope(scope)]]}"
    if key != EACH:
        return key
    return now[scope] if scope in PERIODS or scope == Scope.HUB else None


def is_over(scope: str, key: str, now: Mapping[str, str]) -> bool:
    """Whether the one period that a budget is for has passed."""
    if EACH in key:
        return False
    if scope in OF_A_STATE:
        return key.partition(" ")[2] < now[OF_A_STATE[Scope(scope)]]
    return scope in PERIODS and key < now[scope]


def named(scope: str, key: str) -> str:
    """What people call an account or a budget: `goal 7`, `each day`, `each hour of healing`."""
    if scope == Scope.OWN_DAY:
        return f"{'each day' if key == EACH else f'day {key}'} of the hub's own goals"
    if scope not in OF_A_STATE:
        return f"each {scope}" if key == EACH else f"{scope} {key}".strip()
    period, (state, _, which) = OF_A_STATE[Scope(scope)], key.partition(" ")
    if key == EACH:
        return f"each {period} of each state"
    return f"each {period} of {state}" if which == EACH else f"{period} {which} of {state}"
