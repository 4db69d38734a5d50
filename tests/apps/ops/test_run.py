"""`manage.py run`: the whole hub, for real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.redis, pytest.mark.journey, pytest.mark.slow]


class Hub:
    """One `manage.py run` on a data directory of its own."""

    def __init__(self, data: Path, *arguments: str) -> None:
        env = {**os.environ, "AGENTCOM_DATA_DIR": str(data)}
        for name in ("DATABASE_URL", "REDIS_URL", "AGENTCOM_BASE_URL"):
            env.pop(name, None)
        self.data = data
        self.process = subprocess.Popen(
            (sys.executable, "manage.py", "run", *arguments),
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        self.said = ""

    def hear(self, pattern: str) -> str:
        """The first group of `pattern`, once the hub has said it."""
        assert self.process.stdout
        while not (found := re.search(pattern, self.said)):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        return found[1]

    def family(self) -> set[int]:
        """Every process that works on this data directory."""
        return {
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and str(self.data) in environment(entry)
        }

    def interrupt(self) -> str:
        """Ctrl-C; the rest of what it says."""
        os.killpg(self.process.pid, signal.SIGINT)
        rest, _ = self.process.communicate(timeout=30)
        return rest


def environment(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:  # it ended meanwhile, or is another user's
        return ""


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    hubs: list[Hub] = []

    def start(*arguments: str) -> Hub:
        hubs.append(Hub(tmp_path / "data", *arguments))
        return hubs[-1]

    yield start
    for hub in hubs:
        if hub.process.poll() is None:
            os.killpg(hub.process.pid, signal.SIGKILL)
            hub.process.communicate()


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - http:, as `hear` has checked
    except urllib.error.HTTPError:
        return True
    return True


def test_one_command_serves_and_one_ctrl_c_ends_everything(start):
    hub = start()

    url = hub.hear(r"AgentCom serves at (http://127\.0\.0\.1:\d+)")
    link = hub.hear(r"once, with this link:\n\s+(\S+)")
    assert answers(url)
    assert link.startswith(url)
    wait_until(lambda: len(hub.family()) > 8)  # the clusters are up too

    hub.interrupt()

    assert 0 == hub.process.returncode
    assert set() == hub.family()


def test_a_hub_that_is_killed_leaves_nothing_behind_and_starts_again(start):
    first = start()
    first.hear("AgentCom serves at (http://127.0.0.1:)")

    first.process.kill()
    first.process.communicate()
    wait_until(lambda: not first.family())

    second = start()
    assert answers(second.hear(r"AgentCom serves at (http://127\.0\.0\.1:\d+)"))
    second.interrupt()


def test_a_second_hub_on_the_same_data_is_refused(start):
    first = start()
    first.hear("AgentCom serves at (http)")

    second = start()
    said, _ = second.process.communicate(timeout=30)

    assert 1 == second.process.returncode
    assert f"A hub already runs on {first.data} (process {first.process.pid})." in said
    assert "Traceback" not in said
    first.interrupt()


def test_a_database_that_is_away_is_one_sentence(tmp_path):
    env = {**os.environ, "AGENTCOM_DATA_DIR": str(tmp_path), "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}
    done = subprocess.run(
        (sys.executable, "manage.py", "run"), cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == done.returncode
    assert "CommandError: The database cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr
