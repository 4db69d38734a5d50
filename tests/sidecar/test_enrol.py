"""Joining by command line, against a hub that answers over HTTP; every refusal is one sentence and exit code 1."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sidecar import config, enrol
from sidecar.cli import main
from sidecar.sandbox import Level

TOKEN = "act_agent_AAAAAAAA_0123456789012345678901234567890"
GOOD = (201, {"agent": "gcu-grey-area", "token": TOKEN, "socket": "/agent"})


class Stand(ThreadingHTTPServer):
    """What the next requests are answered, and what was asked."""

    health: tuple[int, Any]
    enrol: tuple[int, Any]
    asked: list[Any]
    url: str


class Answers(BaseHTTPRequestHandler):
    server: Stand

    def log_message(self, *_):
        """Keep quiet."""

    def do_GET(self):
        self.reply(*self.server.health)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        self.reply(*self.server.enrol)

    def reply(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def hub():
    server = Stand(("127.0.0.1", 0), Answers)
    server.health, server.enrol, server.asked = (200, {"status": "ok"}), GOOD, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def joining(hub, tmp_path, *extra, code="ABCD-EFGH", sandbox="off"):
    return main(
        ["join", getattr(hub, "url", hub), "--code", code, "--root", str(tmp_path), "--sandbox", sandbox, *extra]
    )


def refusal(capsys):
    err = capsys.readouterr().err
    assert 1 == len(err.strip().splitlines()), err
    assert "Traceback" not in err
    return err


def test_a_good_code_makes_this_machine_an_agent(hub, tmp_path, capsys):
    assert 0 == joining(hub, tmp_path, "--name", "gcu-grey-area")

    settings = config.load(tmp_path / "gcu-grey-area")
    assert (hub.url, TOKEN, "off") == (settings.hub, settings.token, settings.sandbox)
    assert [{"code": "ABCD-EFGH", "name": "gcu-grey-area"}] == hub.asked
    said = capsys.readouterr().out
    assert "enrolled as gcu-grey-area" in said
    assert "agentcom-sidecar run" in said
    assert TOKEN not in said


def test_the_token_is_for_its_owner_only(hub, tmp_path):
    joining(hub, tmp_path)

    assert 0o600 == (tmp_path / "gcu-grey-area" / "config.json").stat().st_mode & 0o777


def test_the_same_code_again_goes_on_and_asks_for_no_second_agent(hub, tmp_path, capsys):
    joining(hub, tmp_path)

    assert 0 == joining(hub, tmp_path, code="abcd efgh")
    assert 1 == len(hub.asked)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"code": "code_expired", "detail": "This code has expired."}), "This code has expired."),
        ((409, {"code": "name_taken", "detail": "The name is taken."}), "The name is taken."),
        ((429, {"detail": "Too many tries; wait a minute."}), "wait a minute"),
        ((400, {"name": ["Enter a valid value."]}), "name: Enter a valid value."),
        ((500, {}), "HTTP 500"),
        ((201, {"agent": "../../etc", "token": "t", "socket": "/agent"}), "malformed"),
        ((201, {"hello": "world"}), "lacks"),
    ],
)
def test_a_refusal_is_told_in_the_hubs_words_and_writes_nothing(hub, tmp_path, capsys, answer, words):
    hub.enrol = answer

    assert 1 == joining(hub, tmp_path)
    assert words in refusal(capsys)
    assert [] == config.agents_in(tmp_path)


def test_no_hub_there_costs_no_code(tmp_path, capsys):
    assert 1 == joining("http://127.0.0.1:9", tmp_path)
    assert "cannot be reached" in refusal(capsys)


def test_something_else_there_costs_no_code(hub, tmp_path, capsys):
    hub.health = (404, {})

    assert 1 == joining(hub, tmp_path)
    assert "not as a hub does" in refusal(capsys)
    assert [] == hub.asked


@pytest.mark.parametrize(
    "address", ["ftp://hub", "http://", "http://user:secret@hub", "http://hub:99999", "http://hub?x=1"]
)
def test_an_impossible_address_is_explained(tmp_path, capsys, address):
    assert 1 == joining(address, tmp_path)
    assert "is no hub" in refusal(capsys)


def test_a_machine_without_a_sandbox_is_told_what_to_do_before_the_code_is_spent(hub, tmp_path, capsys, monkeypatch):
    missing = Level(
        name="none", reason="bubblewrap is not installed.", hint="Install bubblewrap: apt install bubblewrap."
    )
    monkeypatch.setattr(enrol, "detect", lambda _: missing)

    assert 1 == joining(hub, tmp_path, sandbox="bubblewrap")
    err = refusal(capsys)
    assert "apt install bubblewrap" in err
    assert "--sandbox off" in err
    assert [] == hub.asked


def test_an_old_git_is_named(hub, tmp_path, capsys, monkeypatch):
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.20.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert 1 == joining(hub, tmp_path / "root")
    assert "2.20.1 is too old" in refusal(capsys)


def test_a_name_that_is_here_already_is_refused(hub, tmp_path, capsys):
    joining(hub, tmp_path)
    capsys.readouterr()

    assert 1 == joining(hub, tmp_path, "--name", "gcu-grey-area", code="OTHER")
    assert "already" in refusal(capsys)


def test_status_shows_what_is_set_up(hub, tmp_path, capsys):
    joining(hub, tmp_path)
    capsys.readouterr()

    assert 0 == main(["status", "--root", str(tmp_path)])
    said = capsys.readouterr().out
    assert "gcu-grey-area: not running" in said
    assert hub.url in said
    assert TOKEN not in said


@pytest.mark.parametrize("command", ["run", "status"])
def test_without_an_agent_the_way_to_one_is_told(tmp_path, capsys, command):
    assert 1 == main([command, "--root", str(tmp_path)])
    assert "No agent is set up" in refusal(capsys)
