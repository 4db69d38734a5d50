"""An attempt's allowance: set aside when it is assigned, posted call by call, given back at its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import override_settings
from django.utils import timezone

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints.rules import change
from apps.events.models import Event
from apps.events.refused import Stale
from apps.gateway import inbound
from apps.gateway.outbound import Told, assignment
from apps.ledger import allowances, budgets, pauses, prices
from apps.ledger.limits import Limits
from apps.ledger.models import Account, Allowance, Budget, Charge
from apps.tasks import actions, attempts, jobs, spending
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task
from apps.tasks.sweep import sweep
from apps.tasks.waiting import why
from sidecar.wire import messages, nouns
from tests import cast

pytestmark = pytest.mark.django_db

LOCAL = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0}
CLAUDE = {"executor": "claude", "model": "claude-sonnet-5-5", "grade": "claude", "tokens_per_second": 0.0}
UNKNOWN = {**CLAUDE, "model": "claude-never-heard-of"}
OWN = {"executor": "command", "model": "opencode", "grade": "local", "tokens_per_second": 0.0}
MICRO = 1_000_000


@pytest.fixture(autouse=True)
def _prices():
    prices.load()


def words(tier: str = "standard", **wanted: Any) -> Task:
    return cast.queued_task(command="", tier=tier, **wanted)


def call(name: str = "a", **more: Any) -> nouns.ModelCall:
    at = round(timezone.now().timestamp() * 1000)
    return nouns.ModelCall(
        **{"call": name, "model": "free", "at": at, "tokens": {"input": 1_000, "output": 100}, **more}
    )


def said(attempt: Attempt, *calls: nouns.ModelCall, agent: Agent | None = None) -> list[str]:
    frame = messages.ModelCalls(task=attempt.task_id, attempt=attempt.pk, calls=list(calls))
    (answer,) = inbound.model_calls(agent or attempt.agent, frame, Told())
    assert isinstance(answer, messages.CallsSettled)
    return list(answer.calls)


def day() -> Account:
    return Account.objects.get(scope="day")


def costs() -> list[int | None]:
    return list(Charge.objects.order_by("pk").values_list("cost_micro", flat=True))


def test_a_local_model_gets_tokens_and_needs_no_money():
    cast.agent(offers=[LOCAL])
    budgets.set_budget("day", by="tests", limits=Limits(micro=0))
    attempt = cast.assigned(words())
    given = assignment(attempt).allowance

    assert given is not None
    assert (0, 400_000, 200) == (given.microusd, given.tokens, given.calls)
    assert [0] == [rate.input for rate in given.rates]


def test_claude_gets_an_allowance_in_money_with_the_rates_of_the_day():
    cast.agent(offers=[CLAUDE])
    attempt = cast.assigned(words("complex"))
    given = assignment(attempt).allowance

    assert given is not None
    assert (MICRO, [(2_000_000, 10_000_000)]) == (given.microusd, [(rate.input, rate.output) for rate in given.rates])
    assert MICRO == day().reserved_micro


def test_an_attempt_is_told_the_rates_that_its_calls_are_charged_by():
    cast.agent(offers=[CLAUDE])
    attempt = cast.assigned(words("complex"))
    before = assignment(attempt).allowance
    prices.set_price("claude-sonnet-5-5", timezone.now().date(), by="ann", rates={"input": 7_000_000})
    said(attempt, call("a"))

    assert before == assignment(attempt).allowance
    assert [3_000] == costs()


def test_each_call_is_posted_once_and_the_rest_goes_back_with_the_last_word():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    first, again = said(attempt, call("a"), call("b")), said(attempt, call("b"))
    attempts.complete(cast.fence(attempt), {"summary": "done"}, [])

    assert (["a", "b"], ["b"]) == (first, again)
    assert [3_000, 3_000] == costs()
    assert (6_000, 0) == (day().spent_micro, day().reserved_micro)
    assert "released" == Allowance.objects.get().status


def test_the_rest_goes_back_too_when_the_checks_did_not_pass():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex", checks=[cast.CHECK]))
    said(attempt, call("a"))
    outcome = attempts.complete(cast.fence(attempt), {"summary": "done"}, [cast.report([cast.CHECK], "fail")])

    assert "unverified" == outcome
    assert (3_000, 0) == (day().spent_micro, day().reserved_micro)
    assert "released" == Allowance.objects.get().status


def test_the_calls_of_a_model_with_the_longest_name_are_posted():
    cast.agent(offers=[{**LOCAL, "model": "m" * 200}])
    attempt = cast.working(words())
    said(attempt, call("a"))

    assert ["ollama:" + "m" * 200] == list(Charge.objects.values_list("model", flat=True))


def test_a_call_that_is_told_after_the_end_is_posted_all_the_same():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    attempts.fail(cast.fence(attempt), "stuck", "It went round in circles.")
    said(attempt, call("late"))

    assert [3_000] == costs()
    assert (3_000, 0) == (day().spent_micro, day().reserved_micro)


def test_what_a_silent_agent_may_have_spent_stays_set_aside():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    attempts.reclaim(cast.fence(attempt), "It fell silent.", only_lapsed=False)

    assert MICRO == day().reserved_micro


def long_ago(attempt: Attempt, *, ended: int = 6, connected: int = 6) -> None:
    """So many minutes have passed since it ended, and since its agent connected."""
    now = timezone.now()
    Attempt.objects.filter(pk=attempt.pk).update(ended_at=now - timedelta(minutes=ended))
    Agent.objects.filter(pk=attempt.agent_id).update(connected_at=now - timedelta(minutes=connected))


def ended_by_others(how: str) -> Attempt:
    """An attempt that ended without its agent's last word, with one call told of."""
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    said(attempt, call("a"))
    if how == "cancelled":
        actions.cancel(attempt.task, by="ann")
    elif how == "expired":
        actions.expire(attempt.task, "Its deadline passed.")
    else:
        attempts.reclaim(cast.fence(attempt), "It fell silent.", only_lapsed=False)
    return attempt


@pytest.mark.parametrize("how", ["cancelled", "expired", "reclaimed"])
@pytest.mark.parametrize("lapsed", [False, True])
def test_what_nobody_gave_back_goes_back_when_the_agent_has_told_everything(how: str, lapsed: bool):
    attempt = ended_by_others(how)
    if lapsed:
        allowances.lapse(Allowance.objects.get(key=f"attempt-{attempt.pk}").key)
    long_ago(attempt)

    assert (1, 0) == (spending.give_back(), spending.give_back())
    assert (3_000, 0) == (day().spent_micro, day().reserved_micro)
    assert "released" == Allowance.objects.get(key=f"attempt-{attempt.pk}").status


@pytest.mark.parametrize("times", [{"ended": 4}, {"connected": 4}])
def test_it_is_kept_while_the_agent_may_not_have_told_everything(times: dict[str, int]):
    long_ago(ended_by_others("cancelled"), **times)

    assert 0 == spending.give_back()
    assert MICRO - 3_000 == day().reserved_micro


def test_it_is_kept_while_the_agent_is_not_there_or_still_works():
    attempt = ended_by_others("cancelled")
    long_ago(attempt)
    agent = cast.fresh(attempt.agent)
    presence.leave(agent, agent.connection or "")
    cast.agent(offers=[CLAUDE])
    Agent.objects.update(connected_at=timezone.now() - timedelta(hours=1))
    at_work = cast.working(words("complex"))

    assert 0 == spending.give_back()
    assert {f"attempt-{attempt.pk}": "open", f"attempt-{at_work.pk}": "open"} == dict(
        Allowance.objects.values_list("key", "status")
    )


def test_one_that_cannot_be_given_back_stops_no_other(monkeypatch: pytest.MonkeyPatch):
    both = [ended_by_others("cancelled") for _ in range(2)]
    for attempt in both:
        long_ago(attempt)
    release = allowances.release

    def once_refused(key: str) -> object:
        if key == f"attempt-{both[0].pk}":
            raise Stale
        return release(key)

    monkeypatch.setattr(allowances, "release", once_refused)
    jobs.give_back()

    assert ["open", "released"] == list(Allowance.objects.order_by("pk").values_list("status", flat=True))


def test_what_is_told_after_it_went_back_is_posted_all_the_same():
    attempt = ended_by_others("cancelled")
    long_ago(attempt)
    spending.give_back()
    said(attempt, call("late"))

    assert [3_000, 3_000] == costs()
    assert (6_000, 0) == (day().spent_micro, day().reserved_micro)


def test_the_model_that_was_assigned_is_charged_whatever_the_report_says():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    said(attempt, call(model="ollama:something-free"))

    assert ["claude-sonnet-5-5"] == list(Charge.objects.values_list("model", flat=True))


def test_tokens_of_a_class_that_nobody_knows_are_not_free():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    said(attempt, call("a", tokens={"input": 1_000, "output": 100, "image": 50, "audio": 0}))
    charge = Charge.objects.get()

    assert ("uncertain", 150) == (charge.status, charge.output)
    assert "Tokens without a price, counted as output: image." == charge.note
    assert 4_000 + 1_500 == charge.cost_micro


def test_nobody_else_can_charge_an_attempt_and_nonsense_is_answered_but_not_posted():
    cast.agent(offers=[CLAUDE])
    attempt = cast.working(words("complex"))
    other = cast.agent("eve")

    assert ["a"] == said(attempt, call("a"), agent=other)
    assert ["b"] == said(attempt, call("b", tokens={"input": 2_000_000_000}))
    assert not Charge.objects.exists()


def test_when_no_budget_has_room_the_next_grade_gets_it_at_once():
    cast.agent("ada", offers=[CLAUDE])
    cast.agent("bob", offers=[LOCAL])
    budgets.set_budget("day", by="tests", limits=Limits(micro=MICRO // 10 - 1))
    task = words("complex")
    match()
    attempt = Attempt.objects.open().get(task=task)

    assert ("bob", "local") == (attempt.agent.name, attempt.grade)
    event = Event.objects.get(kind="task.rerouted")
    assert "$0.10 is needed, but the budget for" in event.data["reason"]


def granted(measure: str) -> list[int]:
    return list(Allowance.objects.order_by("pk").values_list(measure, flat=True))


@pytest.mark.parametrize(
    ("scope", "limits", "given"),
    [
        ("task", Limits(micro=500_000), (500_000, 400_000, 200)),
        ("day", Limits(micro=100_000), (100_000, 400_000, 200)),
        ("agent", Limits(tokens=40_000, calls=150), (MICRO, 40_000, 150)),
        ("repo", Limits(micro=1, calls=1, enforce=False), (MICRO, 400_000, 200)),
    ],
)
def test_an_attempt_gets_what_there_is_when_that_is_less_than_the_settings_allow(
    scope: str, limits: Limits, given: tuple[int, int, int]
):
    cast.agent(offers=[CLAUDE])
    budgets.set_budget(scope, by="tests", limits=limits)
    attempt = cast.assigned(words("complex", repo=cast.repo()))
    told = assignment(attempt).allowance

    assert told is not None
    assert given == (told.microusd, told.tokens, told.calls)
    assert given == (day().reserved_micro, day().reserved_tokens, day().reserved_calls)


def test_a_budget_of_calls_lets_a_local_model_use_all_of_them():
    cast.agent(offers=[LOCAL])
    budgets.set_budget("day", by="tests", limits=Limits(calls=150))
    cast.assigned(words())

    assert [150] == granted("granted_calls")


@pytest.mark.parametrize(("estimate", "given"), [("worst", MICRO), ("p95", 300_000)])
def test_an_operator_may_have_set_aside_what_attempts_mostly_need(settings: Any, estimate: str, given: int):
    """Of this model and tier: what others needed says nothing about it."""
    settings.ESTIMATE = estimate
    ada = cast.agent(offers=[CLAUDE])
    for tier, output in (("complex", 30_000), ("trivial", 70_000)):
        change(tier, ["claude"], 60, by="tests")
        for _ in range(20):
            budgets.set_budget("day", by="tests", limits=Limits())
            attempt = cast.working(words(tier))
            said(attempt, call("a", tokens={"output": output}))
            attempts.complete(cast.fence(attempt), {"summary": "done"}, [])
    attempt = cast.assigned(words("complex", target=ada))

    assert given == Allowance.objects.get(key=f"attempt-{attempt.pk}").granted_micro


def test_what_attempts_mostly_need_is_never_less_than_one_may_begin_with(settings: Any):
    settings.ESTIMATE = "p95"
    cast.agent(offers=[CLAUDE])
    for _ in range(21):
        attempt = cast.working(words("complex"))
        attempts.complete(cast.fence(attempt), {"summary": "done"}, [])

    newest = Allowance.objects.latest("pk").granted
    assert (MICRO // 10, 40_000, 20) == (newest.micro, newest.tokens, newest.calls)


def test_less_than_a_tenth_is_not_begun_with():
    cast.agent(offers=[LOCAL])
    budgets.set_budget("day", by="tests", limits=Limits(calls=19))
    task = words()
    match()

    assert not Attempt.objects.filter(task=task).exists()
    assert "20 calls are needed, but the budget for" in cast.fresh(task).last_error


def test_without_another_grade_it_rests_and_says_why():
    cast.agent("ada", offers=[CLAUDE])
    change("complex", ["claude"], 60, by="tests")
    budgets.set_budget("day", by="tests", limits=Limits(micro=1))
    task = words("complex")
    match()

    assert not Attempt.objects.exists()
    assert "has $0.000001 left. It is tried again at" in why(cast.fresh(task))

    budgets.set_budget("day", by="tests", limits=Limits())
    cast.rest(task)
    sweep()
    assert "claude" == Attempt.objects.open().get(task=task).grade


def test_while_spending_is_paused_only_what_is_free_is_begun():
    cast.agent("ada", offers=[CLAUDE])
    cast.agent("bob", offers=[LOCAL])
    pauses.begin("Somebody has to look.")
    task = words("complex")
    match()
    attempt = Attempt.objects.open().get(task=task)

    assert ("bob", "local") == (attempt.agent.name, attempt.grade)
    assert "Spending is paused until a person lets it go on. Somebody has to look." in cast.fresh(task).last_error


def exhausted() -> list[tuple[str, str, int]]:
    events = Event.objects.filter(kind="budget.exhausted").order_by("pk")
    return [(event.data["scope"], event.data["measure"], event.data["asked"]) for event in events]


def test_a_budget_without_room_is_remembered_once_until_it_is_set_again():
    cast.agent("ada", offers=[CLAUDE])
    change("complex", ["claude"], 60, by="tests")
    budgets.set_budget("day", by="tests", limits=Limits(micro=1))
    task = words("complex")
    for _ in range(2):
        match()
        cast.rest(task)
        sweep()
    assert [("day", "micro", MICRO // 10)] == exhausted()
    first = day().exhausted_at or timezone.now()
    budgets.set_budget("day", by="tests", limits=Limits(micro=2))
    cast.rest(task)
    sweep()

    assert 2 == len(exhausted())
    assert first < (day().exhausted_at or first)


def test_a_model_without_a_price_is_refused_clearly():
    cast.agent(offers=[UNKNOWN])
    task = words("complex")
    match()

    assert not Attempt.objects.filter(task=task).exists()
    assert "There is no price for claude-never-heard-of" in cast.fresh(task).last_error


def test_what_an_agent_cli_spends_is_not_ours_to_count():
    cast.agent(offers=[OWN])
    attempt = cast.working(words())
    attempts.complete(cast.fence(attempt), {"summary": "done"}, [])

    assert assignment(attempt).allowance is None
    assert not Allowance.objects.exists()


def test_a_new_hub_spends_at_most_five_dollars_a_day_and_half_of_that_on_one_goal():
    in_money = Budget.objects.filter(limit_micro__isnull=False)
    rows = list(in_money.order_by("scope").values_list("scope", "key", "limit_micro"))

    assert [("day", "*", 5_000_000), ("goal", "*", 2_500_000), ("own day", "*", 1_000_000)] == rows


@override_settings(ATTEMPT_MICROUSD=2_000_000)
def test_attempts_at_once_cannot_promise_more_than_there_is():
    for _ in range(4):
        cast.agent(offers=[CLAUDE])
    for _ in range(4):
        words("complex")
    match()

    assert 3 == Attempt.objects.open().count()
    assert [2_000_000, 2_000_000, 1_000_000] == granted("granted_micro")
    assert 5_000_000 == day().reserved_micro
