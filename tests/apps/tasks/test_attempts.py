"""The fence, the lease, and what each end of an attempt does to its task."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db.models.functions import Now

from apps.events.models import Event
from apps.events.refused import Refused, Stale
from apps.tasks import attempts
from apps.tasks.actions import Submission, cancel, expire, revive, submit
from apps.tasks.attempts import Fence
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, ProgressBatch, Task, Trajectory
from apps.tasks.sweep import door_is_open, hold_door_open, sweep, sweep_deeply
from tests import cast

pytestmark = pytest.mark.django_db


def test_a_submitted_task_goes_to_an_idle_agent_and_back_as_completed() -> None:
    ada = cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)

    assert (ada.pk, 1) == (attempt.agent_id, attempt.generation)
    assert TaskStatus.WORKING == cast.status_of(task)

    attempts.complete(cast.fence(attempt), {}, [])

    assert TaskStatus.COMPLETED == cast.status_of(task)
    assert Outcome.SUCCEEDED == cast.outcome_of(attempt)
    kinds = Event.objects.filter(subject=f"task/{task.pk}").values_list("kind", flat=True)
    assert ["task.submitted", "task.assigned", "task.accepted", "task.completed"] == list(kinds)


@pytest.mark.parametrize("wrong", ["task", "attempt", "agent"])
@pytest.mark.parametrize("verb", ["accept", "renew", "progress", "block", "complete", "fail", "release", "reclaim"])
def test_a_frame_of_somebody_else_changes_nothing(verb: str, wrong: str) -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    real = cast.fence(attempt)
    other = {"task": real.task, "attempt": real.attempt, "agent": real.agent, wrong: 999_999}
    before = (Attempt.objects.values().get(), Task.objects.values().get(), Event.objects.count())
    arguments: dict[str, tuple[object, ...]] = {
        "progress": (1, []),
        "block": ("why",),
        "complete": ({}, []),
        "fail": ("command_failed", "no"),
        "release": ("drained", "no"),
        "reclaim": ("silent",),
    }

    with pytest.raises(Stale):
        getattr(attempts, verb)(Fence(**other), *arguments.get(verb, ()))

    assert before == (Attempt.objects.values().get(), Task.objects.values().get(), Event.objects.count())


def test_an_attempt_that_lapsed_is_reclaimed_and_its_late_result_is_stale() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)
    cast.lapse(attempt)

    sweep()

    assert Outcome.RECLAIMED == cast.outcome_of(attempt)
    with pytest.raises(Stale):
        attempts.complete(cast.fence(attempt), {}, [])
    assert (0, 1) == tuple(Task.objects.values_list("failures", "reclaims").get(pk=task.pk))
    assert 2 == Attempt.objects.open().get(task=task).generation  # ada is idle again, and the only one


def test_a_lease_renewed_in_the_last_moment_is_not_reclaimed() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    cast.lapse(attempt)
    attempts.renew(cast.fence(attempt))

    with pytest.raises(Stale):
        attempts.reclaim(cast.fence(attempt), "silent")

    assert Outcome.OPEN == cast.outcome_of(attempt)


def test_a_failure_is_retried_with_what_failed_until_no_attempts_are_left() -> None:
    cast.agent("ada")
    task = cast.queued_task(checks=[cast.CHECK], max_attempts=2)
    first = cast.working(task)
    attempts.fail(cast.fence(first), "verification_failed", "", {}, [cast.report([cast.CHECK], "fail")])

    assert Outcome.UNVERIFIED == cast.outcome_of(first)
    assert TaskStatus.QUEUED == cast.status_of(task)
    assert 0 == match()  # it rests before the next try

    cast.rest(task)
    sweep()
    second = Attempt.objects.open().get(task=task)
    attempts.fail(cast.fence(second), "command_failed", "exit 1")

    assert TaskStatus.DEAD == cast.status_of(task)
    assert "no attempts left" in Event.objects.filter(kind="task.buried").get().data["reason"]


@pytest.mark.parametrize(
    ("result", "reports", "outcome"),
    [
        ({}, [], Outcome.UNVERIFIED),
        ({}, [cast.report([])], Outcome.UNVERIFIED),
        ({}, [cast.report([{**cast.CHECK, "target": "echo easier"}])], Outcome.UNVERIFIED),
        ({}, [cast.report([cast.CHECK], "fail")], Outcome.UNVERIFIED),
        ({}, [cast.report([cast.CHECK], "timeout")], Outcome.UNVERIFIED),
        ({}, [cast.report([cast.CHECK], "fail"), cast.report([cast.CHECK])], Outcome.SUCCEEDED),
        ({}, [cast.report([cast.CHECK]), cast.report([cast.CHECK], "error")], Outcome.UNVERIFIED),
    ],
)
def test_completed_means_that_every_check_of_the_task_passed(
    result: dict[str, object], reports: list[dict[str, object]], outcome: Outcome
) -> None:
    cast.agent("ada")
    task = cast.queued_task(checks=[cast.CHECK])
    attempt = cast.working(task)

    assert outcome == attempts.complete(cast.fence(attempt), result, reports)
    assert (outcome is Outcome.SUCCEEDED) == (cast.status_of(task) == TaskStatus.COMPLETED)


def test_work_in_a_repository_that_changed_nothing_is_no_success() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task(repo=cast.repo()))

    assert Outcome.FAILED == attempts.complete(cast.fence(attempt), {"commit": ""}, [])
    assert "no_change" == cast.fresh(attempt).error_code


def test_a_report_that_is_sent_again_is_answered_with_what_it_came_to() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    attempts.complete(cast.fence(attempt), {}, [])

    with pytest.raises(Stale):
        attempts.complete(cast.fence(attempt), {}, [])

    assert Outcome.SUCCEEDED == attempts.settled(cast.fence(attempt))
    assert 1 == Event.objects.filter(kind="task.completed").count()


def test_cancelling_ends_the_attempt_and_beats_a_later_success() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)
    cancel(cast.fresh(task), by="tests")

    with pytest.raises(Stale):
        attempts.complete(cast.fence(attempt), {}, [])

    assert TaskStatus.CANCELLED == cast.status_of(task)
    assert Outcome.CANCELLED == cast.outcome_of(attempt)
    assert attempts.settled(cast.fence(attempt)) is None
    with pytest.raises(Refused, match="cancelled already"):
        cancel(cast.fresh(task), by="tests")


def test_a_released_attempt_is_no_failure() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)
    attempts.release(cast.fence(attempt), "drained", "")

    assert (0, 0) == tuple(Task.objects.values_list("failures", "reclaims").get(pk=task.pk))
    assert TaskStatus.QUEUED == cast.status_of(task)


def test_reclaims_have_a_limit_of_their_own(settings: pytest.FixtureRequest) -> None:
    settings.MAX_RECLAIMS = 1  # type: ignore[attr-defined]
    cast.agent("ada")
    task = cast.queued_task()
    for _ in range(2):
        cast.lapse(cast.assigned(task))
        sweep()

    assert TaskStatus.DEAD == cast.status_of(task)


def test_a_dead_task_revives_with_fresh_attempts() -> None:
    cast.agent("ada")
    task = cast.queued_task(max_attempts=1)
    attempts.fail(cast.fence(cast.working(task)), "command_failed", "no")
    revive(cast.fresh(task), by="tests")

    assert 2 == cast.assigned(task).generation
    with pytest.raises(Refused, match="Only a dead task"):
        revive(cast.fresh(task), by="tests")


def test_blocked_work_keeps_its_agent_and_goes_on() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)
    attempts.block(cast.fence(attempt), "waits for a licence")

    assert TaskStatus.BLOCKED == cast.status_of(task)
    assert "waits for a licence" == cast.fresh(attempt).blocked_reason

    attempts.unblock(cast.fence(attempt))

    assert TaskStatus.WORKING == cast.status_of(task)


def test_progress_that_comes_twice_is_kept_once() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    for _ in range(2):
        attempts.progress(cast.fence(attempt), 1, [{"at_ms": 1, "kind": "output", "text": "hello"}])

    assert 1 == ProgressBatch.objects.count()


def test_submitting_twice_with_one_key_makes_one_task() -> None:
    first, new = submit(Submission(title="once", idempotency_key="k"), by="tests")
    second, again = submit(Submission(title="once", idempotency_key="k"), by="tests")

    assert (first.pk, True, False) == (second.pk, new, again)


def test_a_task_past_its_deadline_is_buried_even_while_it_runs() -> None:
    from datetime import timedelta

    from django.utils import timezone

    cast.agent("ada")
    task = cast.queued_task(complete_by=timezone.now() + timedelta(hours=1))
    attempt = cast.working(task)
    Task.objects.filter(pk=task.pk).update(complete_by=timezone.now() - timedelta(seconds=1))
    sweep()

    assert (TaskStatus.DEAD, Outcome.CANCELLED) == (cast.status_of(task), cast.outcome_of(attempt))


def test_leases_start_anew_when_the_hub_was_away() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    cast.lapse(attempt)

    assert not hold_door_open()
    assert hold_door_open()

    sweep()

    assert Outcome.OPEN == cast.outcome_of(attempt)


def test_nothing_is_taken_back_while_no_sidecar_can_reach_the_hub() -> None:
    cast.agent("ada")
    attempt = cast.working(cast.queued_task())
    cast.lapse(attempt)
    sweep_deeply()

    assert not door_is_open()
    assert Outcome.OPEN == cast.outcome_of(attempt)


def test_work_that_was_lost_with_its_sidecar_counts_as_reclaimed_and_is_settled() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    attempt = cast.working(task)

    assert Outcome.RECLAIMED == attempts.release(cast.fence(attempt), "sidecar_restarted", "")
    assert Outcome.RECLAIMED == attempts.settled(cast.fence(attempt))
    assert (0, 1) == tuple(Task.objects.values_list("failures", "reclaims").get(pk=task.pk))


def test_two_people_who_retry_at_once_revive_it_once() -> None:
    cast.agent("ada")
    task = cast.queued_task(max_attempts=1)
    attempts.fail(cast.fence(cast.working(task)), "command_failed", "no")
    first, second = cast.fresh(task), cast.fresh(task)
    revive(first, by="ann")
    working = cast.working(task)

    with pytest.raises(Stale):
        revive(second, by="bob")

    assert TaskStatus.WORKING == cast.status_of(task)
    assert Outcome.SUCCEEDED == attempts.complete(cast.fence(working), {}, [])


def test_a_task_that_was_taken_is_not_buried_for_having_waited() -> None:
    cast.agent("ada")
    task = cast.queued_task()
    cast.working(task)

    with pytest.raises(Stale):
        expire(task, "No agent took it in time.", only_queued=True)

    assert TaskStatus.WORKING == cast.status_of(task)


# --- models -----------------------------------------------------------------------------------------------------------

LOCAL = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0}
STEPS = [{"number": 1, "said": "The sum is one too small."}, {"number": 2, "said": "Now it is right."}]


def thinking(**wanted: Any) -> Attempt:
    """An attempt of a model at a task in words."""
    cast.agent(offers=[LOCAL])
    return cast.working(cast.queued_task(command="", tier="standard", **wanted))


@pytest.mark.parametrize("verb", ["complete", "fail"])
def test_how_a_model_went_about_it_is_kept_beside_the_result(verb: str) -> None:
    attempt = thinking()
    result = {"summary": "Done.", "blame": "", "trajectory": STEPS}
    if verb == "complete":
        attempts.complete(cast.fence(attempt), result, [])
    else:
        attempts.fail(cast.fence(attempt), "stuck", "It went round in circles.", result)

    assert {"summary": "Done.", "blame": ""} == cast.fresh(attempt).result
    assert STEPS == Trajectory.objects.get(attempt=attempt).steps


def test_a_result_that_did_not_pass_its_checks_keeps_its_steps_as_well() -> None:
    attempt = thinking(checks=[cast.CHECK])
    found = attempts.complete(cast.fence(attempt), {"trajectory": STEPS}, [cast.report([cast.CHECK], "fail")])

    assert (Outcome.UNVERIFIED, {}) == (found, cast.fresh(attempt).result)
    assert STEPS == Trajectory.objects.get(attempt=attempt).steps


@pytest.mark.parametrize("result", [{}, {"trajectory": []}, {"trajectory": None}])
def test_without_steps_nothing_is_kept_beside_the_result(result: dict[str, Any]) -> None:
    attempt = thinking()
    attempts.complete(cast.fence(attempt), result, [])

    assert {} == cast.fresh(attempt).result
    assert not Trajectory.objects.exists()


def test_steps_that_are_sent_again_or_by_somebody_else_are_not_kept() -> None:
    attempt = thinking()
    stranger = Fence(attempt.task_id, attempt.pk, cast.agent().pk)
    with pytest.raises(Stale):
        attempts.complete(stranger, {"trajectory": [{"number": 9}]}, [])
    attempts.fail(cast.fence(attempt), "stuck", "no", {"trajectory": STEPS})
    with pytest.raises(Stale):
        attempts.fail(cast.fence(attempt), "stuck", "no", {"trajectory": [{"number": 9}]})

    assert [STEPS] == list(Trajectory.objects.values_list("steps", flat=True))


def rests(task: Task) -> timedelta:
    """How long it waits from now before the next attempt."""
    (found,) = Task.objects.filter(pk=task.pk).annotate(now=Now()).values_list("not_before", "now")
    until, now = found
    assert until
    return until - now


@pytest.mark.parametrize("reports", [[], [cast.report([cast.CHECK], "fail")]])
def test_a_model_that_cannot_be_reached_costs_a_longer_pause_and_no_attempt(
    settings: Any, reports: list[dict[str, Any]]
) -> None:
    settings.MODEL_PAUSE, settings.RETRY_BACKOFF = timedelta(seconds=300), timedelta(seconds=10)
    attempt = thinking(max_attempts=1, checks=[cast.CHECK])
    result = {"blame": "infrastructure", "partial": True, "trajectory": STEPS}

    assert Outcome.RELEASED == attempts.fail(cast.fence(attempt), "unreachable", "Nobody answered.", result, reports)
    assert Outcome.RELEASED == attempts.settled(cast.fence(attempt))
    task = cast.fresh(attempt.task)
    assert (TaskStatus.QUEUED, 0, 0, "Nobody answered.") == (
        task.status,
        task.failures,
        task.reclaims,
        task.last_error,
    )
    assert timedelta(seconds=290) < rests(task) <= timedelta(seconds=300)
    assert ("unreachable", reports) == (cast.fresh(attempt).error_code, cast.fresh(attempt).reports)
    assert STEPS == Trajectory.objects.get().steps
    told = Event.objects.filter(subject=f"task/{task.pk}").order_by("pk").values_list("kind", flat=True)
    assert "task.released" == list(told)[-1]


def test_what_was_handed_back_otherwise_rests_as_short_as_ever(settings: Any) -> None:
    settings.MODEL_PAUSE, settings.RETRY_BACKOFF = timedelta(seconds=300), timedelta(seconds=10)
    attempt = thinking()
    attempts.release(cast.fence(attempt), "drained", "")

    assert rests(attempt.task) <= timedelta(seconds=5)


@pytest.mark.parametrize("blame", ["", "capability", "setup", "nonsense"])
def test_every_other_failure_of_a_model_counts(blame: str) -> None:
    attempt = thinking()

    assert Outcome.FAILED == attempts.fail(cast.fence(attempt), "stuck", "no", {"blame": blame})
    assert 1 == cast.fresh(attempt.task).failures


def test_attempts_of_before_there_were_models_learn_their_executor_from_their_task() -> None:
    cast.agent()
    old, new = cast.working(cast.queued_task()), thinking()
    Attempt.objects.filter(pk=old.pk).update(executor="")
    import_module("apps.tasks.migrations.0002_models").name_executors(apps, None)

    assert ("shell", "ollama") == (cast.fresh(old).executor, cast.fresh(new).executor)
