"""Goals in the admin: every way in and out goes through an action."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.events.models import Event
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Dependency, Goal, Merge, Plan, Slice
from tests import cast
from tests.apps.goals import planning

pytestmark = pytest.mark.django_db
INLINE = {"slices-TOTAL_FORMS": "0", "slices-INITIAL_FORMS": "0"}


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def typed(**fields: Any) -> dict[str, Any]:
    said = {
        "title": "Read dates", "description": "", "success_criteria": '["They are read."]', "checks": "[]", "lane": "1",
        "tags": '["dates"]', "depends_on": "[]", "file_hints": "[]",
    }  # fmt: skip
    return {**said, **fields}


def add(client: Client, **fields: Any) -> Any:
    return client.post(reverse("admin:goals_goal_add"), typed(**fields))


def change(client: Client, goal: Goal, **fields: Any) -> Any:
    return client.post(reverse("admin:goals_goal_change", args=[goal.pk]), {**typed(**fields), **INLINE})


def act(client: Client, verb: str, *goals: Goal) -> str:
    asked = {"action": verb, "_selected_action": [goal.pk for goal in goals]}
    return str(client.post(reverse("admin:goals_goal_changelist"), asked, follow=True).content.decode())


def test_a_goal_is_handed_in(operator):
    repo, first = cast.repo("textkit"), planning.goal("First")

    answer = add(operator, repo=str(repo.pk), depends_on=json.dumps([first.pk]), needs_approval="true")

    assert 302 == answer.status_code, answer.content.decode()
    goal = Goal.objects.exclude(pk=first.pk).get()
    assert ("admin", "ann", 1, True) == (goal.source, goal.submitted_by, goal.lane, goal.needs_approval)
    assert [first.pk] == [link.prerequisite_id for link in goal.prerequisites.all()]
    assert ["goal.submitted"] == [event.kind for event in Event.objects.filter(subject=f"goal/{goal.pk}")]


@pytest.mark.parametrize(
    "wrong",
    [{"title": ""}, {"depends_on": "[0]"}, {"depends_on": "7"}, {"depends_on": "[999999]"}, {"success_criteria": "3"},
     {"checks": '[{"type": "rm"}]'}, {"tags": "{"}, {"lane": "9"}, {"file_hints": '["a.py"]'},
     {"file_hints": '[{"file": "a.py"}]'}, {"file_hints": '[{"path": 7}]'}],
)  # fmt: skip
def test_what_cannot_be_used_is_said_and_nothing_is_made(operator, wrong):
    repo = cast.repo("textkit")

    answer = add(operator, **{"repo": str(repo.pk), "description": "A long story.", **wrong})

    assert 200 == answer.status_code
    assert b"errorlist" in answer.content
    assert b"A long story." in answer.content
    assert not Goal.objects.exists()
    assert not Event.objects.filter(subject__startswith="goal/").exists()


def test_a_goal_is_changed_and_remembers_by_whom(operator):
    goal = planning.goal("Old", success_criteria=["They are read."])

    answer = change(operator, goal, title="New", lane="0")

    assert 302 == answer.status_code, answer.content.decode()
    assert ("New", 0, ["dates"]) == (cast.fresh(goal).title, cast.fresh(goal).lane, cast.fresh(goal).tags)
    (event,) = Event.objects.filter(kind="goal.changed")
    assert ("ann", {"title": "New", "lane": 0, "tags": ["dates"]}) == (event.actor, event.data)


@pytest.mark.parametrize(("said", "needed"), [("", True), ("true", True), ("false", False)])
def test_a_goal_needs_approval_as_its_repository_says_unless_somebody_says_otherwise(operator, said, needed):
    repo = cast.repo("careful", approve_plans=True)

    add(operator, repo=str(repo.pk), needs_approval=said)

    assert needed == Goal.objects.get().needs_approval


def test_a_circle_is_refused_beside_its_field_and_nothing_typed_is_lost(operator):
    first = planning.goal("First")
    second = planning.goal("Second", success_criteria=["They are read."])
    Dependency.objects.create(goal=first, prerequisite=second)

    answer = change(operator, second, title="A title of mine", depends_on=json.dumps([first.pk]))

    assert 200 == answer.status_code
    assert "circle" in str(answer.context["adminform"].form.errors["depends_on"])
    assert b"A title of mine" in answer.content
    assert "Second" == cast.fresh(second).title


def test_of_a_goal_that_has_begun_only_priority_and_tags_change(operator):
    goal = planning.goal("Old", GoalStatus.EXECUTING)
    planning.merged(planning.plan(goal, {1: []})[0])

    change(operator, goal, title="New", lane="0", tags='["now"]')

    assert ("Old", 0, ["now"]) == (cast.fresh(goal).title, cast.fresh(goal).lane, cast.fresh(goal).tags)


def test_what_has_ended_is_looked_at_and_never_deleted(operator):
    goal = planning.goal("Old", GoalStatus.CANCELLED)

    assert 200 == operator.get(reverse("admin:goals_goal_change", args=[goal.pk])).status_code
    assert 403 == change(operator, goal, title="New").status_code
    assert 403 == operator.post(reverse("admin:goals_goal_delete", args=[goal.pk]), {"post": "yes"}).status_code


def test_every_decision_is_an_action(operator):
    waiting = planning.goal("To approve", GoalStatus.DECOMPOSING, needs_approval=True)
    stuck = planning.goal("Stuck", GoalStatus.NEEDS_REVIEW)
    for goal in (waiting, stuck):
        planning.plan(goal, {1: []})

    act(operator, "approve", waiting)
    act(operator, "go_on", stuck)
    assert (GoalStatus.EXECUTING, GoalStatus.EXECUTING) == (cast.fresh(waiting).status, cast.fresh(stuck).status)
    assert "no plan that waits for approval" in act(operator, "approve", waiting)

    act(operator, "cancel", waiting)
    act(operator, "resubmit", waiting)
    assert GoalStatus.CANCELLED == cast.fresh(waiting).status
    assert Goal.objects.filter(again_of=waiting, status=GoalStatus.SUBMITTED).exists()


def test_plans_slices_and_merges_are_only_looked_at(operator):
    goal = planning.goal(status=GoalStatus.EXECUTING)
    one = planning.merged(planning.plan(goal, {1: []})[0])
    rows = {"plan": Plan.objects.get(), "slice": one, "merge": Merge.objects.get()}

    for name, row in rows.items():
        assert 200 == operator.get(reverse(f"admin:goals_{name}_changelist")).status_code
        assert 200 == operator.get(reverse(f"admin:goals_{name}_change", args=[row.pk])).status_code
        assert 403 == operator.get(reverse(f"admin:goals_{name}_add")).status_code
        assert 403 == operator.post(reverse(f"admin:goals_{name}_change", args=[row.pk]), {}).status_code
    assert 1 == Slice.objects.count()


def test_the_list_costs_the_same_for_many_goals(operator, django_assert_max_num_queries):
    for number in range(20):
        planning.goal(f"goal {number}")

    with django_assert_max_num_queries(12):
        operator.get(reverse("admin:goals_goal_changelist"))
