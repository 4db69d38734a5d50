from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.ops.child import Child
from apps.ops.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[3]

# A program with a child of its own in the same group; says its numbers, and stops on SIGTERM unless it is stubborn.
FAMILY = """
import os, signal, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: (print("goodbye"), sys.exit(0)))
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(60)
print("pids", os.getpid(), child)
while True:
    time.sleep(60)
"""


def family(name: str = "family", *arguments: str, **options) -> Child:
    return Child(name, (sys.executable, "-c", FAMILY, *arguments), **options)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other processes are watched
            await asyncio.sleep(0.01)
    assert condition(), what


class Lines(list[tuple[str, str]]):
    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def of(self, name: str, beginning: str = "") -> list[str]:
        return [line for who, line in self if who == name and line.startswith(beginning)]

    def pids(self, name: str = "family") -> list[list[int]]:
        return [[int(word) for word in line.split()[1:]] for line in self.of(name, "pids")]


@pytest.fixture
def lines() -> Lines:
    return Lines()


async def test_every_line_is_given_with_the_name_of_its_speaker(lines: Lines):
    script = "import os; os.write(1, b'out\\n'); os.write(2, b'err\\n'); os.write(1, b'\\xff\\nend')"
    supervisor = Supervisor([Child("poet", (sys.executable, "-c", script), restart=False)], output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: lines.of("poet", "ended"), "it ends")
    supervisor.request_stop()
    await running

    assert ["out", "err", "\ufffd", "end", "ended (exit status 0)"] == lines.of("poet")


async def test_a_child_that_dies_is_started_again_and_leaves_nobody_behind(lines: Lines):
    supervisor = Supervisor([family()], output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(lines.pids()) == 1, "first life")
    head, grandchild = lines.pids()[0]

    os.kill(head, signal.SIGKILL)
    await until(lambda: len(lines.pids()) == 2, "second life")

    await until(lambda: not is_alive(grandchild), "nobody is left")
    assert ["ended (SIGKILL); starts again in 0.5 s"] == lines.of("family", "ended")
    supervisor.request_stop()
    await running


async def test_a_child_that_keeps_failing_is_given_longer_and_longer_pauses(lines: Lines):
    supervisor = Supervisor([Child("sick", ("/bin/false",))], output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(lines.of("sick")) == 3, "three ends")
    supervisor.request_stop()
    await running

    pauses = [line.split()[-2] for line in lines.of("sick")]
    assert ["0.5", "1", "2"] == pauses


async def test_a_stop_ends_higher_stages_first_and_everything_with_them(lines: Lines):
    children = [family("low", stage=0), family("high", stage=1)]
    supervisor = Supervisor(children, output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: lines.pids("low") and lines.pids("high"), "both up")

    supervisor.request_stop()
    await running

    assert ["high", "low"] == [who for who, line in lines if line == "goodbye"]
    await until(
        lambda: not any(is_alive(pid) for name in ("low", "high") for pid in lines.pids(name)[0]), "nobody is left"
    )


async def test_who_ignores_the_request_to_stop_is_killed(lines: Lines):
    supervisor = Supervisor([family("family", "stubborn")], output=lines, stop_seconds=0.5)
    running = asyncio.create_task(supervisor.run())
    await until(lines.pids, "up")

    supervisor.request_stop()
    await asyncio.wait_for(running, 10)

    await until(lambda: not any(is_alive(pid) for pid in lines.pids()[0]), "nobody is left")


async def test_the_next_stage_waits_until_this_one_is_ready(lines: Lines, tmp_path: Path):
    asked = []

    async def ready() -> bool:
        asked.append("low")
        return len(asked) > 3

    def up() -> None:
        asked.append("all up")

    children = [family("low", stage=0, ready=ready), Child("high", ("/bin/sleep", "60"), stage=1)]
    supervisor = Supervisor(children, output=lines, on_ready=up)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: "all up" in asked, "up")
    supervisor.request_stop()
    await running

    assert ["low"] * 4 + ["all up"] == asked


async def test_a_quiet_child_speaks_only_when_it_ends_unasked(lines: Lines):
    script = "print('secret of its death'); raise SystemExit(3)"
    children = [family("calm", quiet=True), Child("sick", (sys.executable, "-c", script), quiet=True)]
    supervisor = Supervisor(children, output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: lines.of("sick", "ended"), "it ends")
    supervisor.request_stop()
    await running

    assert "secret of its death" in lines.of("sick")
    assert [] == lines.of("calm")


async def test_a_child_whose_watch_finds_it_stuck_is_killed_and_started_again(lines: Lines):
    class Once:
        starts = 0

        def started(self) -> None:
            self.starts += 1

        async def is_stuck(self) -> bool:
            return self.starts == 1

    watch = Once()
    supervisor = Supervisor([family("family", "stubborn", watch=watch)], output=lines)
    running = asyncio.create_task(supervisor.run())
    await until(lambda: len(lines.pids()) == 2 and watch.starts == 2, "second life")
    first, second = lines.pids()

    await until(lambda: not any(is_alive(pid) for pid in first), "nobody is left")
    assert all(is_alive(pid) for pid in second)
    supervisor.kill("family")
    supervisor.request_stop()
    await running


async def test_a_fault_of_a_ready_question_ends_the_supervisor_with_that_fault(lines: Lines):
    async def ready() -> bool:
        raise RuntimeError("no such question")

    supervisor = Supervisor([family(ready=ready)], output=lines, stop_seconds=1)
    running = asyncio.create_task(supervisor.run())
    await until(lines.pids, "up")
    os.kill(lines.pids()[0][0], signal.SIGTERM)

    with pytest.raises(RuntimeError, match="no such question"):
        await asyncio.wait_for(running, 10)


async def test_when_nobody_takes_the_output_any_more_everything_ends_with_the_cause(lines: Lines):
    def closed(name: str, line: str) -> None:
        lines(name, line)
        raise BrokenPipeError("the reader has left")

    supervisor = Supervisor([family()], output=closed, stop_seconds=1)

    with pytest.raises(BrokenPipeError):
        await asyncio.wait_for(supervisor.run(), 20)
    await until(lambda: not any(is_alive(pid) for pid in lines.pids()[0]), "nobody is left")


SUPERVISE = """
import asyncio, sys
from apps.ops.child import Child
from apps.ops.supervisor import Supervisor
children = [Child("one", sys.argv[1:]), Child("two", sys.argv[1:], stage=1)]
print("supervisor ends", asyncio.run(Supervisor(children, output=lambda name, line: print(line, flush=True)).run()))
"""


def start_supervisor() -> tuple[subprocess.Popen[str], list[int]]:
    """A supervisor in a process of its own, and the numbers of all that it has started."""
    process = subprocess.Popen(
        (sys.executable, "-c", SUPERVISE, sys.executable, "-u", "-c", FAMILY, "stubborn"),
        stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    pids: list[int] = []
    while len(pids) < 4:
        pids += [int(word) for word in process.stdout.readline().split()[1:]]
    return process, pids


async def test_killing_the_supervisor_leaves_nothing_behind():
    process, pids = start_supervisor()
    assert all(is_alive(pid) for pid in pids)

    process.kill()
    process.wait()

    await until(lambda: not any(is_alive(pid) for pid in pids), "all gone")


async def test_a_second_ctrl_c_ends_everything_at_once():
    process, pids = start_supervisor()

    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    assert "Ctrl-C again" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=7)

    assert "supervisor ends None" in said
    await until(lambda: not any(is_alive(pid) for pid in pids), "nobody is left")
