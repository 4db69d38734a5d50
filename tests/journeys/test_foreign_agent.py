"""The example agent of the documentation against a real hub: it knows nothing but the published protocol."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub import ROOT, Hub, eventually
from tests.journey import events

pytestmark = [pytest.mark.redis, pytest.mark.journey, pytest.mark.timeout(240)]
CHECK = {"type": "command_succeeds", "target": "true"}
_count = itertools.count(1)


@pytest.fixture
def stranger(hub: Hub, tmp_path: Path) -> Iterator[str]:
    """Run as its first lines say, from a directory where nothing of AgentCom can be imported; its name."""
    name = f"stranger-{next(_count)}"
    (secret,) = hub.agents(name)
    env = {
        "PATH": os.environ["PATH"],
        "AGENTCOM_SOCKET": hub.url.replace("http", "ws") + "/agent",
        "AGENTCOM_TOKEN": secret,
    }
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-I", str(ROOT / "docs" / "foreign_agent.py")],
            env=env, cwd=tmp_path, stdout=said, stderr=said,
        )  # fmt: skip
    try:
        await_idle(hub, name)
        yield name
        assert process.poll() is None, (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()


def await_idle(hub: Hub, name: str) -> None:
    eventually(lambda: hub.get(f"/api/agents/{name}")["state"] == "idle", within=90, what=f"{name} being idle")


def done_by(hub: Hub, task: int) -> list[tuple[str, str]]:
    hub.await_status(task, "completed", within=60)
    assert 1 == events(hub, task).count("task.completed")
    return [(attempt["agent"], attempt["outcome"]) for attempt in hub.task(task)["attempts"]]


def test_it_completes_tasks_before_and_after_the_death_of_the_hub(hub: Hub, stranger: str) -> None:
    before = [hub.submit(title=f"before {n}", verification_steps=[CHECK]) for n in range(3)]
    assert [[(stranger, "succeeded")]] * 3 == [done_by(hub, task) for task in before]

    hub.kill()
    hub.start()
    after = [hub.submit(title=f"after {n}") for n in range(3)]

    assert [[(stranger, "succeeded")]] * 3 == [done_by(hub, task) for task in after]
    await_idle(hub, stranger)


def test_a_wish_that_it_does_not_know_does_it_no_harm_and_can_be_taken_back(hub: Hub, stranger: str) -> None:
    wished = hub.post(f"/api/agents/{stranger}/restart")
    task = hub.submit(title="meanwhile")
    eventually(lambda: hub.task(task)["waits"], what="a reason to wait")
    pending = hub.get(f"/api/agents/{stranger}")
    hub.call("DELETE", f"/api/agents/{stranger}/restart")

    assert [(stranger, "succeeded")] == done_by(hub, task)
    assert wished["restart"] == pending["restart"] is not None
    assert (True, "idle") == (pending["online"], pending["state"])
