"""The short ways to the database store and read what the long way would, and keep its promises."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.events import statements
from apps.events.models import Event
from apps.events.prepared import Prepared, PreparedObjects
from apps.repos.models import Repo
from apps.tasks.models import Attempt, Demand, Task
from tests import cast

pytestmark = pytest.mark.django_db
NOW = Now()
AWKWARD = "100% of %s, %%s, ? and 'quotes' with \x1e ü"


def stored(model: Any, pk: int) -> dict[str, Any]:
    return dict(model.objects.filter(pk=pk).values().get())


def test_an_inserted_row_is_what_the_model_would_have_saved() -> None:
    facts: dict[str, Any] = {
        "title": AWKWARD,
        "status": "queued",
        "executor": "shell",
        "metadata": {AWKWARD: [1, None, True]},
        "created_at": timezone.now(),
    }
    pk = statements.insert(Task, facts)
    saved = Task.objects.create(**facts)

    assert {**stored(Task, saved.pk), "id": pk} == stored(Task, pk)


def test_an_update_meets_every_condition_or_changes_nothing() -> None:
    task = cast.queued_task()
    where = {"pk": task.pk, "status__in": ["queued", "waiting"], "finished_at__isnull": True}

    assert 1 == statements.update(Task, where, {"last_error": AWKWARD})
    assert 0 == statements.update(Task, {**where, "status__in": ["dead"]}, {"last_error": "no"})
    assert 0 == statements.update(Task, {**where, "finished_at__isnull": False}, {"last_error": "no"})
    assert AWKWARD == stored(Task, task.pk)["last_error"]


def test_shapes_that_differ_in_one_thing_are_not_taken_for_each_other() -> None:
    task = cast.queued_task()
    for statuses in (["queued"], ["queued", "dead"], ["dead", "queued", "waiting"]):
        assert 1 == statements.update(Task, {"pk": task.pk, "status__in": statuses}, {"failures": len(statuses)})
    for length in (1, 2):
        later = NOW + timedelta(days=length)
        statements.update(Task, {"pk": task.pk}, {"not_before": later})
        found = stored(Task, task.pk)["not_before"] - timezone.now()
        assert length - 0.5 < found / timedelta(days=1) < length + 0.5


def test_a_value_that_differs_from_row_to_row_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Demand._meta.get_field("executor"), "default", lambda: "any")

    with pytest.raises(ValueError, match=r"Demand\.executor differs from row to row"):
        statements.insert(Demand, {"key": "k"})


def test_what_the_database_refuses_is_an_error_of_django_and_the_transaction_is_over() -> None:
    task = cast.queued_task()
    with transaction.atomic():
        with pytest.raises(IntegrityError), transaction.atomic():
            statements.update(Task, {"pk": task.pk}, {"status": "nonsense"})
        assert "queued" == stored(Task, task.pk)["status"]
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError):
            statements.update(Task, {"pk": task.pk}, {"failures": 1})


def test_statements_are_counted_by_whoever_counts(django_assert_num_queries: Any) -> None:
    task = cast.queued_task()

    with django_assert_num_queries(2):
        statements.update(Task, {"pk": task.pk}, {"failures": 1})
        NUMBER.rows(task=task.pk)


def titles(task: int, title: str) -> QuerySet[Task, Any]:
    return Task.objects.filter(pk=task, title=title).values_list("pk", "title")


TITLES = Prepared(titles, task=int, title=str)
NUMBER = Prepared(lambda task: Task.objects.filter(pk=task).values_list("failures"), task=int)
WHOLE = PreparedObjects(
    lambda attempt: Attempt.objects.filter(pk=attempt).select_related("task__repo", "agent"), attempt=int
)
PART = PreparedObjects(lambda repo: Repo.objects.filter(pk=repo).only("slug"), repo=int)


def test_a_prepared_query_finds_what_its_slots_say_each_time() -> None:
    first, second = cast.queued_task(title=AWKWARD), cast.queued_task(title="other")

    assert [(first.pk, AWKWARD)] == TITLES.rows(task=first.pk, title=AWKWARD)
    assert [(second.pk, "other")] == TITLES.rows(task=second.pk, title="other")
    assert [] == TITLES.rows(task=second.pk, title=AWKWARD)


def test_a_slot_that_the_query_does_not_use_is_a_mistake() -> None:
    careless = Prepared(lambda repo: Task.objects.values_list("pk"), repo=int)  # noqa: ARG005  that is the mistake

    with pytest.raises(ValueError, match="does not use repo"):
        careless.rows(repo=1)


def test_prepared_objects_are_those_of_the_query_set(django_assert_num_queries: Any) -> None:
    repo = cast.repo()
    cast.agent()
    task = cast.queued_task(repo=repo, checks=[{"type": "tests_pass"}])
    attempt = cast.assigned(task)
    plain = Attempt.objects.select_related("task__repo", "agent").get(pk=attempt.pk)

    with django_assert_num_queries(1):
        (found,) = WHOLE.objects(attempt=attempt.pk)
        assert (plain.task.checks, plain.agent.name) == (found.task.checks, found.agent.name)
        assert repo == found.task.repo
    for one, other in ((plain, found), (plain.task, found.task), (plain.agent, found.agent)):
        assert {f.attname: getattr(one, f.attname) for f in one._meta.concrete_fields} == {
            f.attname: getattr(other, f.attname) for f in other._meta.concrete_fields
        }


def test_prepared_objects_leave_out_what_was_left_out(django_assert_num_queries: Any) -> None:
    repo = cast.repo()
    found = PART.first(repo=repo.pk)

    assert found is not None
    assert {"slug"} == {f.name for f in Repo._meta.concrete_fields} - found.get_deferred_fields() - {"id"}
    with django_assert_num_queries(1):
        assert repo.default_branch == found.default_branch
    assert PART.first(repo=repo.pk + 1) is None


def test_an_event_takes_its_time_from_the_database() -> None:
    pk = statements.insert(Event, {"kind": "task.submitted", "subject": "task/1", "data": {}})

    assert abs(timezone.now() - stored(Event, pk)["at"]) < timedelta(hours=1)
    assert connection.in_atomic_block
