"""`agentcom` as a process of its own, against a hub of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import Hub
from tests.journey import Upstream

pytestmark = [pytest.mark.redis, pytest.mark.journey, pytest.mark.timeout(240)]


def agentcom(home: Path, *typed: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run it as somebody whose configuration is in `home`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCOM_")}
    env |= {"XDG_CONFIG_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "sidecar.operator", *typed]
    return subprocess.run(command, input=said, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_somebody_logs_in_hands_a_goal_in_and_takes_it_back(hub: Hub, upstream: Upstream, tmp_path: Path):
    assert 1 == agentcom(tmp_path, "goals").returncode
    welcome = agentcom(tmp_path, "login", hub.url, said=f"{hub.token}\n")
    assert 0 == welcome.returncode, welcome.stderr

    made = agentcom(tmp_path, "goal", "Repair add", "--repo", upstream.slug, "--check", "tests_pass", "--json")
    number = str(json.loads(made.stdout)["id"])
    listed = agentcom(tmp_path, "goals")
    shown = agentcom(tmp_path, "goal", "show", number)
    cancelled = agentcom(tmp_path, "goal", "cancel", number, "--reason", "By hand after all.")
    watched = agentcom(tmp_path, "goal", "watch", number)

    assert "Repair add" in listed.stdout
    assert f"goal {number}: Repair add" in shown.stdout
    assert 0 == cancelled.returncode, cancelled.stderr
    assert 1 == watched.returncode
    assert "Somebody cancelled the goal. By hand after all." in watched.stdout


def test_a_hub_that_is_not_there_is_said_to_be(tmp_path: Path):
    assert 3 == agentcom(tmp_path, "login", "http://127.0.0.1:9", said="act_x\n").returncode
