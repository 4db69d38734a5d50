"""Real job clusters under the supervisor: killed workers, hung queues, a Redis that goes away."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from apps.ops import hub, valkey
from apps.ops.pulse import Pulse
from apps.ops.supervisor import Supervisor

pytestmark = pytest.mark.redis


class Floor:
    """A supervised cluster, what it said, and how to wait for something."""

    def __init__(self, office) -> None:
        self.office = office
        self.said: list[str] = []
        self.evidence = office.data / "evidence"

    def start(self, *, silent_seconds: float = 60) -> asyncio.Task[None]:
        redis_url = self.office.env["REDIS_URL"]
        child = hub.cluster_child("default", redis_url=redis_url, data_dir=self.office.data, ring=str)
        directory = Path(child.env["AGENTCOM_PULSE_DIR"])
        ring = lambda: self.office.queue("apps.ops.jobs.beat")  # noqa: E731 - one line, used once
        watch = Pulse(directory, ring, beat_seconds=1, silent_seconds=silent_seconds)
        child = dataclasses.replace(child, watch=watch, env={**self.office.env, **child.env})
        self.supervisor = Supervisor([child], output=lambda _, line: self.said.append(line))
        self.running = asyncio.create_task(self.supervisor.run())
        return self.running

    def lines(self) -> list[str]:
        return self.evidence.read_text().split() if self.evidence.exists() else []

    async def until(self, condition: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(60):
                while not condition():  # noqa: ASYNC110 - other processes are watched
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError("\n".join(self.said[-40:])) from None


@pytest.fixture
async def floor(office) -> AsyncIterator[Floor]:
    floor = Floor(office)
    yield floor
    floor.supervisor.request_stop()
    await floor.running


async def test_a_queued_job_runs_once_and_is_acknowledged(floor: Floor, office):
    floor.start()

    office.queue_line(floor.evidence)
    await floor.until(floor.lines)
    await floor.until(lambda: not office.waiting())

    assert 1 == len(floor.lines())


async def test_a_job_whose_worker_is_killed_is_delivered_again(floor: Floor, office):
    floor.start(silent_seconds=15)  # killed in the wrong moment, a worker takes the queue's lock along
    office.queue_line(floor.evidence, f"test $(wc -l < {floor.evidence}) -gt 1 || sleep 600")
    await floor.until(floor.lines)

    os.kill(int(floor.lines()[0]), signal.SIGKILL)
    office.queue_line(floor.evidence)  # the same cluster goes on with the next one
    await floor.until(lambda: len(floor.lines()) == 2)
    office.make_all_due()
    await floor.until(lambda: len(floor.lines()) == 3)

    assert 3 == len(floor.lines())


@pytest.mark.slow
async def test_a_cluster_that_hangs_because_its_idle_worker_was_killed_is_replaced(floor: Floor, office):
    floor.start(silent_seconds=10)  # less than a busy machine needs to start one would kill it again and again
    office.queue_line(floor.evidence)
    await floor.until(floor.lines)
    await floor.until(lambda: not office.waiting())
    first = floor.supervisor.pid("jobs.default")

    os.kill(int(floor.lines()[0]), signal.SIGKILL)  # idle, so it holds the lock of the queue
    office.queue_line(floor.evidence)
    await floor.until(lambda: "runs but does nothing any more; killed" in floor.said)
    await floor.until(lambda: floor.supervisor.pid("jobs.default") not in {None, first})
    office.make_all_due()
    await floor.until(lambda: len(floor.lines()) == 2)

    assert 2 == len(floor.lines())


async def test_jobs_run_while_redis_is_away(floor: Floor, office):
    office.env["REDIS_URL"] = valkey.plan(office.data).url  # nobody listens there
    floor.start()

    office.queue_line(floor.evidence)
    await floor.until(floor.lines)

    assert 1 == len(floor.lines())
