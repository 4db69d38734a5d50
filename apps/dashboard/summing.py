"""Calls of models added up by the database: what some of them came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from apps.ledger.lifecycle import ChargeStatus
from apps.ledger.models import Charge
from apps.ledger.pricing import CLASSES


@dataclass(frozen=True)
class Spent:
    """What some calls came to: micro-USD, tokens by class, milliseconds of waiting for answers.

    Of the calls that are `uncertain`, those `unpriced` have no price, and `micro` is without them.
    """

    calls: int = 0
    micro: int = 0
    milliseconds: int = 0
    uncertain: int = 0
    unpriced: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.micro + other.micro,
            self.milliseconds + other.milliseconds,
            self.uncertain + other.uncertain,
            self.unpriced + other.unpriced,
            Counter(self.tokens) + Counter(other.tokens),
        )

    @property
    def output(self) -> int:
        """Tokens that were written."""
        return self.tokens.get("output", 0)

    @property
    def prompt(self) -> int:
        """Tokens that were read, cached ones included."""
        return sum(self.tokens.values()) - self.output

    @property
    def weight(self) -> tuple[int, int]:
        """By which the dearest comes first; where money does not tell, tokens do."""
        return self.micro, sum(self.tokens.values())


SUMS: Mapping[str, Any] = {
    "calls": Count("pk", filter=Q(corrects__isnull=True)),
    "micro": Coalesce(Sum("cost_micro"), 0),
    "milliseconds": Sum("duration_ms"),
    "uncertain": Count("pk", filter=Q(status=ChargeStatus.UNCERTAIN)),
    "unpriced": Count("pk", filter=Q(cost_micro__isnull=True)),
    **{f"all_{name}": Sum(name) for name in CLASSES},
}


def summed(rows: QuerySet[Charge], *by: str) -> QuerySet[Any, Any]:
    """Those of `rows` that were posted, added up for each value of `by`; `spent_of` reads the result."""
    posted = rows.filter(status__in=[ChargeStatus.SETTLED, ChargeStatus.UNCERTAIN])
    found: QuerySet[Any, Any] = posted.values(*by).annotate(**SUMS).order_by()
    return found


def spent_of(row: Mapping[str, Any]) -> Spent:
    """A row of `summed` as a plain value."""
    tokens = {name: row[f"all_{name}"] for name in CLASSES}
    return Spent(row["calls"], row["micro"], row["milliseconds"], row["uncertain"], row["unpriced"], tokens)
