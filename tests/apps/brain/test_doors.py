"""The hub's own doings by REST, admin and command line; and what wakes it."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from agentcom.reactions import REACTIONS
from apps.brain import actions, read
from apps.brain.documents import SNAPSHOT
from apps.brain.lifecycle import State
from apps.brain.models import Brain
from apps.events import documents as doc
from apps.events.kinds import Kind
from apps.goals import actions as goals
from apps.goals import gate
from apps.ledger.budgets import set_budget
from apps.ledger.limits import Limits, Scope
from apps.ledger.models import Account, Budget
from apps.repos import actions as repos
from tests import cast, rest
from tests.apps.brain.conftest import Hub, goal

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller() -> rest.Caller:
    return rest.integration("brain:read", "brain:write")


def said(*words: str) -> list[str]:
    out = StringIO()
    call_command("brain", *words, stdout=out)
    return out.getvalue().splitlines()


def test_the_report_says_what_it_does_why_and_what_holds_it_back(hub: Hub) -> None:
    hub.think()
    hub.now += timedelta(seconds=3)
    goal()
    Account.objects.create(scope=Scope.STATE_HOUR, key="executing 2026-03-02T09", spent_calls=19, reserved_calls=1)
    report = read.report(now=hub.now)

    assert (State.RESTING, "A new hub has nothing to do.", 3.0) == (report.state, report.why, report.seconds)
    assert (State.EXECUTING, ("The executing budget is used up.",)) == (report.next, report.holds)
    assert (1, 0, 0) == (report.pending, report.active, report.waiting)
    assert ["executing", "executing", "improving"] == [purse.state for purse in report.budgets][:3]
    assert ("hour", "calls", 20, 20, 100) == (
        report.budgets[0].period,
        report.budgets[0].measure,
        report.budgets[0].used,
        report.budgets[0].limit,
        report.budgets[0].percent,
    )
    assert [State.RESTING] == [stay.status for stay in report.stays]


def test_a_report_of_a_hub_that_never_thought_changes_nothing() -> None:
    report = read.report()

    assert State.RESTING is report.state
    assert not Brain.objects.exists()


def test_a_budget_of_a_state_in_all_and_one_that_only_warns(hub: Hub) -> None:
    Budget.objects.all().delete()
    set_budget(Scope.STATE, "healing", by="ann", limits=Limits(tokens=100, enforce=False))
    Account.objects.create(scope=Scope.STATE, key="healing", spent_tokens=250)
    (purse,) = read.report(now=hub.now).budgets

    assert ("healing", "in all", "tokens", 250, 100, False) == (
        purse.state,
        purse.period,
        purse.measure,
        purse.used,
        purse.limit,
        purse.enforced,
    )
    assert 100 == purse.percent


def test_what_bounds_all_states_is_shown_after_them(hub: Hub, caller: rest.Caller) -> None:
    set_budget(Scope.HUB, by="ann", limits=Limits(tokens=10**6))
    set_budget(Scope.MONTH, by="ann", limits=Limits(calls=1_000))
    set_budget(Scope.HOUR, by="ann", limits=Limits(calls=50))
    Account.objects.create(scope=Scope.DAY, key="2026-03-02", spent_micro=1_500_000)
    budgets = read.report(now=hub.now).budgets

    shared = [(purse.period, purse.measure, purse.used, purse.limit) for purse in budgets if not purse.state]
    assert [
        ("hour", "calls", 0, 50), ("day", "micro", 1_500_000, 5_000_000), ("month", "calls", 0, 1_000),
        ("in all", "tokens", 0, 10**6),
    ] == shared  # fmt: skip
    assert ["", "", "", ""] == [purse.state for purse in budgets][-4:]
    assert "  budget   all states    this day  $1.50 of $5.00" in said()
    assert {"state": "", "period": "hour", "measure": "calls", "used": 0, "limit": 50} in [
        {name: purse[name] for name in ("state", "period", "measure", "used", "limit")}
        for purse in caller.get("/api/brain").json()["budgets"]
    ]
    found = doc.read(caller.get("/api/brain/snapshot.xml").content, SNAPSHOT)["budgets"]
    assert 4 == sum("state" not in budget for budget in found)


def test_rest_shows_and_pauses_and_resumes(caller: rest.Caller) -> None:
    paused = caller.post("/api/brain/pause", {"reason": "holidays"}).json()
    again = caller.post("/api/brain/pause")
    resumed = caller.post("/api/brain/resume").json()

    assert ("resting", "holidays") == (paused["state"], paused["pause"]["reason"])
    assert "A person paused the hub." in paused["holds"]
    assert "holidays" == again.json()["pause"]["reason"]
    assert resumed["pause"] is None
    assert not gate.is_closed()


@pytest.mark.parametrize(
    ("body", "field"), [({"reasons": "x"}, "reasons"), ({"reason": "x" * 301}, "reason"), ([], "non_field")]
)
def test_a_pause_that_is_not_understood_is_refused_with_its_field(caller: rest.Caller, body: Any, field: str) -> None:
    answer = caller.post("/api/brain/pause", body)

    assert 400 == answer.status_code
    assert field in str(answer.json())
    assert not gate.is_closed()


def test_the_history_is_paged_newest_first(hub: Hub, caller: rest.Caller) -> None:
    hub.later(minutes=1)
    hub.do()
    first = caller.get("/api/brain/history?page_size=2").json()
    rest_of_it = caller.get(first["next"]).json()

    assert ["resting", "contemplating"] == [stay["state"] for stay in first["results"]]
    assert ["improving", "resting"] == [stay["state"] for stay in rest_of_it["results"]]
    assert (None, 0.0) == (first["results"][0]["seconds"], first["results"][1]["seconds"])


def test_the_admin_shows_it_and_pauses_and_resumes() -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    page = reverse("admin:brain_brain_changelist")

    assert b"A new hub has nothing to do." in client.get(page).content
    assert 200 == client.get(reverse("admin:brain_stay_changelist")).status_code

    client.post(page, {"action": "pause", "_selected_action": [1]})
    assert "ann" == gate.standing().by
    assert gate.is_closed()
    client.post(page, {"action": "resume", "_selected_action": [1]})
    assert not gate.is_closed()
    assert 403 == client.get(reverse("admin:brain_brain_add")).status_code


def test_the_admin_looks_at_the_hub_once_for_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[read.Report] = []
    real = read.report

    def report(**wanted: Any) -> read.Report:
        made.append(real(**wanted))
        return made[-1]

    monkeypatch.setattr(read, "report", report)
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))

    assert b"A new hub has nothing to do." in client.get(reverse("admin:brain_brain_changelist")).content
    assert 1 == len(made)


def test_the_command_says_how_things_are_in_words(hub: Hub) -> None:
    hub.later(minutes=1)
    hub.do()
    hub.now += timedelta(seconds=42)

    assert [
        "resting for 42 s, since 2026-03-02 09:01:00Z",
        "  because  Contemplating found nothing.",
        "  now      No goals are waiting.",
        "  next     improving",
        "  held by  It looks around again in 18 seconds.",
        "  goals    0 can begin, 0 under way, 0 wait for people",
        "  budget   executing     this hour 0 calls of 20 calls",
    ] == said()[:7]


def test_the_command_pauses_resumes_and_tells_of_the_past(hub: Hub) -> None:
    assert ["The hub is paused: it begins nothing by itself."] == said("pause", "holidays")
    assert ["It was paused already."] == said("pause")
    assert any(line.startswith("  paused   by manage.py") and line.endswith(": holidays") for line in said("status"))
    assert "It stays where it is." == said("think")[0]
    assert ["The hub goes on."] == said("resume")
    assert ["It was not paused."] == said("resume")

    hub.now += timedelta(minutes=1)
    assert "2026-03-02 09:01:00Z  improving        lasts  No goals are waiting" in said("think")[0]
    assert 2 == len(said("history"))
    assert 1 == len(said("history", "--last", "1"))


def test_what_people_wrote_does_not_steer_the_terminal(hub: Hub) -> None:
    actions.pause(by="ann\x1b]0;owned\x07", reason="gone\x1b[2J\u202e\nstate: fine")

    out = said("status")
    assert any("ann ]0;owned" in line and line.endswith(": gone [2J  state: fine") for line in out)
    assert all(line.isprintable() for line in [*out, *said("history"), *said("think")])


def test_a_command_that_is_not_there_is_refused() -> None:
    with pytest.raises(CommandError, match="invalid choice: 'sleep'"):
        call_command("brain", "sleep")


WAKES = {
    Kind.GOAL_SUBMITTED, Kind.GOAL_CHANGED, Kind.GOAL_RESUMED, Kind.GOAL_COMPLETED, Kind.GOAL_FAILED,
    Kind.GOAL_CANCELLED, Kind.GOAL_REVIEW_WANTED, Kind.GOAL_LANDED, Kind.GOAL_REJECTED, Kind.REPO_SYNCED,
    Kind.PULL_MERGED, Kind.CHECKUP_FAILED, Kind.ENDPOINT_DOWN, Kind.ENDPOINT_UP, Kind.BUDGET_SET, Kind.BRAIN_RESUMED,
    Kind.REPO_CHANGED, Kind.TASK_BURIED,
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(WAKES))
def test_what_happens_outside_wakes_the_hub(kind: Kind) -> None:
    assert any(reaction.job.startswith("apps.brain.jobs.") for reaction in REACTIONS[kind])


def work_off() -> None:
    """Run what is queued for the brain, as the clusters would."""
    while (row := OrmQ.objects.order_by("id").first()) is not None:
        job = row.task
        row.delete()
        if job["func"].startswith("apps.brain.jobs."):
            import_string(job["func"])(*job["args"])


def test_a_goal_that_is_handed_in_is_begun_by_what_its_event_queued() -> None:
    made = goal()
    work_off()

    assert "decomposing" == cast.fresh(made).status
    goals.cancel(made, by="ann")
    actions.think(now=timezone.now() + timedelta(minutes=1))
    assert State.RESTING is actions.current().state


def test_goals_of_a_repository_that_is_paused_no_more_are_begun_by_what_its_event_queued() -> None:
    made = goal()
    repos.pause(made.repo, by="ann")
    work_off()
    assert "submitted" == cast.fresh(made).status

    repos.resume(made.repo, by="ann")
    work_off()

    assert "decomposing" == cast.fresh(made).status


def test_a_resumed_hub_thinks_by_what_its_event_queued() -> None:
    actions.pause(by="ann")
    made = goal()
    work_off()
    assert "submitted" == cast.fresh(made).status

    actions.resume(by="ann")
    work_off()

    assert "decomposing" == cast.fresh(made).status
