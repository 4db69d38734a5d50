"""What people see of money and models: the page of spending, the machines' models, and what a task cost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.dashboard import overview, spending
from apps.events.models import Event
from apps.ledger import accounts as ledger_accounts
from apps.ledger import actions, pauses, prices
from apps.ledger import allowances as ledger_allowances
from apps.ledger.accounts import Exhausted
from apps.ledger.models import Account, Budget, Charge, Price
from apps.ledger.pricing import LONGEST_MS, Usage
from apps.tasks import attempts
from apps.tasks import spending as allowances
from apps.tasks.models import Attempt
from apps.tasks.sweep import sweep
from tests import cast
from tests.apps.ledger import till
from tests.apps.ledger.till import HAIKU, LOCAL, NOW, OPUS, USAGE

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"
QWEN = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 41.5}
SONNET = {"executor": "claude", "model": "claude-sonnet-5-5", "grade": "claude", "tokens_per_second": 0.0}


@pytest.fixture(autouse=True)
def _now(monkeypatch):
    """The prices of the data file, no budget but what a test sets, and a page that is looked at on the till's day."""
    prices.load()
    Budget.objects.all().delete()
    monkeypatch.setattr(spending, "timezone", SimpleNamespace(now=lambda: NOW))


def called(usage: Usage = USAGE, *, days_ago: int = 0, **wanted: Any) -> Charge:
    """A call that the hub made itself, settled."""
    at = NOW - timedelta(days=days_ago)
    charge = till.reserved(now=at, **wanted)
    return actions.settle(charge.call_id, usage, duration_ms=2_000, now=at)


def paid(attempt: Attempt, *usages: Usage, **wanted: Any) -> list[Charge]:
    """Calls of an attempt, reported by its agent on the till's day."""
    key = f"attempt-{attempt.pk}"
    till.granted(key)
    return [till.part(usage=usage, key=key, **wanted) for usage in usages]


def lines(context: Any, title: str) -> list[tuple[str, int, int]]:
    (group,) = (group for group in context["groups"] if group.title == title)
    return [(line.name, line.spent.calls, line.spent.micro) for line in group.lines]


def shown(page) -> Any:
    response = page.get("/spending")
    assert 200 == response.status_code
    return response.context


# --- sums -------------------------------------------------------------------------------------------------------------


def test_a_hub_that_never_called_a_model_says_so(page):
    html = page.get("/spending").content.decode()

    assert "No model has been called yet" in html
    assert 'id="by-day"' not in html
    assert "Without a budget nothing is refused." in html


def test_calls_are_told_apart_by_model_purpose_agent_and_repository(page):
    called(purpose="decompose", scopes={"goal": "7", "repo": "sample"})
    called(purpose="decompose", scopes={"goal": "7"}, model=HAIKU)
    called(model=LOCAL, scopes={"agent": "bob", "repo": "sample"}, purpose="execute")
    paid(cast.working(_task()), USAGE, USAGE)
    context = shown(page)

    # One call of Opus is 14,000 micro-USD, one of Haiku 1,125 by the price of the day, a local one nothing.
    haiku = Charge.objects.get(model=HAIKU).cost_micro
    assert haiku is not None
    assert [(OPUS, 3, 42_000), (HAIKU, 1, haiku), (LOCAL, 1, 0)] == lines(context, "By model")
    assert [
        ("the hub: work", 2, 28_000),
        ("the hub: decompose", 2, 14_000 + haiku),
        ("attempts at tasks", 1, 0),
    ] == lines(context, "By purpose")
    assert [("ada", 2, 28_000), ("the hub", 2, 14_000 + haiku), ("bob", 1, 0)] == lines(context, "By agent")
    assert [("sample", 4, 42_000), ("no repository", 1, haiku)] == lines(context, "By repository")


def test_what_the_hub_thinks_is_told_apart_from_what_attempts_cost(page):
    called(purpose="judge", scopes={"state": "executing", "goal": "7"})
    called(purpose="decompose", scopes={"state": "executing"}, model=HAIKU)
    called(purpose="decompose", scopes={"state": "executing"})
    called(purpose="diagnose", scopes={"state": "healing"}, model=LOCAL)
    called(purpose="work", scopes={}, model=LOCAL)
    called(purpose="execute", scopes={"task": "1"})
    context, html = shown(page), page.get("/spending").content.decode()
    thinking = context["thinking"]

    haiku = Charge.objects.get(model=HAIKU).cost_micro
    assert haiku is not None
    assert [
        ("executing", "decompose", 2, 14_000 + haiku, True), ("executing", "judge", 1, 14_000, False),
        ("no state", "work", 1, 0, True), ("healing", "diagnose", 1, 0, True),
    ] == [(row.state, row.purpose, row.spent.calls, row.spent.micro, row.first) for row in thinking.rows]  # fmt: skip
    assert (5, 28_000 + haiku, 1, 14_000) == (
        thinking.all.calls, thinking.all.micro, thinking.attempts.calls, thinking.attempts.micro
    )  # fmt: skip
    assert (3_000 + 2_000, 2_500) == (thinking.all.prompt, thinking.all.output)
    assert 'id="thinking"' in html


def test_a_hub_that_has_not_thought_by_itself_says_nothing_of_it(page):
    called(purpose="execute")

    assert 'id="thinking"' not in page.get("/spending").content.decode()


def test_tokens_are_told_by_class_and_seconds_are_added_up(page):
    called(Usage(input=1_000, output=500, cache_read=3_000, cache_write_5m=200))
    called(Usage(input=1_000, output=500))
    html = page.get("/spending").content.decode()

    assert "2 calls, 5,200 tokens in (3,000 cached), 1,000 out, 4.0 s" in html


def reserved(charge: Charge) -> None:
    """It stays as it is."""


def voided(charge: Charge) -> None:
    actions.void(charge.call_id, now=NOW)


def uncertain(charge: Charge) -> None:
    actions.mark_uncertain(charge.call_id, now=NOW)


def corrected(charge: Charge) -> None:
    actions.settle(charge.call_id, USAGE, now=NOW)
    actions.correct(charge.call_id, 4_000, correction_id="less", by="grace", reason="A refund.", now=NOW)


@pytest.mark.parametrize(
    ("then", "calls", "micro", "unsure"),
    [(reserved, 0, 0, 0), (voided, 0, 0, 0), (uncertain, 1, 28_000, 1), (corrected, 1, 4_000, 0)],
)
def test_a_call_counts_as_what_became_of_it(page, then: Callable[[Charge], None], calls, micro, unsure):
    then(till.reserved())
    recent = shown(page)["recent"]

    assert (calls, micro, unsure) == (recent.calls, recent.micro, recent.uncertain)


def test_a_call_without_a_price_is_counted_and_never_passed_off_as_free(page):
    paid(cast.working(_task()), USAGE, model="claude-never-heard-of")
    html = page.get("/spending").content.decode()

    assert 1 == shown(page)["recent"].unpriced
    assert "1 without a price" in html
    assert "/admin/ledger/charge/?status__exact=uncertain" in html
    assert "enter the price" in html


def test_calls_that_are_said_to_have_taken_for_ever_do_not_break_the_sums(page):
    task = _task()
    attempt = cast.working(task)
    for _ in range(2):
        paid(attempt, USAGE, duration_ms=2**63 - 1)
    own = till.reserved(now=NOW)
    actions.settle(own.call_id, USAGE, duration_ms=2**63 - 1, now=NOW)

    assert 3 * LONGEST_MS == shown(page)["recent"].milliseconds
    assert 200 == page.get(f"/tasks/{task.pk}").status_code


def test_today_this_month_and_the_whole(page):
    for days_ago in (0, 1, 20, 21, 40):
        called(days_ago=days_ago)
    context = shown(page)

    assert [("Today", 1), ("This month", 3), ("In all", 5)] == [
        (total.name, total.account.spent_calls) for total in context["totals"]
    ]
    assert 4 == context["recent"].calls


def test_what_nobody_reported_is_said_beside_the_sums_that_it_is_in(page):
    """Calls alone do not come to what the accounts say: an allowance that lapsed counts as spent."""
    for key, days_ago in {"attempt-1": 0, "attempt-2": 3, "attempt-3": 40, "attempt-4": 0}.items():
        till.granted(key, now=NOW - timedelta(days=days_ago))
    till.part(key="attempt-1")
    for key in ("attempt-1", "attempt-2", "attempt-3"):
        ledger_allowances.lapse(key)
    context = shown(page)
    lost = {total.name: (total.unreported.attempts, total.unreported.micro) for total in context["totals"]}

    assert {"Today": (1, 86_000), "This month": (2, 186_000), "In all": (3, 286_000)} == lost
    assert context["totals"][0].account.spent_micro == context["recent"].micro + 86_000
    assert "not reported</a>: $0.286, 28,500 tokens of 3 attempts" in page.get("/spending").content.decode()
    ledger_allowances.release("attempt-1", now=NOW)
    assert 0 == shown(page)["totals"][0].unreported.attempts


def test_each_of_thirty_days_has_a_column_and_the_dearest_fills_it(page):
    called(days_ago=29)
    called(days_ago=1)
    called(days_ago=1)
    called(days_ago=30)
    chart = shown(page)["chart"]

    assert 30 == len(chart.columns)
    assert ("2026-10-23", "2026-11-21") == (chart.columns[0].account.key, chart.columns[-1].account.key)
    assert ["50.00%", "100.00%", "0.00%"] == [chart.columns[at].height for at in (0, 28, 29)]
    assert ["2026-11-20", "2026-10-23"] == [column.account.key for column in chart.filled]
    assert "$0.028" == chart.most


def test_where_nothing_costs_money_the_chart_is_of_tokens(page):
    called(model=LOCAL)
    html = page.get("/spending").content.decode()

    assert "the most 1,500 tokens" in html
    assert "<strong>$0.00</strong>" in html
    assert "1,000 tokens in, 500 out" in html


def test_beyond_the_first_of_a_kind_there_is_one_line_for_the_rest(page):
    for number in range(spending.LINES_SHOWN + 3):
        called(scopes={"agent": f"agent-{number}"})
    group = shown(page)["groups"][2]

    assert (spending.LINES_SHOWN, 3, 3) == (len(group.lines), group.others, group.rest.calls)
    assert "3 others" in page.get("/spending").content.decode()


# --- attempts ---------------------------------------------------------------------------------------------------------


def _task(**wanted: Any) -> Any:
    cast.agent()
    return cast.queued_task(**wanted)


def test_the_dearest_attempts_come_first_with_all_their_corrections(page):
    cheap, dear, refunded = (cast.working(_task(title=title)) for title in ("cheap", "dear", "refunded"))
    paid(cheap, USAGE)
    paid(dear, USAGE, USAGE)
    (charge, *_) = paid(refunded, USAGE, USAGE, USAGE)
    called()
    actions.correct(charge.call_id, 0, correction_id="a", by="grace", reason="Refunded.", now=NOW)
    actions.correct(charge.call_id, 1_000, correction_id="b", by="grace", reason="Not all of it.", now=NOW)
    found = shown(page)["dearest"]

    assert [("refunded", 3, 29_000), ("dear", 2, 28_000), ("cheap", 1, 14_000)] == [
        (row.attempt.task.title, row.spent.calls, row.spent.micro) for row in found
    ]
    assert f'href="/attempts/{dear.pk}"' in page.get("/spending").content.decode()


@pytest.mark.parametrize(
    ("paid_from", "attempt"),
    [("attempt-41", 41), ("attempt-", None), ("attempt-x", None), ("41", None), ("goal-41", None), (None, None)],
)
def test_the_key_of_an_allowance_names_its_attempt(paid_from, attempt):
    assert attempt == spending.attempt_of(paid_from)


def test_an_allowance_of_something_else_is_no_attempt(page):
    till.granted("attempt/1")
    till.part()

    assert [] == shown(page)["dearest"]
    assert 1 == shown(page)["recent"].calls


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "limit", "bar"),
    [
        ((0, 0), 100_000, (0, "", "0.0%", "0.0%")),
        ((40_000, 39_999), 100_000, (79, "", "40.0%", "80.0%")),
        ((40_000, 40_000), 100_000, (80, "warn", "40.0%", "80.0%")),
        ((99_999, 0), 100_000, (99, "warn", "100.0%", "100.0%")),
        ((60_000, 40_000), 100_000, (100, "bad", "60.0%", "100.0%")),
        ((150_000, 90_000), 100_000, (240, "bad", "100.0%", "100.0%")),
        ((0, 0), 0, (100, "bad", "100.0%", "100.0%")),
    ],
)
def test_a_budget_is_a_bar_of_what_is_spent_and_reserved(page, used, limit, bar):
    Account.objects.create(scope="hub", key="", spent_micro=used[0], reserved_micro=used[1])
    till.allow(micro=limit)
    (allowed,) = shown(page)["budgets"]
    (found,) = allowed.bars

    assert bar == (found.percent, found.tone, found.spent_width, found.used_width)
    assert f'class="share {found.tone}"' in page.get("/spending").content.decode()


def test_a_budget_of_several_measures_has_a_bar_for_each_and_a_link_to_change_it(page):
    called()
    till.granted()
    till.allow("day", micro=1_000_000, tokens=100_000, calls=20, enforce=False)
    html = page.get("/spending").content.decode()

    assert "$0.014 and $0.10 reserved of $1.00" in html
    assert "1,500 and 10,000 reserved of 100,000 tokens" in html
    assert "1 and 10 reserved of 20 calls" in html
    assert "only warns" in html
    assert f'href="/admin/ledger/budget/{Budget.objects.get().pk}/change/"' in html


def test_only_budgets_that_are_in_force_are_shown_the_widest_first(page):
    for scope, key in (
        ("task", "*"), ("agent", "*"), ("agent", "ada"), ("day", "*"), ("day", "2026-11-21"), ("day", "2026-11-20"),
        ("day", "2026-12-24"), ("month", "*"), ("month", "2026-10"), ("hub", "*"),
    ):  # fmt: skip
        till.allow(scope, key, calls=1)

    assert [
        "the whole hub", "each month", "day 2026-11-21", "day 2026-12-24", "each agent", "agent ada", "each task",
    ] == [allowed.name for allowed in shown(page)["budgets"]]  # fmt: skip


def test_budgets_of_states_show_the_running_hour_and_day(page):
    called(scopes={"state": "healing"})
    called(scopes={"state": "healing"}, days_ago=1)
    for scope, key in (
        ("state day", "healing *"), ("state hour", "healing *"), ("state hour", "healing 2026-11-21T11"),
        ("state hour", "executing *"), ("state hour", "*"), ("state", "*"),
    ):  # fmt: skip
        till.allow(scope, key, calls=4)

    assert [
        ("each hour of each state", "", []),
        ("each hour of executing", "2026-11-21T12", [0]),
        ("each day of healing", "2026-11-21", [25]),
        ("each hour of healing", "2026-11-21T12", [25]),
        ("each state", "healing", [50]),
    ] == [(allowed.name, allowed.which, [bar.percent for bar in allowed.bars]) for allowed in shown(page)["budgets"]]
    assert "/admin/ledger/account/?scope=state%20hour" in page.get("/spending").content.decode()


def test_a_budget_for_each_agent_shows_the_one_that_has_used_most_of_it(page):
    called(scopes={"agent": "bob"})
    for agent in ("ada", "eve", "eve", "ada", "ada"):
        called(scopes={"agent": agent})
    till.allow("agent", calls=4)
    till.allow("agent", "ada", calls=100)
    each, ada = shown(page)["budgets"]

    assert ("eve", [50]) == (each.account.key, [bar.percent for bar in each.bars])
    assert ("ada", [3]) == (ada.account.key, [bar.percent for bar in ada.bars])


def test_a_budget_for_each_task_says_its_limit_and_where_the_rest_is(page):
    called()
    till.allow("task", micro=2_000_000)
    html = page.get("/spending").content.decode()

    assert "$2.00 · " in html
    assert "/admin/ledger/account/?scope=task" in html


# --- what it costs, and what is in it ---------------------------------------------------------------------------------


def test_the_page_asks_the_same_of_the_database_however_many_calls_there_were(page):
    for scope in ("day", "month", "hub", "agent", "task"):
        till.allow(scope, micro=10**9)

    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            shown(page)
        return len(queries)

    paid(cast.working(_task()), USAGE)
    few = asked()
    for number in range(40):
        called(scopes={"agent": f"agent-{number}", "repo": f"repo-{number}"}, model=(OPUS, LOCAL)[number % 2])
    for _ in range(5):
        paid(cast.working(_task()), USAGE)

    assert few == asked()
    assert 15 >= few


def test_no_call_is_read_but_those_of_the_last_days(page):
    called()
    if connection.vendor != "sqlite":
        pytest.skip("the plan is read as SQLite writes it")
    with CaptureQueriesContext(connection) as queries:
        shown(page)
    plans = []
    for query in (each["sql"] for each in queries if 'FROM "ledger_charge"' in each["sql"]):
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query)
            plans.append(cursor.fetchall()[0][3])

    assert ["SEARCH ledger_charge USING INDEX charge_started (started_at>?)"] * 2 == plans


def test_names_of_models_agents_and_purposes_are_shown_and_never_run(page):
    prices.set_price(EVIL, NOW.date(), by="grace", rates={}, free=True)
    called(model=EVIL, purpose=EVIL, scopes={"agent": EVIL, "repo": EVIL})
    till.allow("agent", calls=10)
    html = page.get("/spending").content.decode()

    assert EVIL not in html
    assert 5 <= html.count("&lt;script&gt;alert(1)&lt;/script&gt;")
    assert " style=" not in html


def test_the_page_listens_for_what_the_ledger_tells(page):
    assert 'data-live="dashboard"' in page.get("/spending").content.decode()
    assert "dashboard" in actions.TELL


# --- agents -----------------------------------------------------------------------------------------------------------


def test_a_machine_shows_its_models_and_what_it_is(page):
    host = {"hostname": "workbench", "system": "Linux 6.18", "cpus": 1, "memory_bytes": 32 * 1024**3}
    warm = {**QWEN, "context": 16_384, "dialect": "fenced", "warm": True}
    cast.agent(offers=[warm, {**SONNET, "context": 200_000, "warm": False}], host=host)
    html = page.get("/agents").content.decode()

    for says in ("qwen3:8b", "local", "context 16,384", "fenced", "41.5 tokens/s", ">warm<", ">cold<", "200,000"):
        assert says in html, says
    for says in ("workbench", "1 core<", "32 GB memory", "Linux 6.18"):
        assert says in html, says
    assert "0.0 tokens/s" not in html


def test_a_machine_with_many_models_shows_the_first_and_folds_the_rest(page):
    cast.agent(offers=[{**QWEN, "model": f"model-{number}"} for number in range(6)])
    html = page.get("/agents").content.decode()
    open_part, folded = html.split("6 models in all")

    assert ("model-3" in open_part, "model-4" in open_part) == (True, False)
    assert "model-5" in folded


@pytest.mark.parametrize("offers", [[], [{"model": EVIL, "grade": EVIL}], [QWEN]])
def test_what_a_machine_offers_is_shown_and_never_run(page, offers):
    cast.agent(offers=[{**QWEN, **offer} for offer in offers], host={"hostname": EVIL})
    html = page.get("/agents").content.decode()

    assert EVIL not in html
    assert "&lt;script&gt;" in html


# --- a task -----------------------------------------------------------------------------------------------------------


def words(**wanted: Any) -> Any:
    return cast.queued_task(command="", tier="complex", **wanted)


def report(attempt: Attempt, call: str) -> None:
    """Its agent reports a call: 1,000 tokens in, 100 out, of which Sonnet's cost $0.003 by the price of the day."""
    allowances.settle(
        attempt,
        call_id=call,
        tokens={"input": 1_000, "output": 100},
        started_at=NOW,
        certain=True,
        duration_ms=900,
        request_id="",
    )


def test_a_task_shows_what_it_cost_in_all_and_each_attempt_what_it_cost(page):
    cast.agent(offers=[SONNET])
    task = words()
    first = cast.working(task)
    report(first, "a")
    attempts.fail(cast.fence(first), "stuck", "It went round in circles.", {"stop_reason": "stuck"})
    cast.agent(offers=[QWEN])
    cast.rest(task)
    sweep()
    second = Attempt.objects.open().get(task=task)
    report(second, "b")
    report(second, "c")
    html = page.get(f"/tasks/{task.pk}").content.decode()
    costs = spending.costs_of(task)

    assert (3, 3_000) == (costs.total.calls, costs.total.micro)
    assert "<strong>$0.003</strong>" in html
    assert "3 calls, 3,000 tokens in, 300 out" in html
    assert "$0.003 for 1 call, 1,000 tokens in, 100 out</span>" in html
    assert "$0.00 for 2 calls, 2,000 tokens in, 200 out</span>" in html


def test_what_the_hub_thought_about_a_task_is_in_its_total(page):
    task = cast.queued_task()
    called(scopes={"task": str(task.pk)})
    called(scopes={"task": "999999"})

    assert (1, {None: 14_000}) == (
        (found := spending.costs_of(task)).total.calls,
        {attempt: spent.micro for attempt, spent in found.attempts.items()},
    )
    assert 'id="cost"' in page.get(f"/tasks/{task.pk}").content.decode()


def test_a_task_that_called_no_model_says_nothing_of_cost(page):
    html = page.get(f"/tasks/{cast.queued_task().pk}").content.decode()

    assert 'id="cost"' not in html
    assert 'id="grades"' not in html


def test_what_a_task_costs_is_one_query_by_its_index(django_assert_num_queries):
    task = cast.queued_task()
    for _ in range(3):
        called(scopes={"task": str(task.pk)})

    with django_assert_num_queries(1):
        spending.costs_of(task)


def test_while_it_waits_a_task_says_which_grades_may_have_it_and_then_which_model_got_it(page):
    task = words()
    waiting = page.get(f"/tasks/{task.pk}").content.decode()
    cast.agent("ada", offers=[{**SONNET}])
    cast.working(task)
    working = page.get(f"/tasks/{task.pk}").content.decode()

    assert "Now it may go to a model of grade <strong>claude</strong>." in waiting
    assert 'id="grades"' not in working
    assert "<strong>ada</strong> got it with <code>claude-sonnet-5-5</code> (claude):" in working


def test_the_model_that_an_agent_names_is_escaped_on_the_task(page):
    prices.set_price(EVIL, NOW.date() - timedelta(days=3_000), by="grace", rates={}, free=True)
    cast.agent(offers=[{**SONNET, "model": EVIL}])
    task = words()
    cast.working(task)
    html = page.get(f"/tasks/{task.pk}").content.decode()

    assert EVIL not in html
    assert "got it with <code>&lt;script&gt;" in html


@pytest.mark.parametrize(
    ("used", "verified", "expected"),
    [
        (OPUS, NOW.date() - timedelta(days=90), []),
        (OPUS, NOW.date() - timedelta(days=91), [OPUS]),
        (OPUS, None, [OPUS]),
        (HAIKU, NOW.date() - timedelta(days=91), []),
        (LOCAL, None, []),
    ],
)
def test_the_old_price_of_a_model_in_use_is_pointed_out(page, used: str, verified: date | None, expected: list[str]):
    Price.objects.filter(model__in=[OPUS, "ollama:*"]).update(verified_on=verified)
    called(model=used)

    assert expected == shown(page)["unverified"]
    assert bool(expected) is (f"compared the price of {OPUS} with" in page.get("/spending").content.decode())


def test_an_old_band_makes_the_price_old(page):
    Price.objects.filter(model=HAIKU, prompt_over__gt=0).update(verified_on=None)
    called(model=HAIKU)

    assert [HAIKU] == shown(page)["unverified"]


def test_a_pause_of_spending_is_shown_and_lifted_on_its_page(page):
    assert 'id="paused"' not in page.get("/spending").content.decode()
    pauses.begin("$9.00 were spent in five minutes; $0.01 are usual.")
    for path in ("/", "/spending"):
        assert "$9.00 were spent in five minutes; $0.01 are usual." in page.get(path).content.decode()
    assert 405 == page.get("/spending/lift").status_code
    page.post("/spending/lift")

    assert pauses.standing() is None
    assert "grace" == Event.objects.get(kind="spending.lifted").actor
    assert 'id="paused"' not in page.get("/").content.decode()


# --- on the first page ------------------------------------------------------------------------------------------------


@pytest.fixture
def _overview_then(monkeypatch):
    monkeypatch.setattr(overview, "timezone", SimpleNamespace(now=lambda: NOW))


@pytest.mark.usefixtures("_overview_then")
def test_a_state_that_had_no_budget_left_is_on_the_first_page(page, monkeypatch):
    monkeypatch.setattr(overview, "timezone", SimpleNamespace(now=lambda: NOW))
    till.allow("state hour", "healing *", calls=0)
    with pytest.raises(Exhausted) as full:
        till.reserved(scopes={"state": "healing"})
    ledger_accounts.remember(full.value)
    Account.objects.filter(exhausted_at__isnull=False).update(exhausted_at=NOW)
    Budget.objects.update(changed_at=NOW)

    assert "The budget of each hour of healing (2026-11-21T12) had no room for the hub&#x27;s own thinking." in (
        page.get("/").content.decode()
    )


@pytest.mark.usefixtures("_overview_then")
@pytest.mark.parametrize(("limit", "strained"), [(35_001, False), (35_000, True)])
def test_a_budget_that_is_nearly_used_up_is_on_the_first_page(page, limit: int, strained: bool):
    till.allow("day", micro=limit)
    till.reserved(now=NOW)
    html = page.get("/").content.decode()

    assert strained is ("The budget of each day (2026-11-21) is nearly used up." in html)
    assert strained is ("$0.00 spent and $0.028 reserved of $0.035" in html)
    assert strained is ('id="strained"' in html)


@pytest.mark.usefixtures("_overview_then")
@pytest.mark.parametrize(("minutes", "shown_still"), [(14, True), (16, False)])
def test_a_budget_that_just_had_no_room_is_on_the_first_page(page, minutes: int, shown_still: bool):
    till.allow("hub", micro=10)
    Budget.objects.update(changed_at=NOW - timedelta(days=1))
    with pytest.raises(Exhausted) as refused:
        till.reserved(now=NOW)
    ledger_accounts.remember(refused.value)
    Account.objects.update(exhausted_at=NOW - timedelta(minutes=minutes))

    assert ("The budget of the whole hub had no room for an attempt." in page.get("/").content.decode()) is shown_still
