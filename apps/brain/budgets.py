"""What the hub may still think in each of its states. Two queries, however much was spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from apps.brain.lifecycle import State
from apps.ledger.limits import (
    EACH,
    MEASURES,
    NOTHING,
    OF_A_STATE,
    Amount,
    Limits,
    Scope,
    budget_keys,
    keys_of,
    shortfall,
)
from apps.ledger.models import Account, Budget

THINKING = (State.EXECUTING, State.IMPROVING, State.CONTEMPLATING, State.HEALING)
CALL = Amount(tokens=1, calls=1)
"""The least that any call asks for; money it needs only where a model costs some."""
HUB = (Scope.HOUR, Scope.DAY, Scope.MONTH, Scope.HUB)
"""They bound the thinking in all states, together with everything else that calls models."""
ALL_STATES = "all states"
"""What people read in the place of a state that is empty."""
PERIODS = {
    Scope.STATE_HOUR: "hour",
    Scope.STATE_DAY: "day",
    Scope.STATE: "in all",
    Scope.HOUR: "hour",
    Scope.DAY: "day",
    Scope.MONTH: "month",
    Scope.HUB: "in all",
}


@dataclass(frozen=True)
class Purse:
    """One limit of one state: so much of it is spent or set aside. `state` is empty for what all states share."""

    state: str
    period: str
    measure: str
    used: int
    limit: int
    enforced: bool = True

    @property
    def percent(self) -> int:
        return min(100, self.used * 100 // self.limit) if self.limit else 100


@dataclass(frozen=True)
class _Shelf:
    """One account with the budget in force for it."""

    scope: Scope
    state: str
    limits: Limits
    used: Amount


def room(now: datetime) -> frozenset[State]:
    """The states whose budgets have room for a call."""
    shelves = _shelves(now)
    full = {shelf.state for shelf in shelves if shortfall(shelf.limits, shelf.used, CALL)}
    if "" in full:
        return frozenset({State.RESTING})
    return frozenset(state for state in State if state.value not in full)


def purses(now: datetime) -> list[Purse]:
    """Every limit of every state, in the order of the states, then those that all states share; the hour first."""
    found = _shelves(now)
    states, order = [*map(str, THINKING), ""], list(PERIODS)
    found.sort(key=lambda shelf: (states.index(shelf.state), order.index(shelf.scope)))
    return [
        Purse(shelf.state, PERIODS[shelf.scope], measure, getattr(shelf.used, measure), limit, shelf.limits.enforce)
        for shelf in found
        for measure in reversed(MEASURES)
        if (limit := getattr(shelf.limits, measure)) is not None
    ]


def _shelves(now: datetime) -> list[_Shelf]:
    keys = _keys(now)
    budgets = {
        (budget.scope, budget.key): budget
        for budget in Budget.objects.filter(scope__in={scope for scope, _ in keys}, key__in=_wanted(keys))
    }
    accounts = {
        (account.scope, account.key): account
        for account in Account.objects.filter(scope__in={scope for scope, _ in keys}, key__in={key for _, key in keys})
    }
    shelves = []
    for (scope, key), state in keys.items():
        fitting = next((budgets[scope, one] for one in budget_keys(scope, key) if (scope, one) in budgets), None)
        if fitting is not None:
            account = accounts.get((scope, key))
            used = account.spent + account.reserved if account else NOTHING
            shelves.append(_Shelf(Scope(scope), state, fitting.limits, used))
    return shelves


def _keys(now: datetime) -> Mapping[tuple[str, str], str]:
    """The accounts that calls of this moment are counted in, each with its state."""
    found = {
        (scope, key): state.value
        for state in THINKING
        for scope, key in keys_of({Scope.STATE: state.value}, "", now)
        if scope in OF_A_STATE or scope == Scope.STATE
    }
    return found | {(scope, key): "" for scope, key in keys_of({}, "", now) if scope in HUB}


def _wanted(keys: Mapping[tuple[str, str], str]) -> set[str]:
    return {EACH, *(one for scope, key in keys for one in budget_keys(scope, key))}
