"""The page of money: what calls of models have cost, told apart in every way that helps, and what budgets have left.

Sums over periods and by day are read from the accounts, which are what budgets are compared with; everything else is
added up by the database, in as many queries for a million calls as for one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.ledger import accounts, pauses, prices
from apps.ledger.actions import utc_day
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.limits import EACH, MEASURES, NOTHING, PERIODS, WARNING_PERCENT, Limits, Scope, keys_of, percent
from apps.ledger.models import Account, Allowance, Budget, Charge
from apps.ledger.pricing import CLASSES, dollars
from apps.tasks.models import Attempt, Task
from apps.tasks.spending import ALLOWANCE, PURPOSE

DAYS = 30
LINES_SHOWN = 10
DEAREST_SHOWN = 8
FEW = (Scope.PURPOSE, Scope.AGENT, Scope.REPO)
"""Scopes with so few accounts that all of them can be read; of tasks and goals there are any number."""


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
            "recent": sum((spent for _, spent in by_kind), Spent()),
            "budgets": budgets(now),
            "pause": pauses.standing(),
            "unverified": prices.unverified((row["model"] for row, _ in by_kind), utc_day(now)),
            "days": DAYS,
        },
    )


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
    """One row for each model, purpose, agent and repository that went together; few, and read in one pass."""
    for row in summed(Charge.objects.filter(started_at__gte=since), *(name for name, _ in KINDS.values())):
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


# --- budgets ----------------------------------------------------------------------------------------------------------


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
    current = dict(keys_of({}, "", now))
    shown = [budget for budget in found.values() if _in_force(budget, found, current)]
    known = _accounts([(budget.scope, _key_now(budget, current)) for budget in shown])
    widest = list(reversed(Scope))
    shown.sort(key=lambda budget: (widest.index(Scope(budget.scope)), budget.key))
    return [_allowed(budget, _account(budget, current, known, found), now) for budget in shown]


Pairs = Mapping[tuple[str, str], Any]


def _in_force(budget: Budget, budgets: Pairs, current: Mapping[str, str]) -> bool:
    """Not for a period that is over, nor for each period when this one has a budget of its own."""
    if budget.scope not in PERIODS:
        return True
    now = current[budget.scope]
    return (budget.scope, now) not in budgets if budget.key == EACH else budget.key >= now


def _key_now(budget: Budget, current: Mapping[str, str]) -> str | None:
    """The key of the one account that it is about now; None when it is for each of many."""
    if budget.key != EACH:
        return budget.key
    return current[budget.scope] if budget.scope in PERIODS or budget.scope == Scope.HUB else None


def _accounts(wanted: Sequence[tuple[str, str | None]]) -> dict[tuple[str, str], Account]:
    many = Q(scope__in=[scope for scope, key in wanted if key is None and scope in FEW])
    one = Q(scope__in=[scope for scope, _ in wanted], key__in=[key for _, key in wanted if key is not None])
    return {(account.scope, account.key): account for account in Account.objects.filter(many | one)}


def _account(budget: Budget, current: Mapping[str, str], known: Pairs, budgets: Pairs) -> Account | None:
    """Its own, or of those that it is for each of, the one that has used most of it."""
    key = _key_now(budget, current)
    if key is not None:
        return known.get((budget.scope, key)) or Account(scope=budget.scope, key=key)
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
