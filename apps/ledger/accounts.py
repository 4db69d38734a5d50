"""Moves amounts on accounts. Each transaction locks them in the order of their ids, so none wait in a ring.

A transaction of another room may hold or post once, as the last thing it locks; twice could close such a ring.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeGuard

from django.db.models import F, Q
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Refused
from apps.ledger import pauses
from apps.ledger.limits import (
    MEASURES,
    NOTHING,
    WARNING_PERCENT,
    Amount,
    Scope,
    Shortfall,
    budget_keys,
    percent,
    shortfall,
)
from apps.ledger.models import Account, Budget
from apps.ledger.pricing import dollars

TELL = ("dashboard",)
JUST_NOW = timedelta(minutes=15)


class Exhausted(Refused):
    """An account has less left than is needed."""

    def __init__(self, account: Account, lack: Shortfall) -> None:
        whose = "the whole hub" if account.scope == Scope.HUB else str(account)
        needed = (
            f"{shown(lack.measure, lack.asked)} {'is' if lack.measure == 'micro' or lack.asked == 1 else 'are'} needed"
        )
        super().__init__(
            "budget_exhausted",
            f"{needed}, but the budget for {whose} has {shown(lack.measure, lack.left)} left.",
            account=str(account),
            scope=account.scope,
            key=account.key,
            measure=lack.measure,
            left=lack.left,
            asked=lack.asked,
        )


def shown(measure: str, much: int) -> str:
    """An amount of one measure for people: `$1.50`, `4,000 tokens`, `1 call`."""
    return dollars(much) if measure == "micro" else f"{much:,} {measure.removesuffix('s') if much == 1 else measure}"


def opened(keys: Sequence[tuple[str, str]]) -> list[int]:
    """The ids of the accounts with these scopes and keys, made where they are missing; in ascending order."""
    found = _ids(keys)
    if missing := [key for key in keys if key not in found]:
        Account.objects.bulk_create([Account(scope=scope, key=key) for scope, key in missing], ignore_conflicts=True)
        found = _ids(keys)
    return sorted(found[key] for key in keys)


def hold(ids: Sequence[int], ask: Amount, *, least: Amount | None = None) -> Amount:
    """Set `ask` aside on every account, or with `least` as much of it as all of them have room for; what it came to.

    Raises Exhausted with the first that has too little left, also for `least`, and Paused for money while spending is
    paused; then nothing is set aside anywhere.
    """
    if ask.micro:
        pauses.check()
    accounts = _locked(ids)
    budgets = budgets_of(accounts)
    much, needed = ask, ask
    if least is not None:
        much, needed = _fitting(accounts, budgets, ask), least.at_most(ask)
    if much.at_most(needed) == needed:
        held = Account.objects.filter(_room(budgets, much), pk__in=ids).update(**_changes(much, NOTHING))
        if held == len(ids):
            _warn(accounts, budgets, much)
            return much
    for account in accounts:
        if budget := budgets.get(account.pk):
            lack = shortfall(budget.limits, account.spent + account.reserved, needed)
            if lack is not None:
                raise Exhausted(account, lack)
    raise Refused("account_gone", "An account of this call is not there any more.")


def post(ids: Sequence[int], *, reserved: Amount, spent: Amount) -> None:
    """Add to what every account holds and has spent, whatever its budget says: it has happened."""
    accounts = _locked(ids)
    if changes := _changes(reserved, spent):
        Account.objects.filter(pk__in=ids).update(**changes)
    if spent != NOTHING:
        _warn(accounts, budgets_of(accounts), reserved + spent)


def remember(refusal: Exhausted) -> None:
    """Say, once for each account and setting of its budget, that it had no room; after the refusal was rolled back.

    Must be called inside a transaction, as the last thing in it that locks.
    """
    opened([(refusal.facts["scope"], refusal.facts["key"])])  # it may have been made for what was refused
    account = Account.objects.select_for_update().get(scope=refusal.facts["scope"], key=refusal.facts["key"])
    budget = budgets_of([account]).get(account.pk)
    if budget is None:  # lifted in this moment
        return
    known = _is_since(account.exhausted_at, budget)
    Account.objects.filter(pk=account.pk).update(exhausted_at=timezone.now())
    if not known:
        facts = {name: refusal.facts[name] for name in ("scope", "key", "measure", "left", "asked")}
        record(Kind.BUDGET_EXHAUSTED, account, tell=TELL, **facts)


def is_exhausted(account: Account, budget: Budget, now: datetime) -> bool:
    """Whether something was refused just now for want of room; what rests for it asks again every minute."""
    at = account.exhausted_at
    return _is_since(at, budget) and at > now - JUST_NOW


def used_up(scope: Scope, key: str, now: datetime) -> str:
    """That the budget of an account just had no room for something, in a sentence; empty when it had. Two queries."""
    account = Account.objects.filter(scope=scope, key=key).first()
    budget = budgets_of([account]).get(account.pk) if account is not None else None
    if account is None or budget is None or not is_exhausted(account, budget, now):
        return ""
    return f"The budget for {account} is used up."


def budgets_of(accounts: Iterable[Account]) -> Mapping[int, Budget]:
    """The budget in force of each account that has one, by the account's id."""
    by_key = {(account.scope, account.key): account.pk for account in accounts}
    scopes = {scope for scope, _ in by_key}
    keys = {fitting for scope, key in by_key for fitting in budget_keys(scope, key)}
    budgets = {(budget.scope, budget.key): budget for budget in Budget.objects.filter(scope__in=scopes, key__in=keys)}
    found = {
        pk: [budgets[scope, fitting] for fitting in budget_keys(scope, key) if (scope, fitting) in budgets]
        for (scope, key), pk in by_key.items()
    }
    return {pk: fitting[0] for pk, fitting in found.items() if fitting}


def _ids(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
    candidates = Account.objects.filter(scope__in=[scope for scope, _ in keys], key__in=[key for _, key in keys])
    found = {(scope, key): pk for pk, scope, key in candidates.values_list("pk", "scope", "key")}
    return {key: found[key] for key in keys if key in found}


def _locked(ids: Sequence[int]) -> list[Account]:
    return list(Account.objects.select_for_update().filter(pk__in=ids).order_by("pk"))


def _fitting(accounts: Iterable[Account], budgets: Mapping[int, Budget], ask: Amount) -> Amount:
    for account in accounts:
        if budget := budgets.get(account.pk):
            ask = budget.limits.room(account.spent + account.reserved, ask)
    return ask


def _room(budgets: Mapping[int, Budget], ask: Amount) -> Q:
    """What is true of every account that has room, so that an UPDATE under it changes all of them or fewer."""
    room = Q()
    for pk, budget in budgets.items():
        for measure, bound in budget.limits.bounds(ask):
            room &= ~Q(pk=pk) | Q(**{f"spent_{measure}__lte": bound - F(f"reserved_{measure}")})
    return room


def _changes(reserved: Amount, spent: Amount) -> dict[str, Any]:
    pairs = [(f"reserved_{measure}", getattr(reserved, measure)) for measure in MEASURES]
    pairs += [(f"spent_{measure}", getattr(spent, measure)) for measure in MEASURES]
    return {field: F(field) + much for field, much in pairs if much}


def _warn(accounts: Sequence[Account], budgets: Mapping[int, Budget], more: Amount) -> None:
    """Remember, once for each account and setting of its budget, that most of it is spent or set aside."""
    for account in accounts:
        budget = budgets.get(account.pk)
        if budget is None or _is_since(account.warned_at, budget):
            continue
        used = percent(budget.limits, account.spent + account.reserved + more)
        if used is not None and used >= WARNING_PERCENT:
            Account.objects.filter(pk=account.pk).update(warned_at=timezone.now())
            record(Kind.BUDGET_WARNED, account, tell=TELL, scope=account.scope, key=account.key, percent=used)


def _is_since(at: datetime | None, budget: Budget) -> TypeGuard[datetime]:
    return at is not None and at >= budget.changed_at
