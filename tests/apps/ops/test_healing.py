"""Rounds of healing: each remedy once, written down with before and after, and never more than it says."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from apps.agents import presence
from apps.brain import actions as brain
from apps.endpoints import ollama
from apps.endpoints.models import Endpoint, Model, Restart
from apps.events.models import Event
from apps.goals import gate
from apps.goals.models import Goal, Plan
from apps.insight import jobs as insight
from apps.insight.models import Checkup
from apps.ops import alerts, healing, health, jobs, signals
from apps.ops.assessment import Category
from apps.ops.healing import heal
from apps.ops.models import Alert, Remedy
from apps.repos import actions as repos
from apps.tasks import attempts, fallback
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.sweep import hold_door_open
from tests import cast, rest
from tests.apps.forge.conftest import agents, data_dir, workshop
from tests.apps.forge.workshop import CHECK, Workshop, drain
from tests.apps.insight.examining import push, report

__all__ = ["agents", "data_dir", "workshop"]
pytestmark = pytest.mark.django_db
GPU = "http://gpu.example.org:11434"


@pytest.fixture(autouse=True)
def door(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub can be reached, and heals when these tests say so."""
    monkeypatch.setattr(brain, "think", lambda: None)
    hold_door_open()


@pytest.fixture
def silent_endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """An operator's endpoint that is down, and does not answer when it is looked at."""

    async def nothing(url: str, **_: Any) -> Any:
        raise ollama.NoAnswer("nobody is there")

    monkeypatch.setattr(ollama, "look", nothing)
    return Endpoint.objects.create(place=GPU, url=GPU, name="gpu", health="down", misses=2)


def lapsed(seconds: float = 120.0, **wanted: Any) -> Attempt:
    attempt = cast.working(cast.queued_task(**wanted))
    Attempt.objects.filter(pk=attempt.pk).update(lease_until=timezone.now() - timedelta(seconds=seconds))
    return attempt


def hanging() -> Attempt:
    """Its agent answers and renews it, but it is long over its time and shows nothing."""
    attempt = cast.working(cast.queued_task(timeout_seconds=60))
    Attempt.objects.filter(pk=attempt.pk).update(accepted_at=timezone.now() - timedelta(hours=1))
    attempts.renew(cast.fence(attempt))
    return attempt


def gone(attempt: Attempt) -> None:
    assert attempt.agent.connection
    presence.leave(attempt.agent, attempt.agent.connection)


def later(**by: float) -> None:
    """As if what healing did had been so long ago."""
    for remedy in Remedy.objects.all():
        Remedy.objects.filter(pk=remedy.pk).update(at=remedy.at - timedelta(**by))


def done() -> list[tuple[str, str]]:
    return [(one.action, one.outcome) for one in heal().actions]


def test_a_hub_that_is_well_is_left_alone(db: None) -> None:
    cast.agent()
    cast.working(cast.queued_task())
    found = heal()

    assert found.before.healthy
    assert found.after.healthy
    assert (False, 0) == (bool(found), Remedy.objects.count())


def test_a_stuck_attempt_whose_agent_answers_is_given_time_twice_and_then_taken_back(db: None) -> None:
    cast.agent()
    attempt = hanging()
    for _ in range(2):
        assert [("give it more time", "done")] == done()
        assert [] == done()
        later(minutes=6)
    assert [("take it back", "done")] == done()

    assert [] == done()
    assert ("reclaimed", "queued") == (cast.outcome_of(attempt), cast.status_of(attempt.task))


def test_a_lapsed_lease_of_an_agent_that_answers_starts_anew(db: None) -> None:
    cast.agent()
    attempt = lapsed()

    assert [("give it more time", "done")] == done()
    assert cast.fresh(attempt).lease_until > timezone.now()
    assert [] == done()


def test_work_of_an_agent_that_is_gone_is_taken_back_and_counted(db: None) -> None:
    cast.agent()
    attempt = lapsed()
    gone(attempt)
    (one,) = heal().actions

    assert ("take it back", "done", "stuck_tasks") == (one.action, one.outcome, one.category)
    assert [("working", 0), ("queued", 1)] == [
        (facts["status"], facts["reclaims"]) for facts in (one.before, one.after)
    ]
    assert [] == done()


def test_what_was_taken_back_too_often_is_buried(db: None, settings: Any) -> None:
    cast.agent()
    attempt = lapsed()
    Task.objects.update(reclaims=settings.MAX_RECLAIMS)
    gone(attempt)
    (one,) = heal().actions

    assert ("dead", "It is in the dead letter.") == (one.after["status"], one.detail[-25:])


def test_an_agent_that_is_gone_keeps_its_work_until_the_lease_is_over(db: None) -> None:
    cast.agent()
    attempt = cast.working(cast.queued_task())
    gone(attempt)
    assert [] == done()
    cast.lapse(attempt)

    assert [("take it back", "done")] == done()
    assert "lost_agents" == Remedy.objects.get().category


def test_nothing_is_taken_back_while_agents_cannot_reach_the_hub(db: None) -> None:
    cast.agent()
    attempt = lapsed()
    gone(attempt)
    apps.get_model("tasks", "Door").objects.all().delete()

    assert [("take it back", "nothing to do")] == done()
    assert "open" == cast.outcome_of(attempt)


def test_a_task_that_is_completed_meanwhile_is_left_alone(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.agent()
    attempt = lapsed()
    seen = signals.read(timezone.now())
    attempts.complete(cast.fence(attempt), {}, [])
    monkeypatch.setattr(signals, "read", lambda _: seen)

    assert [("give it more time", "nothing to do")] == done()
    gone(attempt)
    assert "completed" == cast.status_of(attempt.task)


def test_an_endpoint_is_looked_at_again_later_and_later(silent_endpoint: Endpoint) -> None:
    looks = []
    for minutes in (0, 1, 1, 1, 10):
        later(minutes=minutes)
        looks.append(("look again", "failed") in done())

    assert [True, True, True, False, True] == looks


def test_endpoints_that_are_down_are_looked_at_all_at_once_and_never_in_a_dry_run(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look ends only when all have begun; one after the other, none would."""
    urls = [f"http://gpu-{number:02}.example.org:11434" for number in range(12)]
    for url in urls:
        Endpoint.objects.create(place=url, url=url, health="down", misses=2)
    begun: set[str] = set()

    all_there = asyncio.Event()

    async def together(url: str, **_: Any) -> Any:
        begun.add(url)
        if len(begun) == len(urls):
            all_there.set()
        async with asyncio.timeout(5):
            await all_there.wait()
        if url == urls[3]:
            return ollama.Looked("0.20.0", (), ())
        raise ollama.NoAnswer("nobody is there")

    monkeypatch.setattr(ollama, "look", together)
    assert len(urls) == len(heal(dry_run=True).actions)
    assert not begun

    steps = heal().actions
    assert set(urls) == begun
    assert [("look again", "done" if url == urls[3] else "failed") for url in urls] == [
        (one.action, one.outcome) for one in steps
    ]
    assert len(urls) == Remedy.objects.values("about").distinct().count()


def test_an_endpoint_that_answers_again_needs_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def well(url: str, **_: Any) -> Any:
        return ollama.Looked("0.20.0", (), ())

    endpoint = Endpoint.objects.create(place=GPU, url=GPU, name="gpu", health="down", misses=2)
    monkeypatch.setattr(ollama, "look", well)

    assert [("look again", "done")] == done()
    assert "up" == cast.fresh(endpoint).health
    assert [] == done()


def test_work_that_waits_for_an_endpoint_passes_it_by(
    silent_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast.agent()
    cast.queued_task(command="", tier="standard")
    assert 1 == health.critical()
    monkeypatch.setattr(fallback, "bypass", lambda: 1)

    assert ("send its tasks elsewhere", "done") == done()[-1]
    assert [] == done()


def test_a_machine_that_can_is_asked_once_to_restart_an_endpoint(silent_endpoint: Endpoint) -> None:
    cast.agent(restarts=[GPU])

    assert [("look again", "failed"), ("have it restarted", "done")] == done()
    later(minutes=5)
    assert ("have it restarted", "done") not in done()
    assert [("healing", silent_endpoint.pk)] == list(Restart.objects.values_list("asked_by", "endpoint"))


def test_nobody_is_asked_to_restart_what_no_machine_has_a_command_for(silent_endpoint: Endpoint) -> None:
    cast.agent()

    assert [("look again", "failed")] == done()


def test_an_endpoint_is_needed_while_goals_wait_and_nobody_else_can_think_for_the_hub(
    silent_endpoint: Endpoint,
) -> None:
    assert 0 == health.critical()
    repo = cast.repo()
    Goal.objects.create(title="g", repo=repo, status="submitted")
    assert 1 == health.critical()
    other = Endpoint.objects.create(place=f"{GPU}/b", url=f"{GPU}/b", name="b", health="up")
    Model.objects.create(endpoint=other, name="qwen3:8b", context=32_768, capabilities=["completion"])

    assert 0 == health.critical()


def test_goals_that_nobody_has_to_think_about_need_no_endpoint(silent_endpoint: Endpoint) -> None:
    Goal.objects.create(title="held", repo=cast.repo(paused=True), status="submitted")
    repo = cast.repo()
    Goal.objects.create(title="looked at", repo=repo, status="needs_review")
    unplanned = Goal.objects.create(title="approved", repo=repo, status="decomposing", needs_approval=True)
    Plan.objects.create(goal=unplanned, document={})
    assert 0 == health.critical()
    Goal.objects.create(title="fix", repo=repo, status="submitted", source="healing")

    assert 1 == health.critical()


def test_what_nobody_has_looked_at_yet_is_not_unhealthy(db: None) -> None:
    Endpoint.objects.create(place="http://gpu", url="http://gpu")
    cast.queued_task(command="", tier="standard")

    assert health.report().healthy


def test_a_broken_branch_gets_one_goal_and_an_alert_until_it_is_green(workshop: Workshop) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    assert ["critical"] == [alert.severity for alert in Alert.objects.open()]
    assert 1 == health.critical()

    assert [("hand in a goal", "done")] == done()
    assert ([], 0, 1) == (done(), health.critical(), Goal.objects.count())
    push(workshop)
    insight.look_at_repos()
    report(workshop)
    assert health.report().healthy
    assert not Alert.objects.open().exists()


def test_the_same_fault_at_the_next_head_has_its_goal_at_once(workshop: Workshop) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    assert [("hand in a goal", "done")] == done()
    push(workshop)
    insight.look_at_repos()
    report(workshop, "make test")
    (issue,) = health.report().issues

    assert (0, []) == (health.critical(), done())
    assert f"goal {Goal.objects.get().pk} is to mend it" in issue.detail


def test_a_fault_that_comes_back_after_its_goal_landed_gets_another_at_once(workshop: Workshop) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    assert [("hand in a goal", "done")] == done()
    ended = {"status": "complete", "finished_at": timezone.now(), "landed_at": timezone.now()}
    Goal.objects.update(pull=workshop.verified({"README": "mended\n"}), **ended)
    for failing in ((), ("make test",)):
        push(workshop)
        insight.look_at_repos()
        report(workshop, *failing)
    assert 1 == health.critical()

    assert [("hand in a goal", "done")] == done()
    assert 2 == Goal.objects.count()


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"status": "failed", "reason": "There is no Makefile."}, "is failed: There is no Makefile."),
        ({"status": "cancelled", "rejected": True}, "is cancelled"),
        ({"status": "complete", "rejected": True}, "was rejected"),
    ],
)
def test_a_goal_that_ended_without_landing_mends_nothing_any_more(
    workshop: Workshop, ended: dict[str, Any], said: str
) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    heal()
    goal = Goal.objects.get()
    pull = workshop.verified({"README": "no\n"}) if ended["status"] == "complete" else None
    rejected = timezone.now() if ended.pop("rejected", False) else None
    Goal.objects.update(finished_at=timezone.now(), rejected_at=rejected, pull=pull, **ended)
    (issue,) = health.report().issues

    assert (False, "") == (issue.critical, issue.remedy)
    assert issue.detail.endswith(f"; not being mended: goal {goal.pk} {said}")
    assert [] == done()


def test_a_paused_hub_makes_itself_no_goals(workshop: Workshop) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    gate.close(by="ada")

    assert [("hand in a goal", "nothing to do")] == done()
    assert not Goal.objects.exists()


def test_a_full_disk_has_only_forgotten_what_is_past_its_time(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts.raise_("old", "warning", "old")
    alerts.raise_("new", "warning", "new")
    alerts.clear("old")
    Alert.objects.filter(key="old").update(cleared_at=timezone.now() - timedelta(days=400))
    monkeypatch.setattr(signals, "_disk", lambda _: {"disk_free": 2.0})

    assert [("delete expired records", "done")] == done()
    assert [] == done()
    assert ["new"] == [alert.key for alert in Alert.objects.all()]


def test_a_remedy_that_raises_is_written_down_and_the_others_go_on(
    silent_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no")

    cast.agent()
    attempt = lapsed()
    monkeypatch.setattr(attempts, "renew", broken)
    monkeypatch.setattr(healing, "REMEDIES", {**healing.REMEDIES, Category.LOST: broken})

    outcomes = done()
    assert [("give it more time", "failed"), ("plan", "failed"), ("look again", "failed")] == outcomes[:3]
    assert sorted(outcomes) == sorted(Remedy.objects.values_list("action", "outcome"))
    assert "open" == cast.outcome_of(attempt)


def everything() -> dict[str, list[Any]]:
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in apps.get_models()}


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(workshop: Workshop, silent_endpoint: Endpoint) -> None:
    repos.change(workshop.repo, by="tests", checks=[CHECK])
    drain()
    report(workshop, "make test")
    cast.agent(restarts=[GPU])
    gone(lapsed())
    cast.queued_task(command="", tier="standard")
    before = everything()
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("heal", "--dry-run", stdout=out)

    assert before == everything()
    assert 1 == ended.value.code
    for words in (
        "Would be done",
        "take it back",
        "look again",
        "have it restarted",
        "send its tasks elsewhere",
        "hand in a goal",
    ):
        assert words in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_the_command_heals_and_says_what_came_of_it(db: None) -> None:
    cast.agent()
    gone(lapsed(title="a task\x1b[31m"))
    out = io.StringIO()
    call_command("heal", "--json", stdout=out)
    said = json.loads(out.getvalue())

    assert (True, 1, ["done"]) == (
        said["healthy"],
        len(said["before"]["issues"]),
        [one["outcome"] for one in said["actions"]],
    )


def test_every_step_is_an_event_and_a_line_of_the_history(db: None) -> None:
    cast.agent()
    gone(lapsed())
    heal()
    found = rest.reader().get("/api/healing").json()["results"]

    assert ["take it back"] == [one["action"] for one in found]
    assert ["take it back"] == [one.action for one in health.last_remedies()]
    assert 1 == Event.objects.filter(kind="remedy.applied").count()
    later(days=400)
    jobs.prune()
    assert not Remedy.objects.exists()


def test_the_report_is_told_over_rest(db: None) -> None:
    cast.agent()
    lapsed()
    said = rest.reader().get("/api/health/report").json()

    assert (False, 0, ["stuck_tasks"]) == (said["healthy"], said["critical"], [i["category"] for i in said["issues"]])


def test_a_source_that_fails_hides_no_other(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.agent()
    lapsed()
    broken: Callable[[Any], Any] = lambda _: Demand.objects.raw("nonsense")[0]  # noqa: E731
    monkeypatch.setitem(signals._SOURCES, "queue and endpoints", broken)

    assert ["stuck_tasks", "unknown"] == [issue.category for issue in health.report().issues]


def test_without_a_database_the_report_says_so(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(signals, "_database", away)

    assert [("unknown", "critical")] == [(one.category, one.severity) for one in heal().after.issues]


def test_a_job_that_nobody_takes_is_seen_and_one_that_runs_is_not(db: None) -> None:
    now = timezone.now()
    OrmQ.objects.create(key="default", payload="", lock=now + timedelta(seconds=170))
    assert health.report().healthy
    OrmQ.objects.create(key="thinking", payload="", lock=now - timedelta(minutes=6))

    assert ["jobs"] == [issue.subject for issue in health.report().issues]


def test_tasks_that_nobody_can_do_are_counted_once_they_waited_long(db: None) -> None:
    for _ in range(3):
        cast.queued_task(capabilities=["gpu"])
    assert health.report().healthy
    Task.objects.update(queued_at=timezone.now() - timedelta(minutes=16))
    (issue,) = health.report().issues
    assert "unserved_tasks" == issue.category
    assert "3 tasks have waited over 15 min and no connected agent can do them" in issue.detail
    assert 0 == health.critical()
    cast.agent(capabilities=["gpu"])

    assert health.report().healthy


def test_failures_of_the_last_hour_are_seen_and_older_ones_are_not(db: None) -> None:
    cast.agent()
    for _ in range(5):
        attempts.fail(cast.fence(cast.working(cast.queued_task(max_attempts=1))), "command_failed", "no")
    assert ["error_rate"] == [issue.category for issue in health.report().issues]
    Attempt.objects.update(ended_at=timezone.now() - timedelta(minutes=61))

    assert health.report().healthy


def questions() -> int:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        health.report()
    return len([one for one in asked if "SAVEPOINT" not in one["sql"]])


def test_the_report_asks_the_same_number_of_questions_however_much_there_is(db: None) -> None:
    def more() -> None:
        agent = cast.agent()
        lapsed(target=agent)
        cast.queued_task(command="", tier="standard")
        cast.queued_task(capabilities=[f"skill-{agent.pk}"])
        alerts.raise_(f"alert-{agent.pk}", "critical", "x")
        Endpoint.objects.create(place=f"http://e{agent.pk}", url=f"http://e{agent.pk}", health="down")
        repo = cast.repo(sync_error="away")
        goal = Goal.objects.create(title="g", repo=repo, status="failed", finished_at=timezone.now())
        Checkup.objects.create(
            repo=repo, status="failed", ended_at=timezone.now(), faults=[{"key": "a", "name": "a", "goal": goal.pk}]
        )

    more()
    few = questions()
    for _ in range(10):
        more()

    assert few == questions()
    assert few <= 20


def test_an_endpoint_that_is_down_has_an_alert_until_it_is_up_or_gone(db: None) -> None:
    endpoint = Endpoint.objects.create(place="http://gpu", url="http://gpu", name="gpu", health="down", trouble="no")
    for _ in range(2):
        jobs.endpoint_changed(endpoint.pk)
    assert ["gpu does not answer: no"] == [alert.message for alert in Alert.objects.open()]
    endpoint.delete()
    jobs.prune()

    assert not Alert.objects.open().exists()
