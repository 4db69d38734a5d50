"""The till: calls and allowances brought to a state by real steps, and what must be true of the books at any time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.ledger import actions, allowances, budgets
from apps.ledger.lifecycle import AllowanceStatus
from apps.ledger.limits import EACH, NOTHING, Amount, Limits, Scope
from apps.ledger.models import Account, Allowance, Charge
from apps.ledger.pricing import Estimate, Usage

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OPUS, HAIKU, LOCAL = "claude-opus-5-5", "claude-haiku-5-5", "ollama:qwen3:8b"
FOR: Mapping[str, str] = {"task": "42", "goal": "7", "repo": "sample", "agent": "ada"}
ESTIMATE = Estimate(prompt=1_000, output=1_000, counted=True)
ESTIMATED = Amount(micro=28_000, tokens=2_000, calls=1)
"""ESTIMATE for OPUS: the prompt at $8, the output at $20 per million."""
USAGE = Usage(input=1_000, output=500)
USED = Amount(micro=14_000, tokens=1_500, calls=1)
"""USAGE of OPUS."""
_numbers = itertools.count(1)


def allow(scope: str = Scope.HUB, key: str = EACH, **limits: Any) -> None:
    """An operator sets a budget."""
    budgets.set_budget(scope, key, by="tests", limits=Limits(**limits))


def reserved(call_id: str = "", **wanted: Any) -> Charge:
    """A call about to be made."""
    facts: dict[str, Any] = {"model": OPUS, "purpose": "work", "estimate": ESTIMATE, "now": NOW, **wanted}
    return actions.reserve(call_id or f"call-{next(_numbers)}", facts.pop("scopes", FOR), **facts)


def granted(key: str = "attempt/1", **wanted: Any) -> Allowance:
    """An attempt with an allowance of ten cents, 10,000 tokens and 10 calls."""
    facts: dict[str, Any] = {
        "purpose": "work",
        "amount": Amount(micro=100_000, tokens=10_000, calls=10),
        "model": OPUS,
        "ttl": timedelta(minutes=30),
        "now": NOW,
        **wanted,
    }
    return allowances.grant(key, FOR, **facts)


def part(call_id: str = "", usage: Usage = USAGE, key: str = "attempt/1", **wanted: Any) -> Charge:
    """A call that a sidecar reports."""
    facts: dict[str, Any] = {"model": OPUS, "started_at": NOW, "now": NOW, **wanted}
    return allowances.settle_part(key, call_id or f"part-{next(_numbers)}", usage, **facts)


def spent(scope: Scope = Scope.HUB) -> Amount:
    return Account.objects.get(scope=scope).spent


def held(scope: Scope = Scope.HUB) -> Amount:
    return Account.objects.get(scope=scope).reserved


def status(charge: Charge) -> str:
    return str(Charge.objects.values_list("status", flat=True).get(pk=charge.pk))


def faults() -> list[str]:
    """What is wrong with the books: every account is the sum of what was posted to it and is held from it."""
    expected: dict[int, tuple[Amount, Amount]] = {}

    def add(ids: list[int], spent: Amount, reserved: Amount) -> None:
        for pk in ids:
            before = expected.get(pk, (NOTHING, NOTHING))
            expected[pk] = (before[0] + spent, before[1] + reserved)

    for charge in Charge.objects.all():
        add(charge.accounts, charge.posted, charge.held)
    for allowance in Allowance.objects.all():
        lapsed = allowance.status == AllowanceStatus.LAPSED
        add(allowance.accounts, allowance.left if lapsed else NOTHING, NOTHING if lapsed else allowance.left)
    return [
        f"{account} says {account.spent}, {account.reserved}; its charges say {expected.get(account.pk)}"
        for account in Account.objects.all()
        if (account.spent, account.reserved) != expected.get(account.pk, (NOTHING, NOTHING))
    ]
