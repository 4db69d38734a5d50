from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from apps.ops import pulse
from apps.ops.pulse import Pulse


class Clock:
    """The monotonic clock, moved by hand."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def rung() -> list[int]:
    return []


@pytest.fixture
def watch(clock: Clock, rung: list[int], tmp_path: Path) -> Pulse:
    watch = Pulse(tmp_path, lambda: rung.append(1), beat_seconds=10, silent_seconds=30)
    watch.started()
    return watch


async def test_a_cluster_that_answers_each_beat_is_rung_again_and_again(watch, clock, rung, tmp_path):
    for _ in range(50):
        assert not await watch.is_stuck()
        clock.now += 5
        pulse.mark(tmp_path)

    assert 25 == len(rung)


async def test_a_cluster_that_leaves_a_beat_unanswered_is_stuck_after_the_silence(watch, clock, rung):
    assert not await watch.is_stuck()
    clock.now += 30

    assert not await watch.is_stuck()
    clock.now += 1
    assert await watch.is_stuck()
    assert 1 == len(rung)


async def test_a_cluster_that_works_on_a_long_job_is_not_stuck_until_the_job_is_over_its_limit(watch, clock, tmp_path):
    pulse.began(tmp_path, 600)
    assert not await watch.is_stuck()
    clock.now += 600

    assert not await watch.is_stuck()
    clock.now += pulse.STOP_GRACE_SECONDS
    assert await watch.is_stuck()


async def test_a_job_whose_worker_is_dead_explains_no_silence(watch, clock, tmp_path):
    gone = await asyncio.create_subprocess_exec("/bin/true")
    await gone.wait()
    (tmp_path / f"busy-{gone.pid}").write_text(str(clock.now + 600))
    assert not await watch.is_stuck()
    clock.now += 31

    assert await watch.is_stuck()


async def test_the_marks_of_an_earlier_life_do_not_count(watch, clock, tmp_path):
    (tmp_path / f"busy-{os.getpid()}").write_text(str(clock.now + 600))

    watch.started()

    assert not pulse.is_busy(tmp_path, clock.now)


async def test_a_beat_that_cannot_be_queued_kills_nobody(clock, tmp_path):
    def ring() -> None:
        raise ConnectionError("the database is away")

    watch = Pulse(tmp_path, ring, beat_seconds=10, silent_seconds=30)
    for _ in range(20):
        assert not await watch.is_stuck()
        clock.now += 10


def test_a_half_written_mark_reads_as_none(tmp_path):
    (tmp_path / "beat").write_text("")

    assert 0.0 == pulse.last_mark(tmp_path)


def test_a_job_leaves_its_marks(tmp_path, monkeypatch):
    monkeypatch.setenv(pulse.DIRECTORY_VARIABLE, str(tmp_path))

    pulse.on_job_began(task={"timeout": 5})
    during = pulse.is_busy(tmp_path, time.monotonic())
    pulse.on_job_ended()

    assert during
    assert not pulse.is_busy(tmp_path, time.monotonic())
    assert pulse.last_mark(tmp_path) > 0
