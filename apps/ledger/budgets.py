"""What operators allow."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from django.db import transaction
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid
from apps.ledger.limits import EACH, OF_A_STATE, PERIODS, Limits, Scope, is_state
from apps.ledger.models import Account, Budget

TELL = ("dashboard",)
_EXAMPLE = datetime(2026, 12, 24, 18, tzinfo=UTC)
MOST = 10**15
"""A thousand million dollars: beyond any budget, and far from what a column holds."""


@transaction.atomic
def set_budget(scope: Scope | str, key: str = EACH, *, by: str, limits: Limits) -> Budget:
    """Allow so much for one account, or with `*` for each of its scope; the next reservation obeys.

    What is spent and reserved stays; a limit below it refuses everything new. Raises Invalid.
    """
    check(scope, key, limits)
    now = {
        "limit_micro": limits.micro,
        "limit_tokens": limits.tokens,
        "limit_calls": limits.calls,
        "enforce": limits.enforce,
    }
    budget, made = Budget.objects.select_for_update().get_or_create(scope=scope, key=key, defaults=now)
    before = {name: getattr(budget, name) for name in now}
    if not made and before == now:
        return budget
    for name, value in now.items():
        setattr(budget, name, value)
    budget.changed_at = timezone.now()
    budget.save()
    record(
        Kind.BUDGET_SET,
        budget,
        tell=TELL,
        actor=by,
        scope=str(scope),
        key=key,
        before=None if made else before,
        now=now,
    )
    return budget


def is_unheard_of(budget: Budget) -> bool:
    """Whether it is for one thing of which no call was ever made: new, or a name that nothing has."""
    if budget.key == EACH or budget.scope in PERIODS:
        return False
    scope, key = budget.scope, budget.key
    if scope in OF_A_STATE:
        scope, key = Scope.STATE, key.partition(" ")[0]
    return not Account.objects.filter(scope=scope, key=key).exists()


def check(scope: Scope | str, key: str, limits: Limits) -> None:
    """Raises Invalid, with the field at fault, when no such budget can be."""
    try:
        known = Scope(scope)
    except ValueError:
        raise Invalid("scope", f"There are no budgets for a {scope}.") from None
    if not key or len(key) > 120:
        raise Invalid("key", f"Name one {known}, or * for each.")
    if key != EACH and known is Scope.HUB:
        raise Invalid("key", "There is one hub; its key is *.")
    if key != EACH and known in PERIODS and not _is_period(key, PERIODS[known]):
        raise Invalid("key", f"Write it as {_EXAMPLE.strftime(PERIODS[known])}, or * for each.")
    if key != EACH and known in OF_A_STATE and not _is_of_a_state(key, PERIODS[OF_A_STATE[known]]):
        shown = _EXAMPLE.strftime(PERIODS[OF_A_STATE[known]])
        raise Invalid("key", f"Write it as healing *, for each of that state, or as healing {shown}; or * for each.")
    for name in ("micro", "tokens", "calls"):
        limit = getattr(limits, name)
        if limit is not None and (type(limit) is not int or not 0 <= limit <= MOST):
            raise Invalid(name, f"A limit is a whole number from 0 to {MOST}, or empty for any amount.")


def _is_of_a_state(key: str, form: str) -> bool:
    state, _, period = key.partition(" ")
    return is_state(state) and (period == EACH or _is_period(period, form))


def _is_period(key: str, form: str) -> bool:
    with suppress(ValueError):
        return datetime.strptime(key, form).strftime(form) == key  # noqa: DTZ007  a key names its period in UTC
    return False
