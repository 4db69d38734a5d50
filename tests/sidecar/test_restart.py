"""A real sidecar process that is asked to drain or to restart, with a supervisor and without one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from sidecar.wire import messages
from tests.sidecar.hub import ModelHub, assignment, listening
from tests.sidecar.test_daemon import REPOSITORY, journal, logged, settings, sidecar

WORK = "echo up; while ! test -e {flag}; do sleep 0.1; done; echo through"


@pytest.fixture
def hub():
    return ModelHub()


def restart(hello, **wish):
    return messages.AgentDesired(drain=True, restart=hello.process, **wish)


async def status(base):
    """What `agentcom-sidecar status` says of the process and its mode."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "status", "--root", str(base),
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 20)
    return said.decode().splitlines()[0]


async def at_work(hub, command, **kwargs):
    await hub.say(assignment(command, **kwargs))
    await hub.expect(messages.TaskProgress, where=lambda frame: any(step.text == "up" for step in frame.steps))


async def test_without_a_supervisor_it_starts_again_in_its_own_place(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address)) as process:
        first = await hub.expect(messages.Hello)
        await hub.say(restart(first))
        second = await hub.expect(messages.Hello, count=2)
        shown = await status(tmp_path)
        await hub.say(assignment("echo again"))
        report = await hub.expect(messages.TaskCompleted)
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 15)

    assert first.process
    assert second.process not in {"", first.process}
    assert f"ada: running (process {process.pid})" == shown
    assert ("again\n", 0) == (report.result.output, code)


async def test_under_a_supervisor_it_ends_with_the_code_that_asks_for_another_start(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address), "--supervised") as process:
        await hub.say(restart(await hub.expect(messages.Hello)))
        code = await asyncio.wait_for(process.wait(), 20)

    assert 75 == code
    assert 1 == len(hub.all(messages.Hello))


async def test_work_ends_and_is_delivered_before_the_restart(hub, tmp_path):
    flag = tmp_path / "go"
    async with listening(hub) as address, sidecar(settings(tmp_path, address, drain_seconds=0.1)) as process:
        hello = await hub.expect(messages.Hello)
        await at_work(hub, WORK.format(flag=flag))
        await hub.say(restart(hello))
        await logged(process, "the hub wants another mode")
        shown = await status(tmp_path)
        flag.touch()
        report = await hub.expect(messages.Terminal)
        again = await hub.expect(messages.Hello, count=2)

    assert f"ada: running (process {process.pid}), restarts as soon as its work is over" == shown
    assert report.result.output.endswith("through\n")
    assert ([], []) == (again.holding, again.undelivered)
    assert [] == journal(tmp_path)


async def test_a_report_that_the_hub_does_not_take_in_time_is_delivered_by_the_next_process(hub, tmp_path):
    hub.settles = False
    flag = tmp_path / "go"
    async with listening(hub) as address, sidecar(settings(tmp_path, address)):
        hello = await hub.expect(messages.Hello)
        await at_work(hub, WORK.format(flag=flag))
        await hub.say(restart(hello))
        flag.touch()
        again = await hub.expect(messages.Hello, count=2)
        hub.settles = True
        await hub.expect(messages.TaskCompleted, count=2)

    assert [1] == [owed.attempt for owed in again.undelivered]


async def test_now_hands_the_work_back_after_the_grace(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address, drain_seconds=0.2)):
        hello = await hub.expect(messages.Hello)
        await at_work(hub, f"echo up; sleep 600.{os.getpid()}")
        await hub.say(restart(hello, now=True))
        report = await hub.expect(messages.Terminal)
        again = await hub.expect(messages.Hello, count=2)

    assert ("task.released", "drained") == (report.type, report.error.code)
    assert [] == again.holding


async def test_a_wish_that_is_told_again_to_the_new_process_means_nothing_to_it(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address)):
        first = await hub.expect(messages.Hello)
        await hub.say(restart(first))
        await hub.expect(messages.Hello, count=2)
        await hub.say(restart(first))
        await hub.say(assignment("echo on"))
        await hub.expect(messages.TaskCompleted)

    assert 2 == len(hub.all(messages.Hello))


async def test_a_signal_that_comes_while_it_restarts_is_for_good_and_leaves_the_grace_as_it_is(hub, tmp_path):
    flag = tmp_path / "go"
    async with listening(hub) as address, sidecar(settings(tmp_path, address, drain_seconds=3600)) as process:
        hello = await hub.expect(messages.Hello)
        await at_work(hub, WORK.format(flag=flag))
        await hub.say(restart(hello, now=True))
        await logged(process, "leaving")
        process.send_signal(signal.SIGTERM)
        flag.touch()
        report = await hub.expect(messages.Terminal)
        code = await asyncio.wait_for(process.wait(), 15)

    assert ("task.completed", 0) == (report.type, code)
    assert 1 == len(hub.all(messages.Hello))


async def test_a_drained_sidecar_says_so_and_stays(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address)) as process:
        await hub.expect(messages.Hello)
        await hub.say(messages.AgentDesired(drain=True))
        await logged(process, "the hub wants another mode")
        shown = await status(tmp_path)
        await hub.say(messages.AgentDesired())
        await hub.say(assignment("echo on"))
        await hub.expect(messages.TaskCompleted)
        later = await status(tmp_path)

    assert shown.endswith(", draining: the hub gives it no new work")
    assert f"ada: running (process {process.pid})" == later
