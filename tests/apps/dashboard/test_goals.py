"""The pages of goals: what they show, what may be typed, and what the buttons do."""

from __future__ import annotations

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.dashboard.goal_graph import HEIGHT, MOST_BESIDE, WIDTH, Node, direct, draw
from apps.events.models import Event
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Dependency, Goal, Merge
from apps.tasks.models import Task
from tests import cast
from tests.apps.goals import planning

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"
CHECKS = {"checks-TOTAL_FORMS": "2", "checks-INITIAL_FORMS": "0"}
ESTIMATE = {
    "micro": {"low": 100_000, "middle": 250_000, "high": 900_000},
    "seconds": {"low": 60, "middle": 300, "high": 5_400},
    "slices": 17,
}


def html_of(page, path: str) -> str:
    response = page.get(path)
    assert 200 == response.status_code
    return str(response.content.decode())


def test_an_empty_hub_says_what_a_goal_is(page):
    assert "opens one pull request" in html_of(page, "/goals")
    assert "Add a repository" in html_of(page, "/goals/new")


def test_goals_are_sorted_by_what_they_wait_for(page):
    first = planning.goal("In the backlog")
    second = planning.goal("Behind it")
    Dependency.objects.create(goal=second, prerequisite=first)
    planning.plan(planning.goal("Being done", GoalStatus.EXECUTING), {1: []})
    planning.plan(planning.goal("To approve", GoalStatus.DECOMPOSING, needs_approval=True), {1: []})
    planning.goal("Stuck", GoalStatus.NEEDS_REVIEW, reason="It could not be judged.")
    planning.goal("Given up", GoalStatus.CANCELLED)

    html = html_of(page, "/goals")

    headings = ("Needs you", "To approve", "Stuck", "Under way", "Being done", "Backlog", "In the backlog", "Ended")
    places = [html.index(words, html.index('id="main"')) for words in headings]
    assert sorted(places) == places
    assert f"Waits until the work of goal {first.pk} (submitted) is merged." in html
    assert "It could not be judged." in html
    assert "0 of 1 merged" in html
    assert 'aria-current="page">Goals <span class="badge">2</span>' in html


def test_the_list_is_filtered(page):
    planning.goal("One")
    planning.goal("Two", GoalStatus.NEEDS_REVIEW)

    html = html_of(page, "/goals?status=needs_review")

    assert "Two" in html
    assert ">One<" not in html
    assert "No goal fits" in html_of(page, "/goals?q=three")
    assert 200 == page.get("/goals?status=nonsense&before=x").status_code


def test_the_list_costs_the_same_with_many_goals(page, django_assert_max_num_queries):
    first = planning.goal("The first")
    for number in range(30):
        Dependency.objects.create(goal=planning.goal(f"goal {number}"), prerequisite=first)
        planning.plan(planning.goal("Being done", GoalStatus.EXECUTING), {1: []})

    with django_assert_max_num_queries(18):
        page.get("/goals")


def test_a_goal_handed_in_by_the_form_is_as_it_was_typed(page):
    cast.repo("textkit")
    before = planning.goal("Before")
    form = {
        "title": "Read week dates", "description": "Like 2026-W07-3.\r\nAnd more.", "repo": "textkit", "lane": "1",
        "success_criteria": "They are read.\r\n\r\n  The README names them. ", "tags": "dates, , api",
        "depends_on": f"#{before.pk}", "approval": "yes", **CHECKS, "checks-0-type": "tests_pass",
        "checks-0-target": "auto", "checks-1-type": "", "checks-1-target": "",
    }  # fmt: skip

    response = page.post("/goals/new", form)

    made = Goal.objects.exclude(pk=before.pk).get()
    assert f"/goals/{made.pk}" == response["Location"]
    assert ["They are read.", "The README names them."] == made.success_criteria
    assert ["dates", "api"] == made.tags
    assert ("Like 2026-W07-3.\nAnd more.", 1, True) == (made.description, made.lane, made.needs_approval)
    assert ("page", "grace", "tests_pass") == (made.source, made.submitted_by, made.checks[0]["type"])
    assert [before.pk] == [link.prerequisite_id for link in made.prerequisites.all()]


@pytest.mark.parametrize(
    "wrong",
    [{"title": ""}, {"repo": "none"}, {"lane": "9"}, {"depends_on": "the first"}, {"depends_on": "999999"},
     {"title": "a\0b"}, {"success_criteria": "x\n" * 30}, {"checks-0-type": "command_succeeds"}],
)  # fmt: skip
def test_a_form_that_cannot_be_used_is_shown_again_with_the_reason(page, wrong):
    cast.repo("textkit")

    response = page.post("/goals/new", {"title": "Read dates", "repo": "textkit", "lane": "2", **CHECKS, **wrong})

    assert 400 == response.status_code
    assert 'class="errors"' in response.content.decode()
    assert not Goal.objects.exists()


def test_a_goal_is_changed_before_it_has_begun(page):
    check = {"type": "tests_pass", "target": "auto", "description": "all of them", "timeout_seconds": 900.0}
    goal = planning.goal("Old", checks=[check], success_criteria=["One."])
    html = html_of(page, f"/goals/{goal.pk}/edit")
    form = {
        "title": "New", "description": "", "lane": "0", "success_criteria": "One.\nTwo.", "tags": "", "depends_on": "",
        "checks-TOTAL_FORMS": "1", "checks-INITIAL_FORMS": "1", "checks-0-type": "tests_pass",
        "checks-0-target": "auto",
    }  # fmt: skip

    response = page.post(f"/goals/{goal.pk}/edit", form)

    goal.refresh_from_db()
    assert "One.</textarea>" in html
    assert 302 == response.status_code, response.content.decode()
    assert ("New", 0, ["One.", "Two."], [check]) == (goal.title, goal.lane, goal.success_criteria, goal.checks)


def test_of_a_goal_that_has_begun_only_priority_and_tags_are_changed(page):
    goal = planning.goal("Old", GoalStatus.EXECUTING)

    assert "This goal has started" in html_of(page, f"/goals/{goal.pk}/edit")
    page.post(f"/goals/{goal.pk}/edit", {"lane": "0", "tags": "now"})

    goal.refresh_from_db()
    assert ("Old", 0, ["now"]) == (goal.title, goal.lane, goal.tags)


def test_what_was_typed_while_the_hub_began_with_it_is_refused_and_stays_on_the_page(page):
    goal = planning.goal("Old", GoalStatus.EXECUTING)
    form = {
        "title": "New", "description": "Much that was typed.", "lane": "0", "success_criteria": "One.", "tags": "",
        "depends_on": "", "checks-TOTAL_FORMS": "0", "checks-INITIAL_FORMS": "0",
    }  # fmt: skip

    response = page.post(f"/goals/{goal.pk}/edit", form)

    assert 400 == response.status_code
    assert "can no longer be changed" in response.content.decode()
    assert "Much that was typed." in response.content.decode()
    goal.refresh_from_db()
    assert ("Old", 2) == (goal.title, goal.lane)


def test_a_change_of_priority_records_nothing_of_a_description_with_lines(page):
    goal = planning.goal("Old", description="One.\nTwo.", success_criteria=["One."])
    form = {
        "title": "Old", "description": "One.\r\nTwo.", "lane": "0", "success_criteria": "One.", "tags": "",
        "depends_on": "", "checks-TOTAL_FORMS": "0", "checks-INITIAL_FORMS": "0",
    }  # fmt: skip

    page.post(f"/goals/{goal.pk}/edit", form)

    assert {"lane": 0} == Event.objects.get(kind="goal.changed").data


def test_a_goal_shows_its_plan_slice_by_slice(page):
    goal = planning.goal(status=GoalStatus.EXECUTING, success_criteria=["Dates are read."], branch="agentcom/goal/1-x")
    one, two, three, _ = planning.plan(goal, {1: [], 2: [1], 3: [1], 4: [2, 3]}, estimate=ESTIMATE)
    planning.merged(one)
    cast.agent("carry-the-one")
    cast.working(Task.objects.get(pk=planning.handed_in(two).task_id or 0))
    planning.done(planning.handed_in(three))

    html = html_of(page, f"/goals/{goal.pk}")

    assert "1 of 4 merged" in html
    assert 'aria-label="Slice 1, Part 1: merged"' in html
    assert "2 · working" in html
    assert "carry-the-one" in html
    assert "after 2, 3" in html
    assert "$0.25" in html
    assert "1 min 0 s to 1 h 30 min" in html
    assert f"goal.{goal.pk} task.{two.task_id}" in html


def test_a_plan_that_waits_is_approved_with_what_it_will_cost(page):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True)
    planning.plan(goal, {1: []}, estimate=ESTIMATE)
    html = html_of(page, f"/goals/{goal.pk}")

    page.post(f"/goals/{goal.pk}/approve")

    goal.refresh_from_db()
    assert "estimated from 17 finished slices" in html
    assert (GoalStatus.EXECUTING, "grace") == (goal.status, goal.approved_by)


def test_without_a_history_nothing_is_promised(page):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True)
    planning.plan(goal, {1: []})

    assert "no history yet" in html_of(page, f"/goals/{goal.pk}")


def test_a_plan_that_is_turned_down_ends_the_goal(page):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True)
    planning.plan(goal, {1: []})

    page.post(f"/goals/{goal.pk}/cancel", {"reason": "The plan was turned down."})

    goal.refresh_from_db()
    assert (GoalStatus.CANCELLED, "The plan was turned down.") == (goal.status, goal.reason)


def test_work_that_did_not_merge_shows_what_stood_in_its_way(page):
    goal = planning.goal(status=GoalStatus.EXECUTING)
    one, two = planning.plan(goal, {1: [], 2: []})
    ended = {"goal": goal, "head": "a" * 40, "onto": "b" * 40, "ended_at": timezone.now()}
    Merge.objects.create(slice=one, status="conflict", files=["dates/read.py"], note="Both changed it.", **ended)
    report = cast.report([cast.CHECK], "fail")
    report["checks"][0]["output"] = "1 failed, 3 passed"
    Merge.objects.create(slice=two, status="red", report=report, **ended)

    html = html_of(page, f"/goals/{goal.pk}")

    assert "dates/read.py" in html
    assert "1 failed, 3 passed" in html


def test_the_judgement_goes_through_every_criterion(page):
    judgement = {
        "verdict": "fail",
        "reason": "The README is as it was.",
        "criteria": [
            {"criterion": "Dates are read.", "met": True, "where": "dates/read.py"},
            {"criterion": "The README says so.", "met": False, "where": ""},
        ],
        "gaps": [{"description": "Name the formats in the README.", "severity": "minor"}],
    }
    goal = planning.goal(status=GoalStatus.EXECUTING, judgement=judgement, rounds=1)

    html = html_of(page, f"/goals/{goal.pk}")

    for says in ("not met yet", "dates/read.py", "The README is as it was.", "Name the formats in the README."):
        assert says in html


def test_a_goal_in_review_goes_on_and_an_ended_one_is_handed_in_again(page):
    stuck = planning.goal(status=GoalStatus.NEEDS_REVIEW, reason="It could not be judged.")
    planning.plan(stuck, {1: []})
    ended = planning.goal("Once", GoalStatus.CANCELLED)

    page.post(f"/goals/{stuck.pk}/go-on")
    response = page.post(f"/goals/{ended.pk}/resubmit")

    stuck.refresh_from_db()
    again = Goal.objects.get(again_of=ended)
    assert GoalStatus.EXECUTING == stuck.status
    assert f"/goals/{again.pk}" == response["Location"]
    assert f'href="/goals/{ended.pk}"' in html_of(page, f"/goals/{again.pk}")


def test_a_refused_button_says_why(page):
    goal = planning.goal(status=GoalStatus.EXECUTING)

    response = page.post(f"/goals/{goal.pk}/approve")

    assert 409 == response.status_code
    assert "no plan that waits for approval" in response.content.decode()
    assert 404 == page.post(f"/goals/{goal.pk}/explode").status_code


def test_what_others_wrote_is_shown_and_never_run(page):
    goal = planning.goal(
        EVIL, GoalStatus.EXECUTING, description=EVIL, success_criteria=[EVIL], tags=[EVIL], hold=EVIL,
        judgement={"verdict": "fail", "reason": EVIL, "criteria": [{"criterion": EVIL, "met": False, "where": EVIL}],
                   "gaps": [{"description": EVIL, "severity": EVIL}]},
    )  # fmt: skip
    one, two = planning.plan(goal, {1: [], 2: [1]})
    one.title = two.description = EVIL
    one.save()
    two.save()
    planning.merged(one)

    for path in (f"/goals/{goal.pk}", "/goals", f"/goals/{goal.pk}/edit", "/"):
        html = html_of(page, path)
        assert EVIL not in html
        assert " style=" not in html
        assert " onclick=" not in html


def test_the_overview_shows_goals_under_way_and_those_that_need_a_person(page):
    planning.plan(planning.goal("Being done", GoalStatus.EXECUTING), {1: []})
    planning.goal("Stuck", GoalStatus.NEEDS_REVIEW)

    html = html_of(page, "/")

    assert "Goals under way" in html
    assert html.index("Stuck") < html.index("Being done")


def test_a_page_costs_the_same_for_one_slice_and_for_eight(page, django_assert_max_num_queries):
    goal = planning.goal(status=GoalStatus.EXECUTING)
    for one in planning.plan(goal, {number: [] for number in range(1, 9)}):
        planning.merged(one)

    with django_assert_max_num_queries(24):
        page.get(f"/goals/{goal.pk}")


# --- the picture ------------------------------------------------------------------------------------------------------

plans = st.lists(st.sets(st.integers(1, 12)), min_size=1, max_size=12).map(
    lambda rows: [Node(at, f"slice {at}", "waits", after=tuple(sorted(after))) for at, after in enumerate(rows, 1)]
)


@given(plans)
def test_no_two_boxes_overlap_and_everything_is_in_the_picture(nodes):
    found = draw(nodes)

    places = {(box.x, box.y) for box in found.boxes}
    assert {node.number for node in nodes} == {box.node.number for box in found.boxes}
    assert len(nodes) == len(places)
    assert found.width <= 350
    for box in found.boxes:
        assert 0 <= box.x <= found.width - WIDTH
        assert 0 <= box.y <= found.height - HEIGHT
        others = [other for other in found.boxes if other is not box and other.y == box.y]
        assert all(abs(other.x - box.x) >= WIDTH for other in others)
        assert len(others) < MOST_BESIDE


@given(plans)
def test_every_slice_stands_below_those_it_waits_for(nodes):
    place = {box.node.number: box.y for box in draw(nodes).boxes}

    for node in nodes:
        assert all(place[before] < place[node.number] for before in node.after if before < node.number)


def test_what_follows_from_the_rest_is_not_drawn():
    assert {1: [], 2: [1], 3: [2]} == direct({1: [], 2: [1], 3: [1, 2]})
    assert 2 == len(
        draw([Node(1, "a", "", after=()), Node(2, "b", "", after=(1,)), Node(3, "c", "", after=(1, 2))]).curves
    )
