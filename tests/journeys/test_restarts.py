"""The hub dies or leaves and comes back, in every moment that matters; work, reports and pushes survive it once."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.hub import Hub, eventually
from tests.journey import MARK, Upstream, events, git, holder, outcomes, running_marks, slow
from tests.sidecars import Sidecar

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Leases that outlast a restart of the hub on a slow machine."""
    return {f"AGENTCOM_LEASE_{stage}_SECONDS": "40" for stage in ("ASSIGNED", "WORKING", "BLOCKED")}


@pytest.mark.slow
def test_work_goes_on_for_longer_than_its_lease_after_restarts_and_new_work_is_taken_at_once(
    hub: Hub, crew: list[Sidecar]
) -> None:
    task = slow(hub, 70)
    holder(hub, task, crew)
    hub.stop()
    eventually(lambda: all("the hub restarts" in one.log() for one in crew), what="hearing why")
    hub.start(clusters=True)
    hub.await_status(hub.submit(), "completed")
    hub.kill()
    hub.start(clusters=True)
    hub.await_status(hub.submit(), "completed")

    assert hub.task(task)["status"] == "working"

    hub.await_status(task, "completed", within=150)
    assert outcomes(hub, task) == ["succeeded"]
    assert events(hub, task).count("task.completed") == 1


def test_what_a_crowd_was_promised_is_there_although_the_hub_died_while_it_committed(hub: Hub) -> None:
    target = {"title": "later", "command": "true", "capabilities": ["nobody-has-this"]}
    promised: dict[str, int] = {}

    def insist(caller: int) -> None:
        for number in itertools.count():
            key = f"crowd-{caller}-{number}"
            asked.append(key)
            try:
                status, task = hub.call("POST", "/api/tasks", target, key=key)
            except httpx.TransportError:  # the hub is dead
                return
            assert status == 201, task
            promised[key] = task["id"]

    asked: list[str] = []
    with ThreadPoolExecutor(8) as crowd:
        callers = [crowd.submit(insist, caller) for caller in range(8)]
        eventually(lambda: len(promised) > 60, what="a crowd")
        hub.kill()
    for caller in callers:
        caller.result()
    hub.start(clusters=True)
    again = {key: hub.call("POST", "/api/tasks", target, key=key) for key in asked}

    assert promised == {key: again[key][1]["id"] for key in promised}
    assert {200} == {again[key][0] for key in promised}
    assert len(asked) == len({task["id"] for _, task in again.values()})
    for _, task in again.values():
        hub.post(f"/api/tasks/{task['id']}/cancel")


def test_a_report_made_while_the_hub_was_away_is_delivered_once(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 2)
    worker, _ = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    hub.kill()
    eventually(lambda: not running_marks(), what="the work's end while the hub is away")
    hub.start(clusters=True)
    hub.await_status(task, "completed", within=60)

    assert outcomes(hub, task) == ["succeeded"]
    assert events(hub, task).count("task.completed") == 1
    eventually(lambda: not list((worker.root / worker.name / "journal").glob("*")), what="a settled journal")


def test_a_report_survives_the_death_of_both_sides(hub: Hub, crew: list[Sidecar]) -> None:
    task = slow(hub, 2)
    worker, _ = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    hub.kill()
    eventually(lambda: '"work ends"' in worker.log().rsplit('"work begins"', 1)[-1], what="the work's end")
    worker.kill()
    hub.start(clusters=True)
    worker.start()
    hub.await_status(task, "completed", within=60)

    assert outcomes(hub, task) == ["succeeded"]


def test_a_push_that_the_death_of_the_hub_interrupts_is_made_again(
    hub: Hub, crew: list[Sidecar], upstream: Upstream, tmp_path: Path
) -> None:
    hook = upstream.mirror / "hooks" / "pre-receive"
    admits = hook.read_text()
    reached = tmp_path / "reached"
    hook.write_text(f"#!/bin/sh\necho $$ > {reached}.new\nmv {reached}.new {reached}\nexec sleep 300 # {MARK}\n")
    task = upstream.fix()
    eventually(reached.exists, within=60, what="the push")
    hub.kill()
    with contextlib.suppress(ProcessLookupError):  # a power cut ends the hub's git as well
        os.killpg(os.getpgid(int(reached.read_text())), signal.SIGKILL)
    hook.write_text(admits)
    hub.start(clusters=True)
    hub.await_status(task, "completed", within=90)
    pull = upstream.verified_pull()

    assert outcomes(hub, task) == ["succeeded"]
    assert len(upstream.pulls()) == 1
    assert git(upstream.mirror, "rev-list", "--count", f"main..{pull['head']}").strip() == "1"
