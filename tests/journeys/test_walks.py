"""Walks A and B of the house, with real processes and real git: from a task to its end, through every kind of loss."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis

from apps.ops import valkey
from tests.hub import Hub, eventually
from tests.journey import MARK, Upstream, events, git, holder, idle, outcomes, running_marks, salvaged, slow
from tests.sidecars import Sidecar

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(240)]


def test_a_task_becomes_a_merged_pull_request(hub: Hub, crew: list[Sidecar], upstream: Upstream) -> None:
    task = upstream.fix()
    hub.await_status(task, "completed", within=60)
    pull = upstream.verified_pull()
    evidence = hub.get(f"/api/pulls/{pull['id']}/evidence")
    author = hub.task(task)["attempts"][-1]["agent"]

    assert evidence["verification"]["independent"]
    assert evidence["verification"]["verifier"] not in (None, "", author)

    hub.post(f"/api/pulls/{pull['id']}/approve", {"body": "Good."})
    hub.post(f"/api/pulls/{pull['id']}/merge", {"method": "merge"})

    assert hub.get(f"/api/pulls/{pull['id']}")["status"] == "merged"
    assert "return a+b" in (upstream.path / "calc.py").read_text()
    assert "Fix add" in git(upstream.path, "log", "--format=%s")


def test_requested_changes_come_on_the_same_branch_and_are_merged(
    hub: Hub, crew: list[Sidecar], upstream: Upstream
) -> None:
    remember = "echo '# reviewed' >> calc.py; sed -i s/a.-.b/a+b/ calc.py"
    upstream.fix(command=remember)
    first = upstream.verified_pull()
    hub.post(f"/api/pulls/{first['id']}/request-changes", {"body": "Say it twice."})
    second = eventually(
        lambda: next((pull for pull in upstream.pulls() if pull["head"] != first["head"]), None),
        within=60,
        what="new work on the branch",
    )

    assert (first["id"], first["branch"]) == (second["id"], second["branch"])

    pull = upstream.verified_pull()
    hub.post(f"/api/pulls/{pull['id']}/merge", {"method": "merge"})

    assert (upstream.path / "calc.py").read_text().count("# reviewed") == 2
    assert len(upstream.pulls()) == 1


def test_dependants_run_after_their_prerequisite(hub: Hub, crew: list[Sidecar]) -> None:
    first = slow(hub, 2)
    second = hub.submit(depends_on=[first])
    holder(hub, first, crew)

    assert hub.task(second)["status"] == "waiting"

    done = hub.await_status(second, "completed", within=60)
    assert done["attempts"][0]["assigned_at"] >= hub.task(first)["finished_at"]


def test_a_failing_check_is_retried_with_what_failed_and_then_buried(
    hub: Hub, crew: list[Sidecar], upstream: Upstream
) -> None:
    task = upstream.fix(command="echo '# tried' >> calc.py", max_attempts=2)
    found = hub.await_status(task, "dead", within=60)

    assert outcomes(hub, task) == ["unverified", "unverified"]
    assert "python3 -m unittest -q" in found["last_error"]
    assert len(salvaged(hub, task)) == 2
    assert upstream.pulls() == []


def test_a_killed_sidecar_loses_the_task_to_the_other_one_and_it_is_done_once(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 3)
    victim, survivor = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    victim.kill()
    eventually(lambda: not running_marks() or len(outcomes(hub, task)) > 1, what="the end of the killed work")
    hub.await_status(task, "completed", within=60)

    assert outcomes(hub, task) == ["reclaimed", "succeeded"]
    assert hub.task(task)["attempts"][-1]["agent"] == survivor.name
    assert events(hub, task).count("task.completed") == 1


def test_a_stopped_sidecar_that_comes_back_too_late_changes_nothing(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 3)
    victim, survivor = holder(hub, task, crew)
    victim.signal(signal.SIGSTOP)
    eventually(lambda: outcomes(hub, task)[0] == "reclaimed", what="reclaiming")
    victim.signal(signal.SIGCONT)
    hub.await_status(task, "completed", within=60)
    eventually(lambda: idle(hub) and not running_marks(), what="the late work's end")

    assert outcomes(hub, task) == ["reclaimed", "succeeded"]
    assert hub.task(task)["attempts"][-1]["agent"] == survivor.name


def test_a_sidecar_told_to_leave_hands_its_work_back(hub: Hub, crew: list[Sidecar]) -> None:
    for one in crew:
        one.end()
        one.limit(drain_seconds=1)
        one.start()
    eventually(lambda: idle(hub), what="an idle crew")
    task = slow(hub, 6)
    leaver, stayer = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    leaver.signal(signal.SIGTERM)
    assert leaver.process is not None
    assert leaver.process.wait(60) == 0
    hub.await_status(task, "completed", within=60)

    assert outcomes(hub, task) == ["released", "succeeded"]
    assert hub.task(task)["attempts"][-1]["agent"] == stayer.name


@pytest.mark.parametrize(
    "command", ["trap '' TERM; sleep 300 & wait", "setsid sh -c \"trap '' TERM; sleep 300\" & sleep 300"]
)
def test_cancelling_kills_what_does_not_want_to_die(hub: Hub, crew: list[Sidecar], command: str) -> None:
    task = hub.submit(command=f"{command} # {MARK}")
    holder(hub, task, crew)
    eventually(running_marks, what="the command")
    hub.post(f"/api/tasks/{task}/cancel")
    eventually(lambda: not running_marks() and idle(hub), within=5, what="the end of the cancelled work")

    assert outcomes(hub, task) == ["cancelled"]


def test_a_killed_command_is_a_failure_with_its_exit(hub: Hub, crew: list[Sidecar]) -> None:
    task = hub.submit(command="kill -9 $$", max_attempts=1)
    found = hub.await_status(task, "dead")

    assert outcomes(hub, task) == ["failed"]
    assert "137" in found["last_error"] or "signal" in found["last_error"].lower()


def test_what_a_failed_attempt_changed_is_saved(hub: Hub, crew: list[Sidecar], upstream: Upstream) -> None:
    task = hub.submit(title="half", repo=upstream.slug, command="echo precious > half.txt; exit 3", max_attempts=1)
    hub.await_status(task, "dead")
    (attempt,) = salvaged(hub, task)

    assert git(upstream.mirror, "show", f"{attempt['salvage_ref']}:half.txt") == "precious\n"


def test_work_goes_on_while_hints_are_away_and_they_come_back(
    hub: Hub, crew: list[Sidecar], hints: list[valkey.Embedded], base: Path
) -> None:
    hints[-1].process.kill()
    hints[-1].process.wait()
    crew[0].end()
    crew[0].start()  # who comes now is let in as well
    eventually(lambda: idle(hub), what="joining without hints")
    for task in [hub.submit() for _ in range(3)]:
        hub.await_status(task, "completed", within=60)
        assert outcomes(hub, task) == ["succeeded"]

    hints.append(valkey.start(base / "hints"))
    with redis.Redis.from_url(hints[-1].url) as client:
        eventually(lambda: len(client.pubsub_channels("*agent*")) >= len(crew), what="listening for hints")
    hub.await_status(hub.submit(), "completed")
