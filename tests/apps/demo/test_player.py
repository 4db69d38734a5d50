"""The player of the demonstration: it finds its way by what the real tools show it, and by nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apps.demo import wish
from apps.demo.errands import ERRANDS, Errand
from apps.demo.ground import SAMPLE
from apps.demo.loopback import listening
from apps.demo.ollama import OllamaServer
from apps.demo.player import STRANGER, play
from apps.demo.thinkers import thinker
from sidecar import discover, minds
from sidecar.bench import Room
from sidecar.config import Thinker
from sidecar.executors import Execution, Job, Sandbox
from sidecar.sandbox import Policy
from sidecar.wire.nouns import Brief, Check

SANDBOX = Sandbox(policy=Policy(sandbox="off"))
WORDS = {errand.key: errand for errand in ERRANDS if errand.words}


@pytest.fixture
async def served() -> AsyncIterator[OllamaServer]:
    async with listening(OllamaServer(player=play)) as server:
        yield server
    assert not server.violations


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "tree"))


async def perform(server: OllamaServer, tree: Path, title: str, checks: list[Check]) -> Execution:
    model = Thinker(executor="ollama", model="scripted:latest", url=server.url, context=16_384)
    job = Job(
        task=1,
        attempt=1,
        generation=1,
        brief=Brief(title=title),
        timeout_seconds=60,
        checks=checks,
        model=model.model,
        steps=10,
    )
    return await minds.executors([model])["ollama"].execute(job, Room(tree), SANDBOX, nobody)


def nobody(kind: str, text: str, **_: object) -> None:
    return


def checks_of(errand: Errand) -> list[Check]:
    return [Check.model_validate(check) for check in errand.checks]


def suite(tree: Path) -> int:
    command = [sys.executable, "-B", "-m", "unittest", "discover", "-s", "tests", "-t", "."]
    return subprocess.run(command, cwd=tree, capture_output=True, timeout=60, check=False).returncode


@pytest.mark.parametrize("key", WORDS)
async def test_a_task_of_the_demonstration_is_done_after_a_failure_was_seen(served, tree, key):
    done = await perform(served, tree, WORDS[key].title, checks_of(WORDS[key]))
    seen = [use.observation for step in done.trajectory for use in step.uses]

    assert done.succeeded
    assert 0 == suite(tree)
    assert any('"exit_code": 1' in observation for observation in seen)
    assert '"finished": true' in seen[-1]


async def test_the_slices_of_the_goal_are_done_one_after_the_other_each_test_failing_first(served, tree):
    for piece in wish.PIECES:
        checks = [Check.model_validate(check) for check in piece.planned()["checks"]]
        done = await perform(served, tree, piece.title, checks)
        seen = [use.observation for step in done.trajectory for use in step.uses]

        assert done.succeeded
        assert 0 == suite(tree)
        assert any('"exit_code": 1' in observation for observation in seen)
    assert "reading_grade" in (tree / "README.md").read_text()


async def test_what_it_does_not_know_it_says_so_and_leaves_alone(served, tree):
    done = await perform(served, tree, "Write a novel", [])

    assert STRANGER == done.summary
    assert ["finish_task"] == [use.name for step in done.trajectory for use in step.uses]


async def test_without_a_model_here_the_player_stands_in_and_says_so(monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:9")

    async with thinker(played=False) as chosen:
        assert "a scripted player" in chosen.sentence
        found = await discover.local_models(lambda _: None, environment={"OLLAMA_HOST": chosen.url})

    assert ["scripted:latest"] == [model.model for model in found]


async def test_a_model_that_is_here_is_used_and_named(served, monkeypatch):
    monkeypatch.setenv("OLLAMA_HOST", served.url)

    async with thinker(played=False) as chosen:
        assert (served.url, "scripted:latest") == (chosen.url, chosen.model)
        assert "goes to scripted:latest at" in chosen.sentence
