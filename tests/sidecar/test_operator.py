"""`agentcom` against a hub: what it asks, what it says, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from apps.agents.scopes import SCOPES
from apps.goals import actions
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal
from apps.repos.models import Repo
from apps.tasks.models import Task
from sidecar.operator import account, cli, shown, words
from sidecar.operator.account import Account, AccountProblem
from sidecar.operator.rest import Hub, Refusal, Unreachable
from tests import cast, rest
from tests.apps.goals import planning

Run = Callable[..., int]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """A user who has no account yet, and a hub in this very process."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("AGENTCOM_HUB", raising=False)
    monkeypatch.delenv("AGENTCOM_TOKEN", raising=False)
    transport = httpx.WSGITransport(get_wsgi_application())
    monkeypatch.setattr(cli, "_open", lambda mine: Hub(mine, transport=transport, sleep=lambda _: None))
    monkeypatch.setattr("time.sleep", lambda _: None)
    # A bare application closes the connection around each request, and with it the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def agentcom(db: None, home: None, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("AGENTCOM_HUB", "http://testserver")
    monkeypatch.setenv("AGENTCOM_TOKEN", rest.integration(*SCOPES).secret)
    cast.repo("textkit")
    return lambda *typed: cli.main([*typed])


def test_a_goal_in_words_is_handed_in(agentcom, capsys):
    code = agentcom(
        "goal", "Read", "week dates", "--repo", "textkit", "--criterion", "They are read.", "--check", "tests_pass",
        "--check", "make lint", "--priority", "high", "--tag", "dates", "--approve",
    )  # fmt: skip

    goal = Goal.objects.get()
    assert 0 == code
    assert f"goal {goal.pk} is in the backlog: http://testserver/goals/{goal.pk}" in capsys.readouterr().out
    assert ("Read week dates", "cli", 1, True) == (goal.title, goal.source, goal.lane, goal.needs_approval)
    assert ["They are read."] == goal.success_criteria
    assert [("tests_pass", ""), ("command_succeeds", "make lint")] == [(c["type"], c["target"]) for c in goal.checks]


def test_a_goal_after_another_one_and_as_json(agentcom, capsys):
    first = planning.goal("First")

    agentcom("goal", "Then this", "--repo", "textkit", "--after", str(first.pk), "--no-approve", "--json")

    made = json.loads(capsys.readouterr().out)
    assert [first.pk] == [each.prerequisite_id for each in Goal.objects.get(pk=made["id"]).prerequisites.all()]


def test_json_holds_no_character_that_steers_a_terminal(agentcom, capsys):
    title = "Read\x1b[2J \x9b31m \u202e dates\x7f …"
    planning.goal(title)

    agentcom("goals", "--json")

    out = capsys.readouterr().out
    assert title == json.loads(out)[0]["title"]
    assert all(char == "\n" or (char.isascii() and char.isprintable()) for char in out)


def test_a_document_is_handed_in(agentcom, tmp_path, capsys):
    file = tmp_path / "goal.xml"
    file.write_text('<goal repo="textkit"><title>Read dates</title></goal>')

    assert 0 == agentcom("goal", "--file", str(file))
    assert "xml" == Goal.objects.get().source

    file.write_text("<plan/>")
    assert 1 == agentcom("goal", "--file", str(file))
    assert "its root is plan" in capsys.readouterr().err
    assert 2 == agentcom("goal", "--file", str(tmp_path / "none.xml"))


@pytest.mark.parametrize(
    "more",
    [
        ["Read dates"], ["--repo", "textkit"], ["--tag", "dates"], ["--no-approve"], ["--approve"], ["--after", "1"],
        ["--criterion", "x"], ["--check", "tests_pass"], ["--priority", "high"], ["--description", "x"],
    ],
)  # fmt: skip
def test_what_a_document_would_make_void_is_refused(agentcom, tmp_path, capsys, more):
    file = tmp_path / "goal.xml"
    file.write_text('<goal repo="textkit"><title>Read week dates</title></goal>')

    assert 2 == agentcom("goal", "--file", str(file), *more)
    assert "leave out the words and options" in capsys.readouterr().err
    assert not Goal.objects.exists()


def test_a_document_says_nothing_to_another_verb(agentcom, tmp_path, capsys):
    assert 2 == agentcom("goal", "show", "7", "--file", str(tmp_path / "goal.xml"))
    assert "says nothing to show" in capsys.readouterr().err


def test_goals_are_listed(agentcom, capsys):
    planning.goal("One\x1b[2J")
    planning.goal("Two", GoalStatus.NEEDS_REVIEW)

    agentcom("goals")
    lines = capsys.readouterr().out.splitlines()
    agentcom("goals", "--status", "needs_review", "--json")
    found = json.loads(capsys.readouterr().out)

    assert 2 == len(lines)
    assert "needs review  normal  textkit  Two" in lines[0]
    assert "\x1b" not in lines[1]
    assert ["Two"] == [row["title"] for row in found]


def test_a_long_list_is_read_page_by_page(agentcom, capsys):
    for number in range(7):
        planning.goal(f"goal {number}")

    agentcom("goals", "--most", "5")

    assert 5 == len(capsys.readouterr().out.splitlines())


def test_a_goal_is_shown_with_its_plan(agentcom, capsys):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True, success_criteria=["It is read."])
    planning.plan(goal, {1: [], 2: [1]})

    assert 0 == agentcom("goal", "show", str(goal.pk))
    out = capsys.readouterr().out

    assert "awaits approval" in out
    assert "plan: no history yet" in out
    assert "2. Part 2: waiting after 1" in out
    assert " - " + " It is read." in out


def test_a_plan_is_approved_a_goal_cancelled_and_handed_in_again(agentcom, capsys):
    goal = planning.goal(status=GoalStatus.DECOMPOSING, needs_approval=True)
    planning.plan(goal, {1: []})

    assert 0 == agentcom("goal", "approve", str(goal.pk))
    assert 1 == agentcom("goal", "approve", str(goal.pk))
    assert 0 == agentcom("goal", "cancel", str(goal.pk), "--reason", "Not now.")
    assert 0 == agentcom("goal", "resubmit", str(goal.pk))

    said = capsys.readouterr()
    assert "no plan that waits for approval" in said.err
    assert "Not now." == cast.fresh(goal).reason
    assert f"goal {Goal.objects.get(again_of=goal).pk} is submitted" in said.out


def test_a_goal_in_review_goes_on(agentcom):
    goal = planning.goal(status=GoalStatus.NEEDS_REVIEW)
    planning.plan(goal, {1: []})

    assert 0 == agentcom("goal", "go-on", str(goal.pk))
    assert GoalStatus.EXECUTING == cast.fresh(goal).status


@pytest.mark.parametrize(
    ("status", "code"), [(GoalStatus.CANCELLED, 1), (GoalStatus.FAILED, 1), (GoalStatus.NEEDS_REVIEW, 4)]
)
def test_watching_ends_with_the_goal(agentcom, status, code):
    goal = planning.goal(status=status)

    assert code == agentcom("goal", "watch", str(goal.pk))


def test_watching_says_what_happens_and_that_a_plan_waits(agentcom, capsys, monkeypatch):
    goal, _ = actions.submit(actions.Wanted(title="Read dates", repo=Repo.objects.get(), needs_approval=True), by="ann")

    def meanwhile(_: float) -> None:
        actions.begin(goal)
        planning.plan(goal, {1: []})

    monkeypatch.setattr("time.sleep", meanwhile)

    assert 4 == agentcom("goal", "watch", str(goal.pk))
    out = capsys.readouterr().out
    assert out.index("Somebody handed in a goal.") < out.index("The hub began to make a plan.")
    assert "1. Part 1: waiting" in out
    assert f"agentcom goal approve {goal.pk}" in out


def test_watching_outlasts_a_hub_that_is_away_for_a_while(agentcom, monkeypatch):
    goal = planning.goal(status=GoalStatus.CANCELLED)
    asked: list[str] = []
    reach = Hub.get

    def away(hub: Hub, path: str, **query: Any) -> Any:
        asked.append(path)
        if len(asked) < 4:
            raise Unreachable("gone")
        return reach(hub, path, **query)

    monkeypatch.setattr(Hub, "get", away)

    assert 1 == agentcom("goal", "watch", str(goal.pk))


@pytest.mark.parametrize(("missed", "code"), [(3, 1), (4, 3)])
def test_watching_ends_five_minutes_after_the_last_answer_however_slow_each_call_is(
    agentcom, monkeypatch, missed, code
):
    goal = planning.goal(status=GoalStatus.CANCELLED)
    clock, reach = [1_000.0], Hub.get

    def away(hub: Hub, path: str, **query: Any) -> Any:
        if clock[0] < 1_000.0 + 92.0 * missed:
            clock[0] += 92.0  # as long as three tries of one call may take
            raise Unreachable("gone")
        return reach(hub, path, **query)

    monkeypatch.setattr(Hub, "get", away)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])

    assert code == agentcom("goal", "watch", str(goal.pk))


def test_a_task_is_handed_in_shown_watched_and_cancelled(agentcom, capsys):
    assert 0 == agentcom("task", "Sort imports", "--repo", "textkit", "--command", "ruff check --fix .")
    task = Task.objects.get()
    assert ("ruff check --fix .", "Sort imports") == (task.command, task.title)
    assert 0 == agentcom("task", "show", str(task.pk))
    assert 0 == agentcom("task", "cancel", str(task.pk))
    assert 1 == agentcom("task", "watch", str(task.pk))
    assert 1 == agentcom("task", "retry", str(task.pk))
    assert 0 == agentcom("tasks", "--status", "cancelled")

    out = capsys.readouterr().out
    assert f"task {task.pk} is queued" in out
    assert "Somebody cancelled the task." in out


def test_what_cannot_be_meant_is_said_without_asking_the_hub(agentcom, capsys):
    assert 2 == agentcom("goal", "--repo", "textkit")
    assert 2 == agentcom("goal", "Read dates")
    assert 2 == agentcom("task")
    with pytest.raises(SystemExit) as ended:
        agentcom("goal", "x", "--priority", "now")
    assert 2 == ended.value.code
    assert "Which repository? --repo SLUG" in capsys.readouterr().err


def test_a_refusal_names_the_field(agentcom, capsys):
    assert 1 == agentcom("goal", "Read dates", "--repo", "elsewhere")
    assert 1 == agentcom("goal", "show", "999999")

    err = capsys.readouterr().err
    assert "agentcom: repo: There is no such repository." in err
    assert "No Goal matches" in err


def test_the_environment_goes_before_the_file(agentcom, monkeypatch):
    account.save(Account("http://testserver", "act_other"))

    assert 0 == agentcom("goals")

    monkeypatch.delenv("AGENTCOM_TOKEN")
    assert "act_other" == account.known().token


def test_a_kept_token_is_not_sent_to_another_hub(home, monkeypatch):
    account.save(Account("http://hub.example", "act_secret"))
    monkeypatch.setenv("AGENTCOM_HUB", "http://elsewhere.example")

    with pytest.raises(AccountProblem, match="is not the hub you logged in to; set AGENTCOM_TOKEN too"):
        account.known()


def test_without_an_account_it_says_how_to_get_one(home, capsys):
    assert 1 == cli.main(["goals"])
    assert "agentcom login HUB" in capsys.readouterr().err


def test_logging_in_keeps_a_token_that_works_for_this_user_only(db, home, capsys):
    secret = rest.integration(*SCOPES).secret

    assert 1 == cli.main(["login", "http://testserver", "--token", "act_wrong"])
    assert not account.file().exists()
    assert 0 == cli.main(["login", "http://testserver/", "--token", secret])

    assert Account("http://testserver", secret) == account.known()
    assert 0o600 == account.file().stat().st_mode & 0o777
    assert 0 == cli.main(["goals"])
    assert secret not in capsys.readouterr().out


@pytest.mark.parametrize("kept", ["", "[]", "{", '{"hub": 7}'])
def test_a_file_that_cannot_be_used_is_said(home, capsys, kept):
    account.file().parent.mkdir(parents=True)
    account.file().write_text(kept)

    assert 1 == cli.main(["goals"])
    assert "agentcom login HUB" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://x",
        "http://",
        "not a host?x=1",
        "http://x#y",
        "http://hub:80x",
        "http://hub:70000",
        "http://hub:0",
        "http://[::1",
        "http://[::1]]",
        "http://[x]",
        "http://hub\x00",
        "http://a b",
        "http://me@hub",
        f"http://{'x' * 70_000}",
    ],
)
def test_what_is_no_address_is_said(text, home, capsys):
    with pytest.raises(AccountProblem, match="is not the address of a hub"):
        account.address(text)
    assert 1 == cli.main(["login", text, "--token", "act_x"])
    assert "Traceback" not in capsys.readouterr().err


def answering(*answers: httpx.Response | Exception) -> tuple[Hub, list[httpx.Request]]:
    asked: list[httpx.Request] = []
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    transport = httpx.MockTransport(answer)
    return Hub(Account("http://hub.example", "act_x"), transport=transport, sleep=lambda _: None), asked


def test_handing_in_is_tried_again_under_the_same_key():
    hub, asked = answering(
        httpx.ConnectError("refused"), httpx.ReadTimeout("late"), httpx.Response(201, json={"id": 7})
    )

    assert {"id": 7} == hub.hand_in("/api/goals", {"title": "t"})
    assert 1 == len({request.headers["Idempotency-Key"] for request in asked})
    assert 3 == len(asked)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_a_hub_behind_it_is_no_answer(status):
    gone = httpx.Response(status, text="<html>Bad gateway</html>")
    hub, asked = answering(gone, gone, httpx.Response(201, json={"id": 7}))
    assert {"id": 7} == hub.hand_in("/api/goals", {"title": "t"})
    assert 1 == len({request.headers["Idempotency-Key"] for request in asked})

    hub, asked = answering(gone, httpx.Response(200, json={}))
    with pytest.raises(Unreachable, match=f"http://hub.example does not answer: HTTP {status}"):
        hub.post("/api/goals/7/approve")
    assert 1 == len(asked)


def test_a_decision_is_asked_for_once():
    hub, asked = answering(httpx.ReadTimeout("late"), httpx.Response(200, json={}))

    with pytest.raises(Unreachable, match="nothing came within 30 s"):
        hub.post("/api/goals/7/approve")
    assert 1 == len(asked)


def test_a_busy_hub_is_asked_again_when_it_says():
    hub, asked = answering(httpx.Response(429, headers={"Retry-After": "3"}, json={}), httpx.Response(200, json={}))

    hub.get("/api/goals")

    assert 2 == len(asked)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(500, text="<html>"), "Not an AgentCom hub: HTTP 500 without JSON"),
        (httpx.Response(401, json={"code": "x", "detail": "Invalid token."}), "run `agentcom login` again"),
        (httpx.Response(400, json={"checks": [{"type": ["Wrong."]}], "tags": ["Short."]}), "checks: type: Wrong."),
        (httpx.Response(409, json=[]), "409"),
    ],
)
def test_whatever_the_hub_answers_is_said_in_a_sentence(answer, says):
    hub, _ = answering(answer)

    with pytest.raises(Refusal, match=says):
        hub.get("/api/goals")


def test_words_become_a_title_and_the_rest():
    assert ("Read dates", "") == words.titled(["Read", "dates"])
    assert ("Read dates", "Like this.") == words.titled(["Read dates\nLike this."])
    title, rest = words.titled(["word " * 100])
    assert 200 >= len(title)
    assert ("word " * 100).strip() == rest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("tests_pass", ("tests_pass", "")),
        ("file_exists: README.md", ("file_exists", "README.md")),
        ("make test", ("command_succeeds", "make test")),
        ("grep a: b", ("command_succeeds", "grep a: b")),
    ],
)
def test_a_check_is_what_was_typed(typed, meant):
    found = words.check(typed)

    assert meant == (found["type"], found["target"])


def test_money_and_time_are_shown_in_few_words():
    assert ["$0.00", "$0.0012", "$1.50"] == [shown.dollars(micro) for micro in (0, 1_200, 1_500_000)]
    assert ["40 s", "12 min", "3 h 5 min"] == [shown.lasting(seconds) for seconds in (40, 725, 11_100)]


def test_the_hub_by_itself_is_shown():
    row = {
        "state": "resting", "seconds": 90, "why": "Nothing to do.", "pause": {"by": "ann", "reason": "Holiday."},
        "doing": "It rests.", "next": None, "holds": ["No budget."], "pending": 1, "active": 0, "waiting": 2,
        "budgets": [
            {"state": "executing", "period": "hour", "used": 3, "limit": 20, "measure": "calls"},
            {"state": "", "period": "day", "used": 1_200, "limit": 2_500_000, "measure": "micro"},
        ],
    }  # fmt: skip

    out = "\n".join(shown.brain(row))

    for says in (
        "resting for 1 min",
        "paused by ann: Holiday.",
        "held back: No budget.",
        "3 of 20 calls",
        "all states, day: $0.0012 of $2.50",
    ):
        assert says in out
