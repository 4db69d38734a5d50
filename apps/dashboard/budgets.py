"""Budgets as bars: how much of each is spent and how much set aside, of the account that it is about now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from apps.ledger import accounts
from apps.ledger.limits import MEASURES, OF_A_STATE, WARNING_PERCENT, Limits, Scope, is_over, key_now, keys_of, percent
from apps.ledger.models import Account, Budget
from apps.ledger.pricing import dollars

FEW = (Scope.PURPOSE, Scope.STATE, Scope.AGENT, Scope.REPO)
"""Scopes with so few accounts that all of them can be read; of tasks and goals there are any number."""


@dataclass(frozen=True)
class Bar:
    """One measure of a budget: how much of the limit is spent and how much reserved, as widths in percent."""

    spent: str
    reserved: str
    limit: str
    percent: int
    spent_width: str
    used_width: str

    @property
    def tone(self) -> str:
        """From 80 % it warns; from 100 % nothing more is allowed."""
        if self.percent >= 100:
            return "bad"
        return "warn" if self.percent >= WARNING_PERCENT else ""


@dataclass(frozen=True)
class Allowed:
    """A budget, which account its bars are of, and the bars; without an account there are only its limits."""

    budget: Budget
    name: str
    account: Account | None
    bars: Sequence[Bar]
    limits: Sequence[str]
    exhausted: bool = False

    @property
    def which(self) -> str:
        """Of the many that it is for, the one that its bars are of; empty when it is for one."""
        key = self.account.key if self.account else ""
        if key == self.budget.key:
            return ""
        return key.partition(" ")[2] if self.budget.scope in OF_A_STATE else key

    @property
    def asked_for(self) -> str:
        """What it has no room for when it is exhausted; most budgets pay for both, and people miss attempts."""
        of_a_state = self.budget.scope == Scope.STATE or self.budget.scope in OF_A_STATE
        return "the hub's own thinking" if of_a_state else "an attempt"

    @property
    def tight(self) -> Bar | None:
        """Of the bars that warn, the fullest."""
        full = [bar for bar in self.bars if bar.tone]
        return max(full, key=lambda bar: bar.percent, default=None)


def strained(now: datetime) -> list[Allowed]:
    """The budgets in force that are nearly used up, or that just had no room for something."""
    return [allowed for allowed in budgets(now) if allowed.tight or allowed.exhausted]


def budgets(now: datetime) -> list[Allowed]:
    """The budgets in force now, the widest first. Three queries at most, however many there are."""
    found = {(budget.scope, budget.key): budget for budget in Budget.objects.all()}
    current = dict(keys_of({}, "", now, own=True))
    shown = [budget for budget in found.values() if _in_force(budget, found, current)]
    known = _accounts([(budget.scope, _key_now(budget, current)) for budget in shown])
    shown.sort(key=_place)
    return [_allowed(budget, _account(budget, current, known, found), now) for budget in shown]


def _place(budget: Budget) -> tuple[int, str, int, str]:
    """The widest scope first; of the periods of states, state by state."""
    widest = [str(scope) for scope in reversed(Scope)]
    at = widest.index(budget.scope)
    if budget.scope not in OF_A_STATE:
        return at, "", at, budget.key
    return min(map(widest.index, OF_A_STATE)), budget.key.partition(" ")[0], at, budget.key


Pairs = Mapping[tuple[str, str], Any]


def _in_force(budget: Budget, budgets: Pairs, current: Mapping[str, str]) -> bool:
    """Not for a period that is over, nor for each period when this one has a budget of its own."""
    if is_over(budget.scope, budget.key, current):
        return False
    now = _key_now(budget, current)
    return now in (None, budget.key) or (budget.scope, now) not in budgets


def _key_now(budget: Budget, current: Mapping[str, str]) -> str | None:
    return key_now(budget.scope, budget.key, current)


def _accounts(wanted: Sequence[tuple[str, str | None]]) -> dict[tuple[str, str], Account]:
    many = Q(scope__in=[scope for scope, key in wanted if key is None and scope in FEW])
    one = Q(scope__in=[scope for scope, _ in wanted], key__in=[key for _, key in wanted if key is not None])
    return {(account.scope, account.key): account for account in Account.objects.filter(many | one)}


def _account(budget: Budget, current: Mapping[str, str], known: Pairs, budgets: Pairs) -> Account | None:
    """Its own, or of those that it is for each of, the one that has used most of it."""
    key = _key_now(budget, current)
    if key is not None:
        return known.get((budget.scope, key)) or Account(scope=budget.scope, key=key)
    if budget.scope not in FEW:
        return None
    mine = [account for pair, account in known.items() if pair[0] == budget.scope and pair not in budgets]
    return max(mine, key=lambda each: percent(budget.limits, each.spent + each.reserved) or 0, default=None)


def _allowed(budget: Budget, account: Account | None, now: datetime) -> Allowed:
    limits = [(measure, limit) for measure in MEASURES if (limit := getattr(budget.limits, measure)) is not None]
    return Allowed(
        budget,
        "the whole hub" if budget.scope == Scope.HUB else str(budget),
        account,
        [_bar(measure, limit, account) for measure, limit in limits] if account else [],
        [accounts.shown(measure, limit) for measure, limit in limits],
        exhausted=account is not None and bool(limits) and accounts.is_exhausted(account, budget, now),
    )


def _bar(measure: str, limit: int, account: Account) -> Bar:
    spent, reserved = getattr(account.spent, measure), getattr(account.reserved, measure)
    one: dict[str, Any] = {measure: limit}
    share = percent(Limits(**one), account.spent + account.reserved) or 0
    widths = [f"{min(100.0, much * 100 / limit) if limit else 100.0:.1f}%" for much in (spent, spent + reserved)]
    return Bar(_bare(measure, spent), _bare(measure, reserved), accounts.shown(measure, limit), share, *widths)


def _bare(measure: str, much: int) -> str:
    """Without its unit, which the limit beside it has."""
    return dollars(much) if measure == "micro" else f"{much:,}"
