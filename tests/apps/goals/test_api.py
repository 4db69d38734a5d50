from __future__ import annotations

import pytest
from lxml import etree

from apps.events.documents import read
from apps.events.models import Event
from apps.goals import actions
from apps.goals.documents import GOAL, PLAN
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal, Slice
from apps.tasks.models import Lane
from tests import cast, rest
from tests.apps.goals import planning

WORDS = {"title": "Read week dates", "repo": "textkit"}
XML = {"content_type": "application/xml"}


@pytest.fixture
def call(db):
    cast.repo("textkit")
    return rest.integration()


def test_a_goal_in_words_is_in_the_backlog(call):
    answer = call.post("/api/goals", {**WORDS, "success_criteria": ["They are read."], "priority": "high"})

    assert 201 == answer.status_code, answer.content
    goal = Goal.objects.get()
    assert (GoalStatus.SUBMITTED, Lane.HIGH, "api") == (goal.status, goal.lane, goal.source)
    assert ["They are read."] == goal.success_criteria
    assert answer.json()["id"] == goal.pk


def test_a_goal_from_the_command_line_says_so(call):
    call.post("/api/goals", {**WORDS, "source": "cli"})

    assert "cli" == Goal.objects.get().source


def test_the_hubs_own_goals_come_through_no_door(call):
    answer = call.post("/api/goals", {**WORDS, "source": "healing"})

    assert 400 == answer.status_code
    assert ["source"] == list(answer.json())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 201),
        ("repo", "elsewhere"),
        ("success_criteria", ["x"] * 21),
        ("verification_steps", [{"type": "rm"}]),
        ("priority", "now"),
        ("depends_on", [0]),
        ("depends_on", [999_999]),
        ("tags", "dates"),
        ("reward", 1),
    ],
)
def test_a_field_that_cannot_be_used_is_named(call, field, value):
    answer = call.post("/api/goals", {**WORDS, field: value})

    assert 400 == answer.status_code, answer.content
    assert [field] == list(answer.json())
    assert not Goal.objects.exists()


def test_the_same_key_hands_in_one_goal(call):
    first = call.post("/api/goals", {**WORDS, "idempotency_key": "ticket-7"})
    again = call("POST", "/api/goals", WORDS, **{"Idempotency-Key": "ticket-7"})

    assert (201, 200) == (first.status_code, again.status_code)
    assert first.json()["id"] == again.json()["id"]


def test_a_goal_may_be_handed_in_as_a_document(call):
    document = b"""<?xml version="1.0" encoding="UTF-8"?>
    <goal repo="textkit" priority="urgent" needs-approval="true" id="41" status="complete" source="healing">
      <title>Read week dates</title>
      <success-criteria><criterion>They are read.</criterion></success-criteria>
      <checks><check type="tests_pass"><target>auto</target></check></checks>
    </goal>"""

    answer = call("POST", "/api/goals", document, **XML)

    assert 201 == answer.status_code, answer.content
    goal = Goal.objects.get()
    assert ("xml", GoalStatus.SUBMITTED, Lane.URGENT, True) == (
        goal.source, goal.status, goal.lane, goal.needs_approval,
    )  # fmt: skip
    assert "tests_pass" == goal.checks[0]["type"]


def test_what_the_hub_sends_as_a_document_can_be_handed_in_again(call):
    call.post("/api/goals", {**WORDS, "description": "a\nb <c>", "tags": ["dates"]})
    sent = call.get(f"/api/goals/{Goal.objects.get().pk}/goal.xml")

    assert "application/xml" == sent["Content-Type"]
    assert 201 == call("POST", "/api/goals", sent.content, **XML).status_code
    newest, oldest = Goal.objects.values("title", "description", "tags", "lane", "repo")
    assert newest == oldest


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"<plan goal='1' repo='textkit'/>", "its root is plan"),
        (b"<!DOCTYPE goal><goal/>", "a document type is not allowed"),
        (b"{}", "line 1"),
        (b"<goal repo='textkit'><title>" + b"x" * 300_000 + b"</title></goal>", "bytes"),
    ],
)
def test_a_document_that_is_no_goal_is_refused_with_the_reason(call, document, says):
    answer = call("POST", "/api/goals", document, **XML)

    assert 400 == answer.status_code
    assert "unreadable_document" == answer.json()["code"]
    assert says in answer.json()["detail"]


def test_a_document_that_names_no_repository_of_the_hub_is_refused_like_json(call):
    answer = call("POST", "/api/goals", b"<goal repo='x'><title>t</title></goal>", **XML)

    assert (400, ["repo"]) == (answer.status_code, list(answer.json()))


def test_goals_are_listed_and_filtered(call):
    planning.goal("One")
    planning.goal("Two", GoalStatus.NEEDS_REVIEW, source="cli")

    def titles(**query: str) -> list[str]:
        return [row["title"] for row in call.get("/api/goals", **query).json()["results"]]

    assert ["Two", "One"] == titles()
    assert ["Two"] == titles(status="needs_review")
    assert ["Two"] == titles(source="cli")
    assert ["One"] == titles(q="on")
    assert [] == titles(repo="elsewhere")
    assert 400 == call.get("/api/goals", state="x").status_code


def test_one_goal_says_what_keeps_it(call):
    first = planning.goal("First")
    second = actions.submit(actions.Wanted(title="Second", repo=first.repo, depends_on=[first.pk]), by="ada")[0]

    shown = call.get(f"/api/goals/{second.pk}").json()

    assert f"Waits until the work of goal {first.pk} (submitted) is merged." == shown["waits"]
    assert [first.pk] == [each["id"] for each in shown["prerequisites"]]
    assert {"micro": 0, "calls": 0, "unpriced": 0, "tokens": 0} == shown["cost"]["thinking"]
    assert "Waits for its turn." == call.get(f"/api/goals/{first.pk}").json()["waits"]


def test_a_goal_is_changed(call):
    goal = planning.goal()

    answer = call("PATCH", f"/api/goals/{goal.pk}", {"priority": "urgent", "title": "New", "tags": ["a"]})

    assert 200 == answer.status_code, answer.content
    assert ("urgent", "New", ["a"]) == (answer.json()["priority"], answer.json()["title"], answer.json()["tags"])


def test_what_has_begun_is_not_rewritten(call):
    goal = planning.goal(status=GoalStatus.EXECUTING)

    refused = call("PATCH", f"/api/goals/{goal.pk}", {"title": "New"})

    assert (409, "goal_begun") == (refused.status_code, refused.json()["code"])
    assert 200 == call("PATCH", f"/api/goals/{goal.pk}", {"priority": "low"}).status_code
    assert 400 == call("PATCH", f"/api/goals/{goal.pk}", {"status": "complete"}).status_code


def test_a_plan_waits_for_approval_and_gets_it(call):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True)
    assert 409 == call.post(f"/api/goals/{goal.pk}/approve").status_code

    planning.plan(goal, {1: []})
    assert call.get(f"/api/goals/{goal.pk}").json()["awaits_approval"]
    answer = call.post(f"/api/goals/{goal.pk}/approve")

    assert (200, "executing") == (answer.status_code, answer.json()["status"])
    assert answer.json()["approved_by"]


def test_a_goal_is_cancelled_with_the_reason_and_handed_in_again(call):
    goal = planning.goal()

    assert 409 == call.post(f"/api/goals/{goal.pk}/resubmit").status_code
    answer = call.post(f"/api/goals/{goal.pk}/cancel", {"reason": "Not now."})
    assert ("cancelled", "Not now.") == (answer.json()["status"], answer.json()["reason"])
    assert 409 == call.post(f"/api/goals/{goal.pk}/cancel").status_code

    again = call.post(f"/api/goals/{goal.pk}/resubmit")
    assert (201, "submitted", goal.pk) == (again.status_code, again.json()["status"], again.json()["again_of"])


def test_a_goal_that_waits_for_a_person_goes_on(call):
    goal = planning.goal(status=GoalStatus.NEEDS_REVIEW, reason="It could not be judged.")
    planning.plan(goal, {1: []})

    assert "It could not be judged." == call.get(f"/api/goals/{goal.pk}").json()["waits"]
    assert "executing" == call.post(f"/api/goals/{goal.pk}/go-on").json()["status"]
    assert 409 == call.post(f"/api/goals/{goal.pk}/go-on").status_code


def test_the_plan_shows_each_slice(call):
    goal = planning.goal(status=GoalStatus.EXECUTING)
    one, two, _ = planning.plan(goal, {1: [], 2: [1], 3: [1]}, estimate={})
    planning.merged(one)
    planning.handed_in(two)

    shown = call.get(f"/api/goals/{goal.pk}/plan").json()

    assert ["merged", "running", "waiting"] == [step["state"] for step in shown["slices"]]
    assert ["completed", "queued", None] == [step["task_status"] for step in shown["slices"]]
    assert shown["estimate"] is None
    assert ["landed"] == [merge["status"] for merge in shown["merges"]]
    document = read(call.get(f"/api/goals/{goal.pk}/plan.xml").content, PLAN)
    assert [1, 2, 3] == [each["number"] for each in document["slices"]]


def test_a_goal_without_a_plan_has_an_empty_one(call):
    shown = call.get(f"/api/goals/{planning.goal().pk}/plan").json()

    assert ([], None) == (shown["slices"], shown["made_at"])


def test_what_happened_to_a_goal_can_be_read(call):
    call.post("/api/goals", WORDS)
    goal = Goal.objects.get()

    history = call.get(f"/api/goals/{goal.pk}/history").json()["results"]

    assert ["goal.submitted"] == [event["kind"] for event in history]
    assert Event.objects.filter(subject=f"goal/{goal.pk}").exists()


def test_the_plan_costs_the_same_for_one_slice_and_for_eight(call, django_assert_max_num_queries):
    goal = planning.goal(status=GoalStatus.EXECUTING)
    for one in planning.plan(goal, {number: [] for number in range(1, 9)}):
        planning.merged(one)

    with django_assert_max_num_queries(16):
        assert 8 == len(call.get(f"/api/goals/{goal.pk}/plan").json()["slices"])
    assert 8 == Slice.objects.count()


def test_the_schemas_of_documents_are_published(client):
    schema = etree.XMLSchema(etree.fromstring(client.get("/api/schemas/parts.xsd").content))
    answer = client.get("/api/schemas/goal.xsd")

    assert (200, "application/xml") == (answer.status_code, answer["Content-Type"])
    assert schema is not None
    assert 404 == client.get("/api/schemas/settings.py").status_code
    assert 404 == client.get("/api/schemas/..%2f..%2fmanage.py").status_code


def test_a_document_that_only_the_second_parser_refuses_is_a_refusal_too(call):
    answer = call("POST", "/api/goals", b'<goal repo="r"><title>t</title><x:tags/></goal>', **XML)

    assert (400, "unreadable_document") == (answer.status_code, answer.json()["code"])


def test_a_goal_that_is_not_there_has_no_document(call):
    answer = call.get("/api/goals/999999/goal.xml")

    assert (404, "application/json", "not_found") == (
        answer.status_code, answer["Content-Type"], answer.json()["code"],
    )  # fmt: skip
    planning.goal("There")
    assert "There" == read(call.get(f"/api/goals/{Goal.objects.get().pk}/goal.xml").content, GOAL)["title"]
