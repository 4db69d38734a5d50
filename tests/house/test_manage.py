"""The hub's command line says in a sentence what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def manage(data: Path, *args: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "AGENTCOM_DATA_DIR": str(data), "DATABASE_URL": f"sqlite:///{data / 'hub.sqlite3'}"}
    command = [sys.executable, "manage.py", *args]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_database_without_tables_is_a_sentence_not_a_traceback(tmp_path: Path) -> None:
    done = manage(tmp_path, "login_link")

    assert 1 == done.returncode
    assert "`manage.py migrate` makes them" in done.stderr
    assert "Traceback" not in done.stderr


def test_any_other_trouble_with_the_database_is_told_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "hub.sqlite3").write_text("This is no database. " * 100)
    done = manage(tmp_path, "login_link")

    assert done.returncode != 0
    assert "file is not a database" in done.stderr
    assert "migrate" not in done.stderr
