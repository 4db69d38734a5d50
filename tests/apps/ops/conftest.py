"""A real job cluster on a database of its own."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

CLERK = """
import json, sys, django
django.setup()
from django_q.tasks import async_task
for line in sys.stdin:
    function, arguments, cluster = json.loads(line)
    async_task(function, *arguments, cluster=cluster)
    print("committed", flush=True)
"""


class Office:
    """A data directory with a migrated database, and somebody who queues jobs in it."""

    def __init__(self, data: Path, redis_url: str) -> None:
        self.data = data
        self.env = {
            **os.environ,
            "AGENTCOM_DATA_DIR": str(data),
            "DATABASE_URL": f"sqlite:///{data / 'hub.sqlite3'}",
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "agentcom.settings",
        }
        self._clerk: subprocess.Popen[str] | None = None
        self._counter = threading.Lock()

    def queue(self, function: str, *arguments: object, cluster: str = "default") -> None:
        """Queue a job and wait for its commit."""
        with self._counter:
            self._ask([function, arguments, cluster])

    def _ask(self, wish: list[object]) -> None:
        if self._clerk is None:
            pipe = subprocess.PIPE
            command = (sys.executable, "-c", CLERK)
            self._clerk = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=self.env, cwd=ROOT)
        assert self._clerk.stdin
        assert self._clerk.stdout
        self._clerk.stdin.write(json.dumps(wish) + "\n")
        self._clerk.stdin.flush()
        while "committed" not in (line := self._clerk.stdout.readline()):
            assert line, "the clerk has left"

    def queue_line(self, file: Path, more: str = "") -> None:
        """A job that writes its worker's process number into `file`, then does `more` (shell)."""
        self.queue("subprocess.check_call", ["sh", "-c", f"echo $PPID >> {file}; {more}"])

    def make_all_due(self) -> None:
        """As if every job's retry time had passed."""
        with sqlite3.connect(self.data / "hub.sqlite3", timeout=15) as database:
            database.execute("UPDATE django_q_ormq SET lock = '2001-01-01 00:00:00'")
        database.close()

    def waiting(self) -> int:
        """Jobs that are not acknowledged."""
        database = sqlite3.connect(self.data / "hub.sqlite3", timeout=15)
        count: int = database.execute("SELECT count(*) FROM django_q_ormq").fetchone()[0]
        database.close()
        return count

    def close(self) -> None:
        """The clerk goes home."""
        if self._clerk:
            self._clerk.communicate()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory to copy."""
    office = Office(tmp_path_factory.mktemp("migrated"), "")
    subprocess.run((sys.executable, "manage.py", "migrate", "-v", "0"), env=office.env, cwd=ROOT, check=True)
    return office.data


@pytest.fixture
def office(migrated: Path, tmp_path: Path, redis_url: str) -> Iterator[Office]:
    shutil.copytree(migrated, tmp_path / "data")
    office = Office(tmp_path / "data", redis_url)
    yield office
    office.close()
