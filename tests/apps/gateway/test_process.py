"""A web process is known to be dead as soon as it is, and its agents are logged off then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from apps.agents import presence
from apps.agents.models import Agent
from apps.gateway.process import Process

HOLD = """
import sys
from pathlib import Path
from apps.gateway.process import Process
print(Process(Path(sys.argv[1])).name, flush=True)
sys.stdin.read()
"""
FACTS = {
    "executors": ["shell"], "capabilities": [],
    "offers": [], "sandbox": "bubblewrap", "sandbox_detail": "", "software": "test",
    "host": {},
}  # fmt: skip


def test_a_process_is_alive_until_it_is_killed_and_then_dead_until_it_is_buried(tmp_path: Path) -> None:
    ours = Process(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()

        assert ours.dead() == []

        other.kill()
        other.wait()

    assert ours.dead() == [name]
    ours.buried(name)
    assert ours.dead() == []


@pytest.mark.django_db
def test_the_agents_of_a_dead_process_are_logged_off_and_no_others() -> None:
    ghost, other = (Agent.objects.create(name=name) for name in ("ghost", "other"))
    presence.join(ghost, "dead.1", FACTS)
    presence.join(other, "deaf.1", FACTS)

    assert presence.forget_all_of("dead") == 1
    assert list(Agent.objects.online()) == [other]
