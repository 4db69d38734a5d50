"""Asking a hub for a place: what it answers is said in its own words, and a place that was lost is asked for again."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from sidecar import by_hand, place
from sidecar.checkout import Checkout, HandProblem
from sidecar.config import Config
from sidecar.git import Remote
from sidecar.place import HubRefused, Place

PLACE = (200, {"task": 7, "attempt": 9, "branch": "b", "path": "/git/shop.git", "lease_seconds": 20.0})
LOST = (409, {"code": "attempt_over", "detail": "This attempt is not open any more."})
PULL = (200, {"id": 3, "title": "Fix"})


class Hub(HTTPServer):
    """Gives the answers in `answers`, one after the other, and remembers what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, str, Any]] = []

    @property
    def config(self) -> Config:
        return Config(hub=f"http://127.0.0.1:{self.server_port}", name="ada", token="secret")


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        status, said = self.server.answers.pop(0)
        text = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """The test says what it wants to know."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def take(hub: Hub) -> Place:
    return place.take(hub.config, repo="shop", branch="agentcom/ada/by-hand-fix", title="Fix")


def test_a_place_is_asked_for_with_the_agents_token(hub: Hub) -> None:
    hub.answers = [PLACE]

    assert Place(9, 20.0) == take(hub)
    wanted = {"repo": "shop", "branch": "agentcom/ada/by-hand-fix", "title": "Fix"}
    assert [("/api/agent/pulls", "Bearer secret", wanted)] == hub.asked


def test_the_pull_request_has_an_address(hub: Hub) -> None:
    hub.answers = [PULL]
    pull = place.pushed(hub.config, Place(9, 20.0), "a" * 40)

    assert (3, f"{hub.config.hub}/pulls/3") == (pull.number, pull.url)
    assert ("/api/agent/pulls/9/pushed", {"commit": "a" * 40}) == (hub.asked[0][0], hub.asked[0][2])


@pytest.mark.parametrize(
    ("answer", "sentence", "code"),
    [
        (LOST, "The hub refused: This attempt is not open any more.", "attempt_over"),
        ((400, {"branch": ["Not that one."], "title": ["Long."]}), "branch: Not that one.; title: Long.", "invalid"),
        ((401, {"code": "not_authenticated", "detail": "No such token."}), "No such token.", "not_authenticated"),
        ((502, []), "HTTP 502", "invalid"),
    ],
)  # fmt: skip
def test_a_refusal_is_said_in_the_hubs_words(hub: Hub, answer: Any, sentence: str, code: str) -> None:
    hub.answers = [answer]

    with pytest.raises(HubRefused) as refused:
        take(hub)
    assert sentence in str(refused.value)
    assert code == refused.value.code


def test_what_is_no_hub_is_called_that(hub: Hub) -> None:
    hub.answers = [(200, "<html>")]

    with pytest.raises(HandProblem, match="not as a hub does"):
        take(hub)


def test_a_hub_that_is_away_is_said_without_the_token() -> None:
    with Hub() as gone:
        config = gone.config

    with pytest.raises(HandProblem, match="cannot be reached") as problem:
        place.take(config, repo="shop", branch="b", title="Fix")
    assert "secret" not in str(problem.value)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of `shop` with one commit more than it; pushes go straight to `shop`."""
    for variable, value in (("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")):
        monkeypatch.setenv(variable, value)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "ann")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ann@example.invalid")
    shop, mine = tmp_path / "shop", tmp_path / "mine"
    monkeypatch.setattr(by_hand, "remote_of", lambda _, repo: Remote(str(tmp_path / repo)))
    for command in (
        ("init", "--quiet", str(shop)),
        ("-C", str(shop), "commit", "--quiet", "--allow-empty", "-m", "feat: Begin"),
        ("clone", "--quiet", str(shop), str(mine)),
    ):
        subprocess.run(["git", *command], check=True, env=dict(os.environ))
    return mine


def started(mine: Path, hub: Hub) -> Checkout:
    checkout = Checkout(mine)
    by_hand.start(checkout, hub.config, "Fix")
    checkout.git("commit", "--quiet", "--allow-empty", "-m", "fix: It")
    return checkout


def test_a_place_that_was_lost_meanwhile_is_asked_for_again(hub: Hub, mine: Path) -> None:
    hub.answers = [PLACE, LOST, PLACE, PULL]

    assert 3 == by_hand.submit(started(mine, hub), hub.config).number
    assert [] == hub.answers


def test_it_gives_up_on_a_place_that_is_always_lost(hub: Hub, mine: Path) -> None:
    hub.answers = [PLACE, LOST] * by_hand.TRIES
    checkout = started(mine, hub)

    with pytest.raises(HubRefused, match="not open any more"):
        by_hand.submit(checkout, hub.config)
    assert "" == checkout.submitted(checkout.branch)


def test_the_same_commit_is_submitted_once(hub: Hub, mine: Path) -> None:
    hub.answers = [PLACE, PULL]
    checkout = started(mine, hub)
    by_hand.submit(checkout, hub.config)

    with pytest.raises(HandProblem, match="no new commit"):
        by_hand.submit(checkout, hub.config)
