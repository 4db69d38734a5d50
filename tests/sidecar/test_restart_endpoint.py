"""Restarting an endpoint: only what this machine's operator configured, once, bounded, and always answered."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager

import pytest

from sidecar import config
from sidecar.restarts import BETWEEN_SECONDS, Restarts
from sidecar.wire import messages
from tests.sidecar.hub import ModelHub, listening
from tests.sidecar.test_daemon import TOKEN, exists, settings, sidecar
from tests.sidecar.test_sandbox_endings import until

URL = "http://127.0.0.1:11434"
OTHER = "http://gpu.example.org:11434"


class Clock:
    now = 1_000.0

    def __call__(self):
        return self.now


@asynccontextmanager
async def restarting(commands, **facts):
    """Yields `ask(number, url)`, which has it done and returns what the hub is told then, and the restarts."""
    restarts = Restarts(commands, **facts)
    told: asyncio.Queue[messages.EndpointRestarted] = asyncio.Queue()
    living = asyncio.create_task(restarts.live(told.put_nowait))

    async def ask(number=1, url=URL):
        restarts.ask(messages.EndpointRestart(restart=number, url=url))
        return await asyncio.wait_for(told.get(), 20)

    yield ask, restarts
    living.cancel()


def program(code, *words):
    return [sys.executable, "-c", code, *words]


async def test_the_command_is_run_as_it_is_and_what_it_printed_is_told(tmp_path):
    kept = tmp_path / "kept"
    code = "import sys; open(sys.argv[1], 'a').write(sys.argv[2]); print('up; it is')"
    async with restarting({URL: program(code, str(kept), "$(id); {x}\n")}) as (ask, _):
        answer = await ask(7)

    assert ("restarted-7", 7, True, "up; it is") == (answer.id, answer.restart, answer.ok, answer.message)
    assert answer.seconds > 0
    assert "$(id); {x}\n" == kept.read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (program("print('no unit'); raise SystemExit(3)"), "no unit\nThe command ended with 3."),
        (["agentcom-no-such-program"], "The command could not be run: "),
    ],
)
async def test_what_does_not_work_is_told_as_well(argv, words):
    async with restarting({URL: argv}) as (ask, _):
        answer = await ask()

    assert not answer.ok
    assert answer.message.startswith(words)


async def test_an_address_without_a_command_is_answered_and_nothing_is_run():
    async with restarting({URL: program("")}) as (ask, _):
        answer = await ask(1, OTHER)

    assert (False, "This machine has no command to restart it.") == (answer.ok, answer.message)


async def test_a_command_that_does_not_end_is_killed_with_all_it_started(tmp_path):
    pid = tmp_path / "pid"
    started = f"child = subprocess.Popen(['sleep', '600']); open({str(pid)!r}, 'w').write(str(child.pid))"
    code = f"import subprocess, time; {started}; print('begun', flush=True); time.sleep(600)"
    async with restarting({URL: program(code)}, longest=1) as (ask, _):
        answer = await ask()
        await until(lambda: not exists(pid.read_text()))

    assert (False, "begun\nThe command did not end within 1 s.") == (answer.ok, answer.message)


async def test_a_server_that_the_command_leaves_running_neither_holds_it_up_nor_dies_of_its_words(tmp_path):
    flag = tmp_path / "flag"
    server = ["sh", "-c", f"sleep 0.5; echo a word; sleep 0.2; echo another; touch {flag}"]
    async with restarting({URL: program(f"import subprocess; subprocess.Popen({server!r}); print('left')")}) as (
        ask,
        _,
    ):
        answer = await ask()
        await until(flag.exists)

    assert (True, "left") == (answer.ok, answer.message)


async def test_the_end_of_what_it_printed_is_what_is_told():
    async with restarting({URL: program("print('a' * 100_000 + 'the end')")}) as (ask, _):
        answer = await ask()

    assert (3_999, True) == (len(answer.message), answer.message.endswith("the end"))


async def test_the_same_wish_is_fulfilled_once_and_answered_each_time(tmp_path):
    kept, go = tmp_path / "kept", tmp_path / "go"
    os.mkfifo(go)
    code = f"open({str(kept)!r}, 'a').write('x'); open({str(go)!r}).read()"  # ends once somebody writes there
    async with restarting({URL: program(code)}) as (ask, restarts):
        again = messages.EndpointRestart(restart=1, url=URL)
        first = asyncio.create_task(ask())
        await until(kept.exists)
        restarts.ask(again)
        restarts.ask(again)
        await asyncio.to_thread(go.write_text, "")
        answers = [await first, await ask()]

    assert answers[0] == answers[1]
    assert "x" == kept.read_text()


async def test_one_endpoint_is_restarted_once_a_minute_and_another_meanwhile(tmp_path):
    clock, kept = Clock(), tmp_path / "kept"
    argv = program(f"open({str(kept)!r}, 'a').write('x')")
    async with restarting({URL: argv, OTHER: argv}, clock=clock) as (ask, _):
        first, other = await ask(1), await ask(2, OTHER)
        clock.now += BETWEEN_SECONDS - 1
        soon = await ask(3)
        clock.now += 1
        later = await ask(4)

    assert [True, True, False, True] == [one.ok for one in (first, other, soon, later)]
    assert "It was restarted 59 s ago, and may be again a minute after that." == soon.message
    assert "xxx" == kept.read_text()


async def test_a_sidecar_says_what_it_can_restart_and_does_it_when_it_is_asked(tmp_path):
    hub = ModelHub()
    async with listening(hub) as address:
        base = settings(tmp_path, address)
        known = config.load(base / "ada")
        argv = [sys.executable, "-c", "print('it is up')"]
        config.save(base / "ada", known.model_copy(update={"restarts": {URL: argv}}))
        async with sidecar(base):
            hello = await hub.expect(messages.Hello)
            await hub.say(messages.EndpointRestart(restart=5, url=URL))
            answer = await hub.expect(messages.EndpointRestarted)
            await hub.socket.close()
            await hub.expect(messages.Hello, count=2)
            await hub.say(messages.EndpointRestart(restart=5, url=URL))
            again = await hub.expect(messages.EndpointRestarted, count=2)

    assert [URL] == hello.restarts
    assert (5, True, "it is up") == (answer.restart, answer.ok, answer.message)
    assert answer == again


@pytest.mark.parametrize(
    "restarts",
    [{"ftp://x": ["true"]}, {URL: []}, {URL: ["bin/restart"]}, {URL: ["-x"]}, {URL: "systemctl restart ollama"}],
)
def test_a_setting_that_is_no_address_or_no_command_is_refused(tmp_path, restarts):
    with pytest.raises(ValueError, match="restarts"):
        config.Config(hub="http://hub:8000", name="ada", token=TOKEN, restarts=restarts)


def test_the_address_is_kept_as_others_write_it_and_the_command_is_not_shown():
    made = config.Config(
        hub="http://hub:8000", name="ada", token=TOKEN, restarts={"127.0.0.1:11434/": ["systemctl", "secret"]}
    )

    assert [URL] == list(made.restarts)
    assert "secret" not in repr(made)
