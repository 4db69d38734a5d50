"""Walks A and B of the house, with real processes and real git: from a task to its end, through every kind of loss."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import Hub, eventually, hub_at
from tests.sidecars import Sidecar, sidecars

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(240)]

PASSES = {"type": "command_succeeds", "target": "python3 -m unittest -q"}
MARK = "agentcom-journey-mark"


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    """A small repository with a bug that a test finds."""
    path = tmp_path / "upstream"
    path.mkdir()
    (path / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (path / "test_calc.py").write_text(
        "import unittest, calc\n\n\nclass Adds(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(3, calc.add(1, 2))\n"
    )
    who = ["-c", "user.name=Journey", "-c", "user.email=journey@example.invalid"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", "A package with a bug"]):
        subprocess.run(["git", *command], cwd=path, check=True)
    subprocess.run(["git", "config", "receive.denyCurrentBranch", "updateInstead"], cwd=path, check=True)
    return path


@pytest.fixture
def hub(tmp_path: Path, redis_url: str, upstream: Path) -> Iterator[Hub]:
    data = tmp_path / "hub"
    data.mkdir()
    with hub_at(data, redis_url, clusters=True) as running:
        running.manage("add_repo", str(upstream), "--slug", "calc")
        yield running


@pytest.fixture
def crew(hub: Hub, tmp_path: Path) -> Iterator[list[Sidecar]]:
    base = tmp_path / "machines"
    base.mkdir()
    with sidecars(hub, base, "ada", "bob") as running:
        eventually(lambda: [a["state"] for a in hub.get("/api/agents")["results"]] == ["idle", "idle"], what="joining")
        yield running


def fix(hub: Hub, **task: object) -> int:
    wanted = {"title": "Fix add", "repo": "calc", "command": "sed -i s/a.-.b/a+b/ calc.py", **task}
    return hub.submit(verification_steps=[PASSES], **wanted)


def slow(hub: Hub, seconds: int, **task: object) -> int:
    """Work that goes on for a while and can be seen from outside the sandbox."""
    return hub.submit(command=f"for i in $(seq {seconds * 5}); do sleep 0.2; done; echo {MARK}", **task)


def holder(hub: Hub, task: int, crew: list[Sidecar]) -> tuple[Sidecar, Sidecar]:
    """The sidecar that works on `task`, and the other one."""
    hub.await_status(task, "working")
    name = hub.task(task)["attempts"][-1]["agent"]
    first, second = crew
    return (first, second) if first.name == name else (second, first)


def outcomes(hub: Hub, task: int) -> list[str]:
    return [attempt["outcome"] for attempt in hub.task(task)["attempts"]]


def running_marks() -> list[int]:
    """Processes of the tests' slow commands that are still alive."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit() and int(directory.name) != os.getpid():
            try:
                if MARK.encode() in (directory / "cmdline").read_bytes():
                    found.append(int(directory.name))
            except OSError:
                continue
    return found


def test_a_task_becomes_a_merged_pull_request(hub: Hub, crew: list[Sidecar], upstream: Path) -> None:
    task = fix(hub)
    hub.await_status(task, "completed", within=60)
    pull = eventually(lambda: next(iter(hub.get("/api/pulls")["results"]), None), what="the pull request")
    eventually(
        lambda: hub.get(f"/api/pulls/{pull['id']}")["verification"]["status"] == "passed", within=60, what="verifying"
    )
    evidence = hub.get(f"/api/pulls/{pull['id']}/evidence")
    author = hub.task(task)["attempts"][-1]["agent"]

    assert evidence["verification"]["verifier"] not in (None, "", author)

    hub.post(f"/api/pulls/{pull['id']}/approve", {"body": "Good."})
    hub.post(f"/api/pulls/{pull['id']}/merge", {"method": "merge"})

    assert "merged" == hub.get(f"/api/pulls/{pull['id']}")["status"]
    assert "return a+b" in (upstream / "calc.py").read_text()
    log = subprocess.run(["git", "log", "--format=%s"], cwd=upstream, check=True, capture_output=True, text=True).stdout
    assert "Fix add" in log


def test_a_failing_check_is_retried_with_what_failed_and_then_buried(hub: Hub, crew: list[Sidecar]) -> None:
    task = fix(hub, command="echo '# tried' >> calc.py", max_attempts=2)
    found = hub.await_status(task, "dead", within=60)

    assert ["unverified", "unverified"] == outcomes(hub, task)
    assert "python3 -m unittest -q" in found["last_error"]
    assert all(attempt["salvage_ref"] for attempt in eventually(lambda: _salvaged(hub, task), what="salvage"))


def _salvaged(hub: Hub, task: int) -> list[dict[str, str]]:
    found = hub.task(task)["attempts"]
    return found if all(attempt["salvage_ref"] for attempt in found) else []


def test_a_killed_sidecar_loses_the_task_to_the_other_one_and_it_is_done_once(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 6)
    victim, survivor = holder(hub, task, crew)
    victim.kill()
    eventually(lambda: not running_marks() or outcomes(hub, task)[0] != "open", what="the end of the killed work")
    hub.await_status(task, "completed", within=60)

    assert ["reclaimed", "succeeded"] == outcomes(hub, task)
    assert survivor.name == hub.task(task)["attempts"][-1]["agent"]


def test_a_stopped_sidecar_that_comes_back_too_late_changes_nothing(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 5)
    victim, _ = holder(hub, task, crew)
    victim.signal(signal.SIGSTOP)
    eventually(lambda: outcomes(hub, task)[0] == "reclaimed", what="reclaiming")
    victim.signal(signal.SIGCONT)
    hub.await_status(task, "completed", within=60)
    eventually(lambda: not running_marks(), what="the late work's end")

    assert ["reclaimed", "succeeded"] == outcomes(hub, task)


def test_work_goes_on_through_the_death_of_the_hub(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 8)
    holder(hub, task, crew)
    hub.kill()
    hub.start(clusters=True)
    hub.await_status(task, "completed", within=60)

    assert ["succeeded"] == outcomes(hub, task)

    fresh = hub.submit(command="true")
    hub.await_status(fresh, "completed", within=20)


def test_a_report_made_while_the_hub_was_away_is_delivered_once(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 2, timeout_seconds=60)
    holder(hub, task, crew)
    hub.kill()
    eventually(lambda: not running_marks(), what="the work's end while the hub is away")
    hub.start(clusters=True)
    hub.await_status(task, "completed", within=60)
    events = [event["kind"] for event in hub.get(f"/api/tasks/{task}/history")["results"]]

    assert 1 == events.count("task.completed")


@pytest.mark.parametrize(
    "command", ["trap '' TERM; sleep 300 & wait", "setsid sh -c \"trap '' TERM; sleep 300\" & sleep 300"]
)
def test_cancelling_kills_what_does_not_want_to_die(hub: Hub, crew: list[Sidecar], command: str) -> None:
    task = hub.submit(command=f"{command} # {MARK}")
    holder(hub, task, crew)
    eventually(running_marks, what="the command")
    started = time.monotonic()
    hub.post(f"/api/tasks/{task}/cancel")
    eventually(lambda: not running_marks(), within=5, what="the end of the cancelled work")
    states = eventually(
        lambda: {a["state"] for a in hub.get("/api/agents")["results"]} == {"idle"}, within=5, what="a free slot"
    )

    assert states
    assert time.monotonic() - started < 10
    assert ["cancelled"] == outcomes(hub, task)


def test_a_killed_command_is_a_failure_with_its_exit(hub: Hub, crew: list[Sidecar]) -> None:
    task = hub.submit(command="kill -9 $$", max_attempts=1)
    found = hub.await_status(task, "dead", within=30)

    assert ["failed"] == outcomes(hub, task)
    assert "137" in found["last_error"] or "signal" in found["last_error"].lower()


def test_what_a_failed_attempt_changed_is_saved(hub: Hub, crew: list[Sidecar], upstream: Path) -> None:
    task = hub.submit(title="half", repo="calc", command="echo precious > half.txt; exit 3", max_attempts=1)
    hub.await_status(task, "dead", within=30)
    attempt = eventually(lambda: _salvaged(hub, task), what="salvage")[0]
    mirror = hub.data_dir / "repos" / "calc.git"
    show = ["git", "-C", str(mirror), "show", f"{attempt['salvage_ref']}:half.txt"]

    assert "precious\n" == subprocess.run(show, check=True, capture_output=True, text=True).stdout
