"""Tasks over REST: submitted, found, shown, cancelled, retried, and made to wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.tasks import actions, attempts
from apps.tasks.models import Task
from tests import cast, rest

pytestmark = pytest.mark.django_db

WHOLE = {
    "title": "Fix the rounding",
    "description": "  Totals are off by a cent.\n",
    "command": "python fix.py\n",
    "priority": "high",
    "repo": "shop",
    "capabilities": ["python", "c++"],
    "target_agent": "carry-the-one",
    "complexity_tier": "trivial",
    "verification_steps": [{"type": "tests_pass", "target": "auto", "timeout_seconds": 30}],
    "success_criteria": ["Totals add up"],
    "file_hints": [{"path": "shop/totals.py", "reason": "rounding lives here"}],
    "metadata": {"ticket": {"id": 7, "tags": ["a"]}},
    "max_attempts": 2,
    "max_verification_retries": 1,
    "timeout_seconds": 90,
    "idempotency_key": "ticket-7",
}


@pytest.fixture
def caller() -> rest.Caller:
    return rest.integration("tasks:read", "tasks:write")


def test_a_title_is_enough(caller):
    answer = caller.post("/api/tasks", {"title": "Tidy up"})

    task = Task.objects.get()
    assert 201 == answer.status_code
    assert (task.pk, "queued", "normal") == tuple(answer.json()[name] for name in ("id", "status", "priority"))
    assert task.submitted_by.startswith("ada (token ")


def test_everything_that_can_be_asked_for_comes_back(caller):
    cast.repo("shop")
    cast.agent("carry-the-one")

    made = caller.post("/api/tasks", WHOLE).json()

    shown = caller.get(f"/api/tasks/{made['id']}").json()
    checks = [{"type": "tests_pass", "target": "auto", "description": "", "timeout_seconds": 30.0}]
    expected = {**WHOLE, "verification_steps": checks, "capabilities": ["c++", "python"]}
    del expected["idempotency_key"]
    assert expected == {name: shown[name] for name in expected}


def test_submitting_again_with_the_same_key_answers_the_same_task(caller):
    first = caller.post("/api/tasks", {"title": "Once", "idempotency_key": "k"})
    second = caller.post("/api/tasks", {"title": "Once"}, {"Idempotency-Key": "k"})

    assert (201, 200) == (first.status_code, second.status_code)
    assert first.json()["id"] == second.json()["id"]
    assert 1 == Task.objects.count()


def test_the_hot_route_asks_little_of_the_database(caller, django_assert_max_num_queries):
    caller.post("/api/tasks", {"title": "First", "command": "true"})

    with django_assert_max_num_queries(8):
        assert 201 == caller.post("/api/tasks", {"title": "Second", "command": "true"}).status_code


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", None),
        ("title", "x" * 201),
        ("title", {"a": 1}),
        ("description", "x" * 10_001),
        ("command", ["rm"]),
        ("priority", "asap"),
        ("priority", 1),
        ("repo", "no-such-repo"),
        ("target_agent", "nobody"),
        ("capabilities", "python"),
        ("capabilities", ["with space"]),
        ("capabilities", ["a"] * 51),
        ("complexity_tier", "unknown"),
        ("verification_steps", [{"type": "trust_me"}]),
        ("verification_steps", [{"type": "tests_pass", "timeout": 3}]),
        ("verification_steps", [{"type": "tests_pass", "timeout_seconds": 0}]),
        ("verification_steps", [{"type": "tests_pass"}] * 51),
        ("verification_steps", ["tests_pass"]),
        ("success_criteria", [1, None]),
        ("file_hints", [{"reason": "no path"}]),
        ("metadata", []),
        ("metadata", {"pull_request": 1}),
        ("metadata", {"big": "x" * 10_001}),
        ("metadata", {"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}),
        ("depends_on", [0]),
        ("depends_on", [2**63 - 1]),
        ("depends_on", ["x"]),
        ("max_attempts", 0),
        ("max_attempts", 21),
        ("max_verification_retries", 6),
        ("timeout_seconds", 0),
        ("timeout_seconds", 10**9),
        ("complete_by", "yesterday"),
        ("complete_by", "2001-01-01T00:00:00Z"),
        ("complete_by", "9999-12-31T23:59:59-12:00"),
        ("idempotency_key", "x" * 201),
        ("idempotency_key", "hub:goal-1-slice-1-1"),
        ("priorty", "high"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_its_field(caller, field, value):
    answer = caller.post("/api/tasks", {"title": "T", field: value})

    assert 400 == answer.status_code
    assert field in answer.json()
    assert not Task.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "5",
        b"\xff\xfe",
        '{"title": "a\\u0000b"}',
        '{"title": "\\ud800"}',
        '{"title": "T", "metadata": {"n": NaN}}',
        '{"title": "T", "metadata": {"n": 1e999}}',
        '{"title": "T", "metadata": {"n": ' + "9" * 30 + "}}",
        '{"title": "T", "max_attempts": ' + "9" * 5_000 + "}",
        '{"title": "T", "metadata": ' + '{"a":' * 5_000 + "1" + "}" * 5_001,
        '{"title": "T", "metadata": {"\\u0000": 1}}',
        '{"title": "T", "timeout_seconds": 1e999}',
    ],
)
def test_what_is_no_request_is_refused_clearly(caller, body):
    answer = caller.post("/api/tasks", body)

    assert 400 == answer.status_code
    assert answer.json()


def test_only_json_is_read(caller):
    answers = [
        caller("POST", "/api/tasks", b"title=T", content_type=kind)
        for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")
    ]

    assert [415, 415, 415] == [answer.status_code for answer in answers]


def test_a_body_without_end_is_too_large(caller):
    answer = caller.post("/api/tasks", '{"title": "' + "x" * 2_000_000 + '"}')

    assert 413 == answer.status_code


@pytest.mark.parametrize("key", ["x" * 201, "tab\there", "é"])
def test_an_idempotency_key_in_the_header_is_checked_too(caller, key):
    answer = caller.post("/api/tasks", {"title": "T"}, {"Idempotency-Key": key})

    assert 400 == answer.status_code


@pytest.mark.parametrize("pk", ["0", "999999", "9" * 19, "9" * 30, "x", "-1", "1.0", "%00"])
def test_what_is_not_there_is_not_found(caller, pk):
    answer = caller.get(f"/api/tasks/{pk}")

    assert 404 == answer.status_code
    assert "not_found" == answer.json()["code"]


def test_lists_are_narrowed_and_paged(caller):
    shop, agent = cast.repo("shop"), cast.agent("carry-the-one")
    done = cast.queued_task("Paint it", target=agent)
    cast.assigned(done)
    urgent = cast.queued_task("Urgent thing", lane=0, repo=shop)
    check = cast.queued_task("Verify", work="verification")

    def ids(**query):
        return [task["id"] for task in caller.get("/api/tasks", **query).json()["results"]]

    assert [urgent.pk, done.pk] == ids()
    assert [done.pk] == ids(status="assigned") == ids(agent="carry-the-one") == ids(q="paint")
    assert [urgent.pk] == ids(lane="urgent") == ids(repo="shop")
    assert [check.pk] == ids(work="verification")
    first = caller.get("/api/tasks", page_size=1).json()
    assert [urgent.pk] == [task["id"] for task in first["results"]]
    assert [done.pk] == [task["id"] for task in caller.get(first["next"]).json()["results"]]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "done"},
        {"lane": "9"},
        {"work": "x"},
        {"colour": "red"},
        {"q": "a\x00"},
        {"q": "x" * 101},
        {"repo": ""},
    ],
)
def test_a_filter_that_cannot_be_used_is_an_error_of_its_field(caller, query):
    answer = caller.get("/api/tasks", **query)

    assert 400 == answer.status_code
    assert set(query) == set(answer.json())


@pytest.mark.parametrize(
    "cursor", ["x", "cD1hYmM=", "cD0lMDA=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "bz0tMQ==", "\x00"]
)
def test_a_forged_cursor_is_never_a_failure_of_the_hub(caller, cursor):
    cast.queued_task()

    assert caller.get("/api/tasks", cursor=cursor).status_code in {200, 400, 404}


def test_a_task_shows_its_attempts_with_the_decision_and_what_became_of_them(caller):
    cast.agent("carry-the-one")
    cast.agent("off-by-none")
    task = cast.queued_task()
    attempt = cast.working(task)
    attempts.fail(cast.fence(attempt), "command_failed", "exit 1")

    shown = caller.get(f"/api/tasks/{task.pk}").json()

    (tried,) = shown["attempts"]
    assert ("failed", "command_failed", "exit 1") == (tried["outcome"], tried["error_code"], tried["error"])
    assert tried["agent"] == tried["decision"]["agent"]
    assert tried["decision"]["reasons"]
    assert 1 == len(tried["decision"]["losers"])
    assert "the next may start" in shown["waits"]


def test_a_task_says_why_it_waits(caller):
    def waits(task):
        return caller.get(f"/api/tasks/{task.pk}").json()["waits"]

    alone = cast.queued_task()
    nobody_there = waits(alone)
    agent = cast.agent("carry-the-one")
    cast.assigned(alone)
    odd = cast.queued_task(capabilities=["gpu"])
    paused = cast.queued_task(repo=cast.repo("shop", paused=True))
    behind = cast.queued_task(depends_on=[odd.pk])
    busy = cast.queued_task()

    assert "No agent is connected." == nobody_there
    assert "" == waits(alone)
    assert f"No connected agent fits: {agent.name} lacks gpu." == waits(odd)
    assert "The repository shop is paused." == waits(paused)
    assert f"Waits for #{odd.pk} (queued)." == waits(behind)
    assert "Every agent that fits is busy." == waits(busy)


def test_cancelling_ends_it_once(caller):
    task = cast.queued_task()

    first = caller.post(f"/api/tasks/{task.pk}/cancel", {"reason": "Not needed"})
    second = caller.post(f"/api/tasks/{task.pk}/cancel")

    assert (200, "cancelled") == (first.status_code, first.json()["status"])
    assert (409, "task_ended") == (second.status_code, second.json()["code"])


def test_only_what_is_dead_can_be_retried(caller):
    task = cast.queued_task()
    early = caller.post(f"/api/tasks/{task.pk}/retry")
    actions.expire(task, "Too late.")
    late = caller.post(f"/api/tasks/{task.pk}/retry")

    assert (409, "task_not_dead") == (early.status_code, early.json()["code"])
    assert (200, "queued") == (late.status_code, late.json()["status"])


def test_history_is_newest_first_with_meanings(caller):
    task = cast.queued_task()
    caller.post(f"/api/tasks/{task.pk}/cancel")

    history = caller.get(f"/api/tasks/{task.pk}/history").json()["results"]

    assert ["task.cancelled", "task.submitted"] == [event["kind"] for event in history]
    assert "Somebody handed in a task." == history[1]["meaning"]


def test_progress_goes_on_behind_the_last_batch_seen(caller):
    cast.agent()
    task = cast.queued_task()
    attempt = cast.working(task)
    for seq in (1, 2, 3):
        attempts.progress(cast.fence(attempt), seq, [{"at_ms": seq, "kind": "note", "text": f"step {seq}"}])

    behind = caller.get(f"/api/tasks/{task.pk}/progress", after=2).json()

    assert (attempt.pk, [3]) == (behind["attempt"], [batch["seq"] for batch in behind["batches"]])
    assert 400 == caller.get(f"/api/tasks/{task.pk}/progress", after="x").status_code
    assert 404 == caller.get(f"/api/tasks/{task.pk}/progress", attempt=attempt.pk + 1).status_code


def test_progress_of_what_nobody_tried_is_empty(caller):
    task = cast.queued_task()

    assert {"attempt": None, "batches": []} == caller.get(f"/api/tasks/{task.pk}/progress").json()


def test_prerequisites_are_added_and_dropped(caller):
    first, second = cast.queued_task(), cast.queued_task()
    path = f"/api/tasks/{second.pk}/prerequisites"

    added = caller.post(path, {"prerequisite": first.pk})
    circle = caller.post(f"/api/tasks/{first.pk}/prerequisites", {"prerequisite": second.pk})
    unknown = caller.post(path, {"prerequisite": 10**9})
    dropped = caller("DELETE", f"{path}/{first.pk}")
    again = caller("DELETE", f"{path}/{first.pk}")

    assert (200, "waiting") == (added.status_code, added.json()["status"])
    assert [{"id": first.pk, "title": first.title, "status": "queued"}] == added.json()["prerequisites"]
    assert (400, 400) == (circle.status_code, unknown.status_code)
    assert (200, "queued") == (dropped.status_code, dropped.json()["status"])
    assert 404 == again.status_code


def test_a_task_may_be_submitted_to_wait_for_others(caller):
    first = cast.queued_task()

    made = caller.post("/api/tasks", {"title": "Then", "depends_on": [first.pk]})

    assert (201, "waiting") == (made.status_code, made.json()["status"])


def test_a_deadline_is_kept(caller):
    by = timezone.now() + timedelta(hours=1)

    made = caller.post("/api/tasks", {"title": "Soon", "complete_by": by.isoformat()})

    assert by == Task.objects.get(pk=made.json()["id"]).complete_by


def test_an_agent_sees_what_it_holds_and_nothing_else():
    mine, other = cast.agent("carry-the-one"), cast.agent("off-by-none")
    task = cast.queued_task(target=mine)
    cast.assigned(task)
    theirs = cast.queued_task(target=other)
    cast.assigned(theirs)
    caller = rest.of_agent(mine)

    assert [task.pk] == [held["id"] for held in caller.get("/api/agent/tasks").json()["results"]]
    assert 200 == caller.get(f"/api/agent/tasks/{task.pk}").status_code
    assert 404 == caller.get(f"/api/agent/tasks/{theirs.pk}").status_code
    assert 404 == caller.get("/api/agent/tasks/999999").status_code
    assert 403 == caller.get("/api/tasks").status_code
