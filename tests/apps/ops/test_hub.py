from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from apps.ops import hub
from apps.ops.voices import Voices

ROOT = Path(__file__).resolve().parents[3]
OWN = """
import pathlib, sys, time
from apps.ops import hub
with hub.only_one(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def taken():
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_data_directory_has_one_owner_and_the_refusal_names_it(tmp_path):
    refusal = f"already runs on {tmp_path} .process {os.getpid()}"
    with hub.only_one(tmp_path), pytest.raises(hub.Occupied, match=refusal):
        hub.only_one(tmp_path).__enter__()

    with hub.only_one(tmp_path):
        pass


def test_an_owner_that_is_killed_leaves_no_lock(tmp_path):
    owner = subprocess.Popen((sys.executable, "-c", OWN, str(tmp_path)), stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert owner.stdout
    assert "mine\n" == owner.stdout.readline()
    with pytest.raises(hub.Occupied):
        hub.only_one(tmp_path).__enter__()

    owner.kill()
    owner.communicate()

    with hub.only_one(tmp_path):
        pass


def test_the_next_free_port_is_taken_when_none_was_asked_for(taken: int, monkeypatch):
    monkeypatch.setattr(hub, "DEFAULT_PORT", taken)

    assert taken < hub.choose_port("127.0.0.1", None) < taken + hub.PORTS_TRIED


def test_a_port_that_was_asked_for_and_is_taken_is_refused(taken: int):
    with pytest.raises(hub.Occupied, match=f"Port {taken} on 127.0.0.1 is taken"):
        hub.choose_port("127.0.0.1", taken)


def test_an_address_that_is_not_this_machine_s_is_refused():
    with pytest.raises(hub.Occupied, match=r"Nothing can listen on 192\.0\.2\.1"):
        hub.choose_port("192.0.2.1", None)


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104
        ("::", "http://[::1]:8000"),
        ("fd00::1", "http://[fd00::1]:8000"),
    ],
)
def test_the_url_that_a_browser_on_this_machine_uses(bind: str, url: str):
    assert url == hub.local_url(bind, 8000)


async def test_a_server_is_up_when_it_speaks_http():
    async def greet(reader, writer) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    up = await hub.answers_http(f"http://127.0.0.1:{port}")
    server.close()
    await server.wait_closed()

    assert up
    assert not await hub.answers_http(f"http://127.0.0.1:{port}")


async def test_a_server_that_accepts_but_does_not_answer_for_a_minute_is_stuck():
    answers = [b"HTTP/1.1 204 No Content\r\n\r\n"]

    async def greet(reader, writer) -> None:
        await reader.readline()
        writer.write(answers.pop() if answers else b"")
        writer.close()

    clock = iter([0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    watch = hub.Answers(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", clock=lambda: next(clock))
    verdicts = [await watch.is_stuck() for _ in range(5)]  # it answers at 20 s only
    server.close()
    await server.wait_closed()

    assert [False, False, False, False, True] == verdicts


def test_each_line_on_the_terminal_says_who_speaks():
    terminal = StringIO()
    voices = Voices(terminal)

    voices("web", "hello")
    voices("jobs.thinking", "well")

    assert "web           │ hello\njobs.thinking │ well\n" == terminal.getvalue()
