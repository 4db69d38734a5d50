"""What people do with goals: hand in, change, approve, cancel, hand in again; and which goal comes next."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models.functions import Now

from apps.events.models import Event
from apps.events.refused import Invalid, Refused, Stale
from apps.goals import actions, backlog, dependencies, gate, reading
from apps.goals.actions import Wanted
from apps.goals.models import Goal, Plan
from apps.repos.models import Repo
from apps.tasks.models import Lane
from tests import cast
from tests.apps.goals import planning

pytestmark = pytest.mark.django_db


@pytest.fixture
def repo() -> Repo:
    return cast.repo("sample", checks=[{"type": "tests_pass", "target": ""}])


def handed_in(repo: Repo, title: str = "Say more", **wanted: Any) -> Goal:
    return actions.submit(Wanted(title=title, repo=repo, **wanted), by="ann")[0]


def kinds(goal: Goal) -> list[str]:
    return list(Event.objects.filter(subject=f"goal/{goal.pk}").values_list("kind", flat=True))


def test_a_goal_without_checks_has_those_of_its_repository_and_follows_its_policy(repo: Repo) -> None:
    plain = handed_in(repo)
    Repo.objects.filter(pk=repo.pk).update(approve_plans=True)
    own = handed_in(cast.fresh(repo), checks=[{"type": "git_clean"}])

    assert (repo.checks, False) == (plain.checks, plain.needs_approval)
    assert (["git_clean"], True) == ([check["type"] for check in own.checks], own.needs_approval)
    assert False is handed_in(cast.fresh(repo), needs_approval=False).needs_approval


def test_the_same_key_is_the_same_goal(repo: Repo) -> None:
    first, new = actions.submit(Wanted(title="One", repo=repo, idempotency_key="k"), by="ann")
    again, known = actions.submit(Wanted(title="Two", repo=repo, idempotency_key="k"), by="bob")

    assert (first.pk, True, False) == (again.pk, new, known)
    assert ["goal.submitted"] == kinds(first)


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("title", {"title": "  "}),
        ("title", {"title": "nul\0"}),
        ("description", {"description": "x" * 10_001}),
        ("success_criteria", {"success_criteria": ["x" * 1_001]}),
        ("success_criteria", {"success_criteria": [1]}),
        ("checks", {"checks": [{"type": "magic"}]}),
        ("tags", {"tags": ["x"] * 21}),
        ("lane", {"lane": 9}),
        ("depends_on", {"depends_on": [4711]}),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(repo: Repo, field: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        actions.submit(Wanted(**{"title": "One", "repo": repo, **wanted}), by="ann")

    assert field == refused.value.field
    assert not Goal.objects.exists()


def test_a_goal_waits_until_the_work_of_the_one_before_is_on_the_default_branch(repo: Repo) -> None:
    first = handed_in(repo, "First")
    second = handed_in(repo, "Second", depends_on=[first.pk])
    assert [first] == backlog.startable(room=5)
    with pytest.raises(Refused, match="waits"):
        actions.begin(second)

    Goal.objects.filter(pk=first.pk).update(status="cancelled", finished_at=Now())
    assert [] == backlog.startable(room=5)
    Goal.objects.filter(pk=first.pk).update(landed_at=Now())

    assert [second] == backlog.startable(room=5)


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        ({"status": "cancelled", "finished_at": Now()}, "cancelled"),
        ({"status": "failed", "finished_at": Now()}, "failed"),
        ({"rejected_at": Now()}, "turned down"),
    ],
)
def test_a_goal_says_when_what_it_waits_for_will_never_be_merged_and_is_freed_by_an_edit(
    repo: Repo, ended: dict[str, Any], says: str
) -> None:
    first = handed_in(repo, "First")
    second = handed_in(repo, "Second", depends_on=[first.pk])
    Goal.objects.filter(pk=first.pk).update(**ended)

    said = reading.holds([second])[second.pk]
    assert f"goal {first.pk} ({says}), which will not be merged" in said
    actions.edit(second, by="ann", depends_on=[])
    assert second in backlog.startable(room=5)


def test_no_goal_waits_for_itself_in_a_circle_or_for_another_repository(repo: Repo) -> None:
    first = handed_in(repo, "First")
    second = handed_in(repo, "Second", depends_on=[first.pk])
    elsewhere = handed_in(cast.repo("other"), "Elsewhere")

    for wrong in (second.pk, first.pk, elsewhere.pk):
        with pytest.raises(Invalid):
            actions.edit(first, by="ann", depends_on=[wrong])

    actions.edit(second, by="ann", depends_on=[])
    assert [first, second, elsewhere] == backlog.startable(room=5)


def test_the_backlog_goes_by_lane_and_then_by_age_and_leaves_paused_repositories_out(repo: Repo) -> None:
    low, normal = handed_in(repo, "low", lane=Lane.LOW), handed_in(repo, "normal")
    urgent = handed_in(repo, "urgent", lane=Lane.URGENT)
    handed_in(cast.repo("still", paused=True), "paused")

    assert [urgent, normal] == backlog.startable(room=2)
    assert 3 == backlog.pending()
    actions.edit(low, by="ann", lane=Lane.URGENT)
    assert [low, urgent, normal] == backlog.startable(room=9)[:3]


def test_what_is_asked_for_changes_until_it_has_begun_and_its_lane_until_it_has_ended(repo: Repo) -> None:
    goal = handed_in(repo)
    actions.edit(goal, by="ann", title="Say less", success_criteria=["Short."])
    actions.begin(cast.fresh(goal))

    with pytest.raises(Refused, match="has started"):
        actions.edit(goal, by="ann", title="Too late")
    actions.edit(goal, by="ann", lane=Lane.HIGH, tags=["a", "a"])
    actions.cancel(goal, by="ann")
    with pytest.raises(Refused, match="cancelled already"):
        actions.edit(goal, by="ann", lane=Lane.LOW)

    assert ("Say less", Lane.HIGH, ["a"]) == Goal.objects.values_list("title", "lane", "tags").get()
    assert ["goal.submitted", "goal.changed", "goal.begun", "goal.changed", "goal.cancelled"] == kinds(goal)


def test_only_a_goal_that_has_not_begun_begins_and_only_once(repo: Repo) -> None:
    goal = handed_in(repo)
    actions.begin(goal)

    with pytest.raises(Stale):
        actions.begin(cast.fresh(goal))
    assert (1, 0) == (backlog.active(), backlog.pending())


def test_what_waits_in_the_queue_follows_its_goal_into_another_lane(repo: Repo) -> None:
    goal = planning.goal("Soon", "executing", repo=repo)
    slow, other = cast.queued_task("slow", goal=goal.pk), cast.queued_task("other")

    actions.edit(goal, by="ann", lane=Lane.URGENT)

    assert (Lane.URGENT, slow.queued_at) == (cast.fresh(slow).lane, cast.fresh(slow).queued_at)
    assert cast.fresh(slow).rank < slow.rank
    assert (other.lane, other.rank) == (cast.fresh(other).lane, cast.fresh(other).rank)


def test_goals_of_a_paused_repository_take_nobody_elses_place(repo: Repo) -> None:
    actions.begin(handed_in(repo))
    assert 1 == backlog.active()

    Repo.objects.update(paused=True)

    assert 0 == backlog.active()


def test_a_plan_that_waits_for_approval_counts_as_waiting_for_people(repo: Repo) -> None:
    goal = handed_in(repo, needs_approval=True)
    actions.begin(goal)
    with pytest.raises(Refused, match="no plan"):
        actions.approve(goal, by="ann")
    assert (1, 0) == (backlog.active(), backlog.waiting_for_people())

    Plan.objects.create(goal=goal, document={"slices": []})
    assert (0, 1) == (backlog.active(), backlog.waiting_for_people())
    actions.approve(goal, by="ann")

    assert ("executing", "ann") == (cast.fresh(goal).status, cast.fresh(goal).approved_by)
    assert (1, 0) == (backlog.active(), backlog.waiting_for_people())


def test_an_ended_goal_is_handed_in_again_as_a_new_one(repo: Repo) -> None:
    goal = handed_in(repo, description="Much.", tags=["x"], lane=Lane.HIGH)
    with pytest.raises(Refused, match="only one that has ended"):
        actions.resubmit(goal, by="ann")
    actions.cancel(goal, by="ann")

    again = actions.resubmit(cast.fresh(goal), by="bob")

    assert (goal.pk, "submitted", "Much.", ["x"], Lane.HIGH) == (
        again.again_of_id, again.status, again.description, again.tags, again.lane,
    )  # fmt: skip
    assert "cancelled" == cast.fresh(goal).status


def test_what_is_handed_in_again_waits_for_what_it_waited_for(repo: Repo) -> None:
    first, landed = handed_in(repo, "First"), handed_in(repo, "Landed")
    Goal.objects.filter(pk=landed.pk).update(landed_at=Now())
    second = handed_in(repo, "Second", depends_on=[first.pk, landed.pk])
    actions.cancel(second, by="ann")

    again = actions.resubmit(cast.fresh(second), by="ann")

    assert [first.pk] == dependencies.missing(again)
    assert again not in backlog.startable(room=9)


def test_the_gate_is_closed_and_opened_once() -> None:
    assert not gate.is_closed()
    assert (True, False) == (gate.close(by="ann", reason="Lunch."), gate.close(by="bob"))
    assert ("ann", "Lunch.") == (gate.standing().by, gate.standing().reason)
    assert (True, False) == (gate.open_(by="ann"), gate.open_(by="ann"))
    assert not gate.is_closed()


def test_a_goal_is_handed_in_again_once_until_that_one_has_ended(repo: Repo) -> None:
    goal = handed_in(repo)
    actions.cancel(goal, by="ann")
    again = actions.resubmit(cast.fresh(goal), by="ann")

    with pytest.raises(Refused, match=f"goal {again.pk}"):
        actions.resubmit(cast.fresh(goal), by="ann")
    actions.cancel(again, by="ann")

    assert actions.resubmit(cast.fresh(goal), by="ann").pk > again.pk
