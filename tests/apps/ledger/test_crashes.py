"""A hub that is killed in the middle of a call loses no money and spends none twice: real processes, a real file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.apps.ledger.crash import CALLS, GAPS, LIMIT, THREADS

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a hub with an empty database of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCOM_")}
    env.pop("DATABASE_URL", None)
    env |= {"AGENTCOM_DATA_DIR": str(tmp_path_factory.mktemp("hub")), "DJANGO_SETTINGS_MODULE": "agentcom.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    return env


def run(hub: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.apps.ledger.crash", *arguments]
    return subprocess.run(command, cwd=ROOT, env=dict(hub), capture_output=True, text=True, timeout=100, check=False)


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_in_every_gap_the_books_are_what_the_provider_says(hub: Mapping[str, str], tmp_path: Path) -> None:
    log = tmp_path / "provider.jsonl"
    log.touch()
    ended = said(run(hub, "crash", str(log)))
    made = len(log.read_text().splitlines())
    found = said(run(hub, "recover", str(log)))

    assert [0 if gap == "never" else -signal.SIGKILL for gap in GAPS] == ended
    assert len(GAPS) - 1 == made
    assert found["before"] == found["reaped"] == 4 * 28_000 + 2 * 14_000
    assert {"spent": made * 14_000, "held": 0, "calls": made, "faults": []}.items() <= found.items()


def test_threads_on_sqlite_never_overspend(hub: Mapping[str, str], tmp_path: Path) -> None:
    before = 5 * 14_000
    found = said(run(hub, "contend", str(tmp_path / "none")))

    assert THREADS * CALLS == found["settled"] + found["refused"]
    assert before + 14_000 * found["settled"] == found["spent"] <= LIMIT
    assert found["refused"] > 0
    assert [] == found["faults"]
