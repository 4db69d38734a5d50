"""The page of money: what calls of models have cost, told apart in every way that helps.

Sums over periods and by day are read from the accounts, which are what budgets are compared with; everything else is
added up by the database, in as many queries for a million calls as for one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.dashboard.budgets import budgets
from apps.dashboard.summing import Spent, spent_of, summed
from apps.dashboard.thinking import thinking
from apps.ledger import accounts, pauses, prices
from apps.ledger.actions import utc_day
from apps.ledger.lifecycle import AllowanceStatus
from apps.ledger.limits import NOTHING, Scope, keys_of
from apps.ledger.models import Account, Allowance, Charge
from apps.tasks.models import Attempt, Task
from apps.tasks.spending import ALLOWANCE, PURPOSE

DAYS = 30
LINES_SHOWN = 10
DEAREST_SHOWN = 8


@require_safe
def spending(request: HttpRequest) -> HttpResponse:
    """`/spending`"""
    now = timezone.now()
    first = utc_day(now) - timedelta(days=DAYS - 1)
    since = datetime.combine(first, time(), UTC)
    totals, days = over_time(now, first)
    by_kind = list(_by_kind(since))
    return render(
        request,
        "spending.html",
        {
            "watch": "dashboard",
            "totals": totals,
            "nothing_yet": all(total.account.spent + total.account.reserved == NOTHING for total in totals),
            "chart": chart(days),
            "groups": [group(title, name, by_kind) for title, name in KINDS.items()],
            "dearest": dearest(since),
            "thinking": thinking(by_kind),
            "recent": sum((spent for _, spent in by_kind), Spent()),
            "budgets": budgets(now),
            "pause": pauses.standing(),
            "unverified": prices.unverified((row["model"] for row, _ in by_kind), utc_day(now)),
            "days": DAYS,
        },
    )


# --- time -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Unreported:
    """What counts as spent by so many `attempts` though no call says so: their allowances lapsed with this left."""

    attempts: int = 0
    micro: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class Total:
    """What one period has come to, and how much of it no call stands for."""

    name: str
    account: Account
    unreported: Unreported


def over_time(now: datetime, first: date) -> tuple[list[Total], list[Account]]:
    """Today, this month and the whole; and each day from `first` on. Days and months are those of UTC."""
    key = dict(keys_of({}, "", now))
    wanted = (
        Q(scope=Scope.HUB) | Q(scope=Scope.MONTH, key=key["month"]) | Q(scope=Scope.DAY, key__gte=first.isoformat())
    )
    found = {(account.scope, account.key): account for account in Account.objects.filter(wanted)}

    def account(scope: str, key: str) -> Account:
        return found.get((scope, key)) or Account(scope=scope, key=key)

    today = datetime.combine(utc_day(now), time(), UTC)
    named = {"Today": "day", "This month": "month", "In all": "hub"}
    lost = unreported([today, today.replace(day=1), datetime.min.replace(tzinfo=UTC)])
    totals = [
        Total(name, account(scope, key[scope]), missing)
        for (name, scope), missing in zip(named.items(), lost, strict=True)
    ]
    return totals, [account("day", (first + timedelta(days=day)).isoformat()) for day in range(DAYS)]


def unreported(since: Sequence[datetime]) -> list[Unreported]:
    """Of the allowances that were granted since each of these times, in whose period all of them counts. One query."""
    lapsed = Allowance.objects.filter(released_at__isnull=True, status=AllowanceStatus.LAPSED)
    sums: dict[str, Any] = {}
    for number, first in enumerate(since):
        granted = Q(granted_at__gte=first)
        sums[f"attempts_{number}"] = Count("pk", filter=granted)
        sums[f"micro_{number}"] = Sum("left_micro", default=0, filter=granted)
        sums[f"tokens_{number}"] = Sum("left_tokens", default=0, filter=granted)
    found = lapsed.filter(Q(left_micro__gt=0) | Q(left_tokens__gt=0)).aggregate(**sums)
    return [
        Unreported(*(found[f"{name}_{number}"] for name in ("attempts", "micro", "tokens")))
        for number in range(len(since))
    ]


@dataclass(frozen=True)
class Column:
    """One day of the chart, as percentages of its width and height."""

    account: Account
    x: str
    width: str
    y: str
    height: str


@dataclass(frozen=True)
class Chart:
    """Days side by side: in money, or in tokens where nothing cost any. `most` is what the highest stands for."""

    columns: Sequence[Column]
    most: str

    @property
    def filled(self) -> list[Column]:
        """The days on which anything was called, the newest first."""
        return [column for column in reversed(self.columns) if column.account.spent != NOTHING]


def chart(days: Sequence[Account]) -> Chart:
    """The days as columns, the highest as high as the chart."""
    measure = "micro" if any(day.spent_micro for day in days) else "tokens"
    much = [getattr(day.spent, measure) for day in days]
    most, step = max(much), 100 / len(days)
    heights = [max(1.5, each * 100 / most) if each else 0 for each in much]
    columns = [
        Column(day, f"{step * at:.2f}%", f"{step * 0.8:.2f}%", f"{100 - height:.2f}%", f"{height:.2f}%")
        for at, (day, height) in enumerate(zip(days, heights, strict=True))
    ]
    return Chart(columns, accounts.shown(measure, most))


# --- kinds ------------------------------------------------------------------------------------------------------------


def _purpose(key: str) -> str:
    """The hub's own thinking apart from what attempts cost."""
    return "attempts at tasks" if key == PURPOSE else f"the hub: {key}"


KINDS: Mapping[str, tuple[str, Callable[[str], str]]] = {
    "By model": ("model", str),
    "By purpose": ("purpose", _purpose),
    "By agent": ("agent", lambda key: key or "the hub"),
    "By repository": ("repo", lambda key: key or "no repository"),
}


@dataclass(frozen=True)
class Line:
    """One of a kind; `share` is the width of its bar, the longest being 100 %."""

    name: str
    spent: Spent
    share: str


@dataclass(frozen=True)
class Group:
    """The dearest of a kind, and how many `others` there are, who came to `rest` together."""

    title: str
    lines: Sequence[Line]
    others: int
    rest: Spent


def _by_kind(since: datetime) -> Iterator[tuple[Mapping[str, Any], Spent]]:
    """One row for each model, purpose, state, agent and repository that went together; few, and read in one pass."""
    for row in summed(Charge.objects.filter(started_at__gte=since), "state", *(name for name, _ in KINDS.values())):
        yield row, spent_of(row)


def group(title: str, kind: tuple[str, Callable[[str], str]], rows: Sequence[tuple[Mapping[str, Any], Spent]]) -> Group:
    """The same rows added up for one of the kinds."""
    column, name = kind
    tally: defaultdict[str, Spent] = defaultdict(Spent)
    for row, spent in rows:
        tally[row[column]] += spent
    dearest = sorted(tally.items(), key=lambda pair: pair[1].weight, reverse=True)
    measure = 0 if any(spent.micro for spent in tally.values()) else 1
    most = max((spent.weight[measure] for spent in tally.values()), default=0)
    lines = [
        Line(name(key), spent, f"{max(0, spent.weight[measure]) * 100 / most if most > 0 else 0:.1f}%")
        for key, spent in dearest[:LINES_SHOWN]
    ]
    rest = [spent for _, spent in dearest[LINES_SHOWN:]]
    return Group(title, lines, len(rest), sum(rest, Spent()))


# --- attempts ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dear:
    """An attempt and what it came to."""

    attempt: Attempt
    spent: Spent


def by_attempt(charges: QuerySet[Charge]) -> QuerySet[Any, Any]:
    """`summed` for each allowance that they, or the calls that they correct, were paid from: `paid` is its key."""
    return summed(charges.annotate(paid=Coalesce("allowance__key", "corrects__allowance__key")), "paid")


def attempt_of(paid: str | None) -> int | None:
    """The id of the attempt that an allowance was for, if it was for one."""
    number = (paid or "").removeprefix(ALLOWANCE)
    return int(number) if paid != number and number.isdecimal() else None


def dearest(since: datetime) -> list[Dear]:
    """The attempts that cost most, or took most tokens where they cost nothing."""
    rows = by_attempt(Charge.objects.filter(started_at__gte=since)).filter(paid__startswith=ALLOWANCE)
    order = ["-micro", "-all_output", "-all_input", "paid"]
    found = {attempt_of(row["paid"]): spent_of(row) for row in rows.order_by(*order)[:DEAREST_SHOWN]}
    attempts = Attempt.objects.select_related("task", "agent").in_bulk([pk for pk in found if pk is not None])
    return [Dear(attempts[pk], spent) for pk, spent in found.items() if pk in attempts]


@dataclass(frozen=True)
class Costs:
    """What a task came to in all, and each of its attempts by its id."""

    total: Spent
    attempts: Mapping[int | None, Spent]


def costs_of(task: Task) -> Costs:
    """One query; what no attempt paid for, the hub's own thinking about the task, is in the total only."""
    rows = {attempt_of(row["paid"]): spent_of(row) for row in by_attempt(Charge.objects.filter(task=str(task.pk)))}
    return Costs(sum(rows.values(), Spent()), rows)
