"""Tasks that wait for tasks: let go in time, never in a circle, and never silently without end."""

from __future__ import annotations

import pytest

from apps.events.models import Event
from apps.events.refused import Invalid, Stale
from apps.tasks import attempts, dependencies
from apps.tasks.actions import Submission, add_prerequisite, cancel, drop_prerequisite, revive, submit
from apps.tasks.lifecycle import TaskStatus
from apps.tasks.models import Dependency, Task
from apps.tasks.sweep import sweep_deeply
from tests import cast

pytestmark = pytest.mark.django_db


def after(*before: Task) -> Task:
    return cast.queued_task(depends_on=[task.pk for task in before])


def complete(task: Task) -> None:
    attempts.complete(cast.fence(cast.working(task)), {}, [])


def bury(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(max_attempts=1)
    attempts.fail(cast.fence(cast.working(task)), "command_failed", "no")


def stranded(task: Task) -> bool:
    return cast.fresh(task).stranded


def test_a_task_waits_until_all_that_it_depends_on_is_completed() -> None:
    cast.agent()
    first, second = cast.queued_task(), cast.queued_task()
    both = after(first, second)

    assert TaskStatus.WAITING == cast.status_of(both)
    complete(first)
    assert TaskStatus.WAITING == cast.status_of(both)
    complete(second)
    assert TaskStatus.QUEUED == cast.status_of(both)
    assert 1 == Event.objects.filter(kind="task.ready").count()


def test_a_task_after_a_completed_one_does_not_wait() -> None:
    cast.agent()
    done = cast.queued_task()
    complete(done)

    assert TaskStatus.QUEUED == cast.status_of(after(done))


def test_a_prerequisite_that_does_not_exist_is_an_error_of_its_field_and_makes_no_task() -> None:
    with pytest.raises(Invalid, match="No such task: 41, 42") as refused:
        submit(Submission(title="after", depends_on=[42, 41]), by="tests")

    assert "depends_on" == refused.value.field
    assert not Task.objects.exists()


def test_the_same_prerequisite_named_twice_counts_once() -> None:
    first = cast.queued_task()
    submit(Submission(title="after", command="true", depends_on=[first.pk, first.pk]), by="tests")

    assert 1 == Dependency.objects.count()


@pytest.mark.parametrize("length", [0, 1, 2, 5])
def test_a_circle_of_any_length_is_refused(length: int) -> None:
    chain = [cast.queued_task()]
    for _ in range(length):
        chain.append(after(chain[-1]))

    with pytest.raises(Invalid, match="circle"):
        add_prerequisite(chain[0], chain[-1].pk, by="tests")

    assert length == Dependency.objects.count()


@pytest.mark.parametrize("loss", ["bury", "cancel"])
def test_a_lost_prerequisite_strands_whoever_waits_for_it(loss: str) -> None:
    cast.agent()
    first = cast.queued_task()
    waiting = after(first)
    bury(first) if loss == "bury" else cancel(first, by="tests")

    assert stranded(waiting)
    assert TaskStatus.WAITING == cast.status_of(waiting)
    assert 1 == Event.objects.filter(kind="task.stranded", subject=f"task/{waiting.pk}").count()
    assert stranded(after(first))  # and whoever comes later


def test_a_revived_prerequisite_takes_the_mark_away_but_not_that_of_another_lost_one() -> None:
    cast.agent()
    first, second = cast.queued_task(), cast.queued_task()
    one, both = after(first), after(first, second)
    bury(first)
    cancel(second, by="tests")
    revive(cast.fresh(first), by="tests")

    assert (False, True) == (stranded(one), stranded(both))


def test_an_operator_lets_a_stranded_task_go_without_the_lost_one() -> None:
    cast.agent()
    first, second = cast.queued_task(), cast.queued_task()
    both = after(first, second)
    cancel(first, by="tests")
    drop_prerequisite(both, first.pk, by="tests")

    assert (TaskStatus.WAITING, False) == (cast.status_of(both), stranded(both))
    complete(second)
    assert TaskStatus.QUEUED == cast.status_of(both)


def test_letting_go_of_the_only_prerequisite_queues_the_task_at_once() -> None:
    first = cast.queued_task()
    only = after(first)
    drop_prerequisite(only, first.pk, by="tests")

    assert TaskStatus.QUEUED == cast.status_of(only)
    with pytest.raises(Invalid, match="does not wait for"):
        drop_prerequisite(only, first.pk, by="tests")


def test_a_queued_task_can_be_made_to_wait_and_a_started_one_cannot() -> None:
    cast.agent()
    first, second = cast.queued_task(), cast.queued_task()
    add_prerequisite(second, first.pk, by="tests")

    assert TaskStatus.WAITING == cast.status_of(second)
    assert cast.fresh(second).demand_id is None
    cast.assigned(first)
    with pytest.raises(Stale, match="has started"):
        add_prerequisite(first, cast.queued_task().pk, by="tests")


def test_a_dead_task_revives_to_waiting_while_something_is_missing() -> None:
    cast.agent()
    first = cast.queued_task()
    waiting = after(first)
    Task.objects.filter(pk=waiting.pk).update(complete_by=cast.fresh(waiting).created_at)
    sweep_deeply()
    assert TaskStatus.DEAD == cast.status_of(waiting)

    revive(cast.fresh(waiting), by="tests")

    assert TaskStatus.WAITING == cast.status_of(waiting)


def test_the_sweep_queues_a_waiting_task_that_was_overlooked() -> None:
    task = cast.queued_task()
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.WAITING, demand=None)

    assert [task] == dependencies.overlooked()
    assert 1 == sweep_deeply().released
    assert TaskStatus.QUEUED == cast.status_of(task)
