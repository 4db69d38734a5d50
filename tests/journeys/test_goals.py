"""Goals in words with real processes: from the sentence to the pull request, held by a budget, and through crashes."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hub import Hub, eventually
from tests.journey import PASSES, Upstream, git
from tests.providers.mind import Mind
from tests.providers.policy import Calls
from tests.sidecars import Sidecar, thinking

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(400)]

CLAIM_SECONDS = 3
DONE = ("finish_task", {"summary": "It is done."})


@pytest.fixture(scope="module")
def mind() -> Iterator[Mind]:
    made = Mind()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def settings(mind: Mind) -> dict[str, str]:
    """Leases that outlast a restart of the hub on a slow machine, and claims that do not."""
    leases = {f"AGENTCOM_LEASE_{stage}_SECONDS": "40" for stage in ("ASSIGNED", "WORKING", "BLOCKED")}
    claims = {"AGENTCOM_CLAIM_SECONDS": str(CLAIM_SECONDS), "AGENTCOM_THINKING_BACKOFF_SECONDS": "0.2"}
    return {**leases, **claims, **mind.settings}


@pytest.fixture(scope="module")
def queues() -> tuple[str, ...]:
    return ("default", "thinking")


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path, mind: Mind) -> Iterator[list[Sidecar]]:
    """Both with the model that the hub thinks with, which an operator added."""
    added = hub.post("/api/endpoints", {"url": mind.server.url})["id"]
    eventually(lambda: hub.get(f"/api/endpoints/{added}")["health"] == "up", what="the hub's look at the endpoint")
    place = {"OLLAMA_HOST": mind.server.url}
    with thinking(hub, base, ada=place, bob=place) as crew:
        yield crew


def piece(title: str, *checks: dict[str, str], after: tuple[int, ...] = (), new: str = "") -> dict[str, Any]:
    """A slice as a planner writes it."""
    return {
        "title": title,
        "description": f"{title}.",
        "success_criteria": [f"{title}, and it is proven"],
        "files": ["calc.py"],
        "new_files": [new] if new else [],
        "checks": list(checks),
        "after": list(after),
        "tier": "standard",
    }


def edits(old: str, new: str) -> Calls:
    """What a model does to calc.py: it looks, changes a place, and is done."""
    read = ("read_file", {"path": "calc.py"})
    return [read, ("edit_file", {"path": "calc.py", "old": old, "new": new}), DONE]


def writes(path: str, content: str) -> Calls:
    return [("write_file", {"path": path, "content": content}), DONE]


def hand_in(hub: Hub, upstream: Upstream, title: str) -> int:
    wanted = {"title": title, "repo": upstream.slug, "success_criteria": ["add() adds", "and it says so"]}
    return int(hub.post("/api/goals", wanted)["id"])


def goal(hub: Hub, pk: int) -> Any:
    return hub.get(f"/api/goals/{pk}")


def until(hub: Hub, pk: int, *statuses: str, within: float = 60) -> Any:
    """The goal, once it has one of `statuses`."""
    eventually(lambda: goal(hub, pk)["status"] in statuses, within=within, what=f"goal {pk} {'/'.join(statuses)}")
    return goal(hub, pk)


def plan(hub: Hub, pk: int) -> Any:
    return hub.get(f"/api/goals/{pk}/plan")


def happened(hub: Hub, pk: int) -> list[str]:
    return [event["kind"] for event in hub.get(f"/api/goals/{pk}/history?page_size=200")["results"]]


def thoughts(hub: Hub, pk: int) -> list[list[Any]]:
    """What the ledger has of the hub's own calls for the goal: status, tokens of the prompt and of the answer."""
    found: list[list[Any]] = json.loads(
        hub.shell(
            "import json; from apps.ledger.models import Charge;"
            f"rows = Charge.objects.filter(goal='{pk}', purpose__in=['decompose', 'judge']).order_by('id');"
            "print(json.dumps([[c.status, c.input, c.output] for c in rows]))"
        )
    )
    return found


def landed(hub: Hub, pk: int) -> list[int]:
    """The slices whose work came into the goal's branch, each as often as it did."""
    return sorted(merge["slice"] for merge in plan(hub, pk)["merges"] if merge["status"] == "landed")


def merge(hub: Hub, upstream: Upstream) -> str:
    """What a person does in the end; the commit on the default branch."""
    pull = upstream.verified_pull()
    hub.post(f"/api/pulls/{pull['id']}/approve", {"body": "Good."})
    hub.post(f"/api/pulls/{pull['id']}/merge", {})
    (merged,) = upstream.pulls()
    return str(merged["merged_commit"])


# --- walk C -----------------------------------------------------------------------------------------------------------


def test_a_goal_with_slices_that_conflict_becomes_one_pull_request(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, mind: Mind
) -> None:
    words = {"type": "diff_contains", "target": "The sum"}
    mind.plans["Mend add"] = [
        piece("Let add add", PASSES),
        piece("Say what add does", words),
        piece("Add more than two", PASSES, after=(1, 2), new="more.py"),
    ]
    mind.work |= {
        "Let add add": edits("return a - b", "return a + b"),
        "Say what add does": edits("def add(a, b):\n", 'def add(a, b):\n    """The sum of both."""\n'),
        "Add more than two": writes(
            "more.py", "from calc import add\n\n\ndef total(a, b, c):\n    return add(add(a, b), c)\n"
        ),
    }
    mind.together = {"Let add add", "Say what add does"}
    before = git(upstream.path, "rev-parse", "main").strip()
    pk = hand_in(hub, upstream, "Mend add")
    done = until(hub, pk, "complete", "needs_review", "failed", within=90)

    assert "complete" == done["status"], done["reason"]
    assert [1, 2, 3] == landed(hub, pk)
    merges = plan(hub, pk)["merges"]
    (back,) = [one for one in merges if one["status"] == "conflict"]
    assert ["calc.py"] == back["files"]
    slices = {one["number"]: one for one in plan(hub, pk)["slices"]}
    assert 1 == slices[back["slice"]]["tries"]
    assert 2 == mind.asked["work", slices[back["slice"]]["title"]]
    assert before == git(upstream.mirror, "rev-parse", "main").strip()

    commit = merge(hub, upstream)
    assert [commit] == git(upstream.mirror, "log", "--first-parent", "--format=%H", f"{before}..main").split()
    assert "The sum of both" in git(upstream.mirror, "show", "main:calc.py")
    eventually(lambda: goal(hub, pk)["landed_at"], what="the goal's landing")
    evidence = hub.get(f"/api/pulls/{done['pull']}/evidence")
    assert 4 == len(evidence["attempts"])
    assert [["settled", *bill[1:]] for bill in mind.billed if bill[0] == "Mend add"] == thoughts(hub, pk)
    assert 2 == done["cost"]["thinking"]["calls"]


# --- walk E, and the pause -------------------------------------------------------------------------------------------


class Admin:
    """A person at the hub's admin pages."""

    def __init__(self, hub: Hub) -> None:
        self._client = httpx.Client(base_url=hub.url, trust_env=False, follow_redirects=True, timeout=20)
        self.post("/admin/login/", username="tester", password="a long password", next="/admin/")

    def post(self, page: str, **fields: str) -> None:
        """Fill in the form of the page and send it off; what is not named stays as it is."""
        html = self._client.get(page).text
        known = dict(re.findall(r'<input[^>]*name="([^_"][^"]*)"[^>]*value="([^"]*)"', html))
        answer = self._client.post(page, data={**known, **fields}, headers={"Referer": str(self._client.base_url)})
        assert answer.is_success, answer.text
        assert "errornote" not in answer.text, answer.text


def spent(hub: Hub) -> int:
    """Calls of this hour for carrying out goals."""
    purses = hub.get("/api/brain")["budgets"]
    return next(
        int(one["used"])
        for one in purses
        if (one["state"], one["period"], one["measure"]) == ("executing", "hour", "calls")
    )


def test_a_goal_that_a_budget_holds_goes_on_as_soon_as_a_person_raises_it(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, mind: Mind
) -> None:
    mind.plans["Afford it"] = [piece("Let add be afforded", PASSES)]
    mind.work["Let add be afforded"] = edits("return a - b", "return a + b")
    admin = Admin(hub)
    budget = hub.shell(
        "from apps.ledger.models import Budget; print(Budget.objects.get(scope='state hour', key='executing *').pk)"
    )
    page = f"/admin/ledger/budget/{budget}/change/"
    admin.post(page, limit_calls=str(spent(hub) + 1), enforce="on")
    pk = hand_in(hub, upstream, "Afford it")

    eventually(lambda: goal(hub, pk)["status"] == "verifying" and goal(hub, pk)["waits"], within=60, what="the hold")
    assert "executing" in goal(hub, pk)["waits"]
    assert 0 == mind.asked["judge", "Afford it"]
    assert "resting" == eventually(lambda: hub.get("/api/brain")["state"] == "resting" and "resting", what="rest")
    assert "The executing budget is used up." in hub.get("/api/brain")["holds"]

    admin.post(page, limit_calls="20", enforce="on")
    assert "complete" == until(hub, pk, "complete", "needs_review", within=30)["status"]
    assert "" == goal(hub, pk)["waits"]


def test_a_pause_lets_what_runs_end_and_begins_nothing_until_it_is_over(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, mind: Mind
) -> None:
    mind.plans["Wait for it"] = [piece("Let add wait", PASSES)]
    mind.plans["Come later"] = [piece("Come", {"type": "file_exists", "target": "COME"}, new="COME")]
    mind.work |= {"Let add wait": edits("return a - b", "return a + b"), "Come": writes("COME", "Here.\n")}
    mind.held = {"work"}
    pk = hand_in(hub, upstream, "Wait for it")
    eventually(lambda: mind.asked["work", "Let add wait"], what="the work")
    hub.post("/api/brain/pause", {"reason": "We look at it."})
    later = hand_in(hub, upstream, "Come later")
    mind.held = set()

    task = plan(hub, pk)["slices"][0]["task"]
    hub.await_status(task, "completed")
    assert "We look at it." == hub.get("/api/brain")["pause"]["reason"]
    assert "submitted" == goal(hub, later)["status"]
    assert [] == plan(hub, pk)["merges"]
    assert 0 == mind.asked["plan", "Come later"]

    hub.post("/api/brain/resume")
    assert "complete" == until(hub, pk, "complete", "needs_review", within=40)["status"]
    assert "complete" == until(hub, later, "complete", "needs_review", within=40)["status"]


# --- crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_every_step_of_its_life_a_goal_still_ends_once(
    hub: Hub, machines: list[Sidecar], upstream: Upstream, mind: Mind
) -> None:
    """The step between the verdict and the pull request is too short for a kill: tests/apps/goals/test_thinking.py."""
    for one in machines:  # they come when there is work, or they would wait longer before each try to connect
        one.end()
    slow = {"type": "command_succeeds", "target": "sleep 3 && python3 -m unittest -q"}
    mind.plans["Survive"] = [
        piece("Let add survive", slow),
        piece("Tell of it", {"type": "file_exists", "target": "SURVIVED"}, new="SURVIVED"),
    ]
    mind.work |= {
        "Let add survive": edits("return a - b", "return a + b"),
        "Tell of it": writes("SURVIVED", "Yes.\n"),
    }
    mind.together = set()

    hub.kill("default")
    pk = hand_in(hub, upstream, "Survive")
    crash(hub)  # submitted; nobody was told

    mind.held = {"plan"}
    eventually(lambda: mind.asked["plan", "Survive"], what="the planner's call")
    crash(hub)  # while the planner's call is in flight

    swept(hub, lambda: mind.asked["plan", "Survive"] == 2, "the planner's second call")
    hub.kill("default")
    mind.held = {"work", "judge"}
    until(hub, pk, "executing")
    assert [None, None] == [one["task"] for one in plan(hub, pk)["slices"]]
    crash(hub)  # the plan is written, and nothing of it handed in

    for one in machines:
        one.start()
    swept(hub, lambda: mind.asked["work", "Let add survive"] and mind.asked["work", "Tell of it"], "the work")
    crash(hub)  # slices are handed in, and agents work on them

    mind.held = {"judge"}
    eventually(lambda: "pending" in [one["status"] for one in plan(hub, pk)["merges"]], within=90, what="a merge")
    crash(hub)  # a merge is pending

    swept(hub, lambda: mind.asked["judge", "Survive"], "the judge's call")
    crash(hub)  # while the judge's call is in flight

    mind.held = set()
    swept(hub, lambda: goal(hub, pk)["status"] in ("complete", "needs_review", "failed"), "the goal's end")
    done = goal(hub, pk)
    assert "complete" == done["status"], done["reason"]
    assert [1, 2] == landed(hub, pk)
    assert 1 == happened(hub, pk).count("goal.planned") == happened(hub, pk).count("goal.completed")
    assert {1} == {one["attempts"] for one in plan(hub, pk)["slices"]}
    assert 2 == int(
        hub.shell(f"from apps.tasks.models import Task; print(Task.objects.filter(goal={pk}, work='change').count())")
    )
    assert done["pull"] == upstream.verified_pull()["id"]
    billed = [list(bill[1:]) for bill in mind.billed if bill[0] == "Survive"]
    posted = thoughts(hub, pk)
    assert len(billed) == len(posted) == 4  # of each two the first was killed, and its charge stays until it lapses
    assert [billed[1], billed[3]] == [tokens for status, *tokens in posted if status == "settled"]
    merge(hub, upstream)
    assert "Yes." == (upstream.path / "SURVIVED").read_text().strip()


def crash(hub: Hub) -> None:
    """Power is cut, and comes back."""
    hub.kill()
    hub.start(clusters=True)


def swept(hub: Hub, condition: Any, what: str) -> None:
    """What the clock does each minute, until it has led there; claims of the dead lapse meanwhile."""
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(AssertionError):
            eventually(condition, within=1, what=what)
            return
        assert time.monotonic() < deadline, f"{what} did not happen"
        hub.shell("from apps.goals.jobs import sweep; sweep(); print('swept')")
