"""The sidecar as a real process against a hub on a real socket: restarts, signals, kills and lost connections."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sidecar import config
from sidecar.sandbox import Policy, detect
from sidecar.wire import messages
from tests.sidecar.hub import PATIENCE, ModelHub, assignment, listening

TOKEN = "act_agent_AAAAAAAA_0123456789012345678901234567890"
REPOSITORY = Path(__file__).parents[2]
TERMINAL = messages.Terminal


@pytest.fixture
def hub():
    return ModelHub()


@pytest.fixture(params=["off", "bubblewrap"])
def sandbox(request):
    if detect(Policy(sandbox=request.param)).name == "none":
        pytest.skip("no bubblewrap here")
    return request.param


def settings(tmp_path, address, sandbox="off", **limits):
    made = config.Config(hub=address, name="ada", token=TOKEN, sandbox=sandbox, limits=config.Bounds(**limits))
    config.save(tmp_path / "ada", made)
    return tmp_path


@asynccontextmanager
async def sidecar(base, *extra):
    """A sidecar process, whose log lines `logged` waits for; killed at the end if it still runs."""
    process: Any = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", "--root", str(base), "--log-format", "json", *extra,
        cwd=REPOSITORY, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    process.lines, process.news = [], asyncio.Event()
    listening = asyncio.create_task(listen(process))
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended
            process.kill()
        await process.wait()
        await listening


async def listen(process):
    async for line in process.stdout:
        sys.stdout.write(line.decode())  # shown when the test fails
        process.lines.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})
        process.news.set()


async def logged(process, event):
    """The first line about an event."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [line for line in process.lines if line["event"] == event]):
            process.news.clear()
            await process.news.wait()
    return found[0]


def exists(pid):
    """Alive and not a zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def running(mark):
    """Processes of this machine whose command line holds `mark`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes() and exists(entry.name):
                    found.append(int(entry.name))
    return found


async def gone(mark):
    async with asyncio.timeout(10):
        while running(mark):  # noqa: ASYNC110  the kernel sends no event for it
            await asyncio.sleep(0.05)


def journal(base):
    return sorted(path.name for path in (base / "ada" / "journal").glob("*.json"))


async def test_a_task_is_accepted_done_reported_and_forgotten(hub, tmp_path, sandbox):
    async with listening(hub) as address, sidecar(settings(tmp_path, address, sandbox)) as process:
        hello = await hub.expect(messages.Hello)
        await hub.say(assignment("echo done"))
        accepted = await hub.expect(messages.TaskAccepted)
        report = await hub.expect(messages.TaskCompleted)
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), 15)

    assert f"Bearer {TOKEN}" == hub.tokens[0]
    assert (["shell", "verify"], sandbox) == (hello.executors, hello.sandbox.level)
    assert 1 == accepted.attempt
    assert "done\n" == report.result.output
    assert 0 == code
    assert [] == journal(tmp_path)


async def test_a_report_waits_on_disk_for_a_hub_that_is_away_and_for_the_next_process(hub, tmp_path):
    base = None
    hub.settles = False
    async with listening(hub) as address:
        base = settings(tmp_path, address)
        async with sidecar(base) as process:
            await hub.expect(messages.Hello)
            await hub.say(assignment("echo once"))
            await hub.expect(messages.TaskCompleted)
            process.kill()
            await process.wait()
        assert ["1.json"] == journal(tmp_path)

        hub.settles = True
        async with sidecar(base) as process:
            again = await hub.expect(messages.Hello, count=2)
            report = await hub.expect(messages.TaskCompleted, count=2)
            process.terminate()
            await asyncio.wait_for(process.wait(), 15)

    assert [1] == [owed.attempt for owed in again.undelivered]
    assert "once\n" == report.result.output
    assert [] == journal(tmp_path)


async def test_a_killed_sidecar_takes_its_commands_along_and_hands_the_work_back(hub, tmp_path, sandbox):
    mark = f"86400.{os.getpid()}"
    async with listening(hub) as address:
        base = settings(tmp_path, address, sandbox)
        async with sidecar(base) as process:
            await hub.expect(messages.Hello)
            await hub.say(assignment(f"setsid sh -c 'trap \"\" TERM; sleep {mark}' & echo up; sleep {mark}"))
            await hub.expect(messages.TaskProgress, where=lambda frame: any(s.text == "up" for s in frame.steps))
            assert running(mark)
            process.kill()
            await process.wait()
            await gone(mark)

        async with sidecar(base):
            report = await hub.expect(messages.TaskReleased)

    assert (1, "sidecar_restarted") == (report.attempt, report.error.code)


async def test_cancelling_kills_a_command_that_does_not_want_to_die_and_the_next_task_runs(hub, tmp_path, sandbox):
    mark = f"86401.{os.getpid()}"
    async with listening(hub) as address, sidecar(settings(tmp_path, address, sandbox)):
        await hub.expect(messages.Hello)
        await hub.say(assignment(f"trap '' TERM; echo up; setsid sleep {mark} & while :; do sleep {mark}; done"))
        await hub.expect(messages.TaskProgress, where=lambda frame: any(s.text == "up" for s in frame.steps))
        await hub.say(messages.TaskCancel(task=1, attempt=1))
        await hub.say(assignment("echo next", attempt=2, task=2))
        report = await hub.expect(TERMINAL)
        await gone(mark)

    assert (2, "next\n") == (report.attempt, report.result.output)


async def test_work_goes_on_while_the_connection_is_away_and_is_delivered_after(hub, tmp_path):
    flag = tmp_path / "go"
    async with listening(hub) as address, sidecar(settings(tmp_path, address)):
        await hub.expect(messages.Hello)
        await hub.say(assignment(f"echo up; while ! test -e {flag}; do sleep 0.1; done; echo through"))
        await hub.expect(messages.TaskProgress)
        await hub.socket.close(1012)
        hello = await hub.expect(messages.Hello, count=2)
        flag.touch()
        report = await hub.expect(messages.TaskCompleted)

    assert [1] == [held.attempt for held in hello.holding]
    assert report.result.output.endswith("through\n")
    assert 1 == len(hub.all(messages.TaskAccepted))


async def test_work_whose_lease_is_not_renewed_is_stopped_by_the_sidecar_itself(hub, tmp_path):
    mark = f"86402.{os.getpid()}"
    hub.lease = 2.0
    hub.beat_seconds = 60.0
    async with listening(hub) as address, sidecar(settings(tmp_path, address, fence_margin_seconds=0.5)):
        await hub.expect(messages.Hello)
        await hub.say(assignment(f"sleep {mark}", lease_seconds=2.0))
        report = await hub.expect(TERMINAL)

    assert "lease_lost" == report.error.code
    assert not running(mark)


async def test_a_drained_sidecar_lets_the_work_finish_within_its_grace(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address)) as process:
        await hub.expect(messages.Hello)
        await hub.say(assignment("echo up; sleep 2; echo end"))
        await hub.expect(messages.TaskProgress)
        process.terminate()
        report = await hub.expect(TERMINAL)
        code = await asyncio.wait_for(process.wait(), 15)

    assert "up\nend\n" == report.result.output
    assert 0 == code


async def test_after_the_grace_the_work_is_handed_back(hub, tmp_path):
    async with listening(hub) as address, sidecar(settings(tmp_path, address, drain_seconds=0.2)) as process:
        await hub.expect(messages.Hello)
        await hub.say(assignment("echo up; sleep 600"))
        await hub.expect(messages.TaskProgress)
        process.terminate()
        report = await hub.expect(TERMINAL)
        code = await asyncio.wait_for(process.wait(), 15)

    assert "drained" == report.error.code
    assert 0 == code


async def test_a_second_signal_does_not_wait_for_the_grace(hub, tmp_path):
    mark = f"86403.{os.getpid()}"
    async with listening(hub) as address, sidecar(settings(tmp_path, address, drain_seconds=3600)) as process:
        await hub.expect(messages.Hello)
        await hub.say(assignment(f"echo up; sleep {mark}"))
        await hub.expect(messages.TaskProgress)
        process.terminate()
        await logged(process, "leaving")
        await hub.say(assignment("true", attempt=2, task=2))
        refused = await hub.expect(messages.TaskReleased)
        process.terminate()
        await asyncio.wait_for(process.wait(), 15)
        await gone(mark)

    assert (2, "drained") == (refused.attempt, refused.error.code)


async def test_two_sidecars_on_one_root_are_refused_in_one_line(hub, tmp_path):
    async with listening(hub) as address:
        base = settings(tmp_path, address)
        async with sidecar(base):
            await hub.expect(messages.Hello)
            second = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sidecar", "run", "--root", str(base),
                cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, err = await asyncio.wait_for(second.communicate(), 20)

    assert 1 == second.returncode
    assert b"already running" in err
    assert b"Traceback" not in err


async def test_a_refused_token_is_told_and_not_hammered(hub, tmp_path):
    hub.refuse = 4401
    async with listening(hub) as address, sidecar(settings(tmp_path, address)) as process:
        line = await logged(process, "not connected")

    assert "refuses our token" in line["reason"]
    assert line["retry_in_seconds"] >= 45
    assert TOKEN not in json.dumps(line)
    assert 1 == len(hub.tokens)


@pytest.mark.slow
async def test_heartbeats_keep_their_time_while_every_core_burns(hub, tmp_path):
    hub.beat_seconds = 0.5
    burn = "for i in 1 2 3 4; do (while :; do :; done) & done; sleep 6; echo burnt"
    async with listening(hub) as address, sidecar(settings(tmp_path, address)):
        await hub.expect(messages.Hello)
        await hub.say(assignment(burn))
        report = await hub.expect(TERMINAL)

    assert "burnt\n" == report.result.output
    assert 6 <= len(hub.all(messages.Heartbeat))  # twelve are due; one in twice their time would still hold a lease
