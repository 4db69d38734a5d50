"""Real repositories for the sidecar's tests."""

import os
import subprocess
from pathlib import Path

import pytest

from sidecar.git import Remote
from sidecar.workspace import Workspace


def _git(at: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(at), *who, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=own).stdout.strip()


@pytest.fixture
def git():
    """Plain git, as a person would run it, in a directory of the test's own."""
    return _git


@pytest.fixture
def hub(tmp_path):
    """A directory that serves `/git/sample.git` by file address, as the hub does by HTTP."""
    work = tmp_path / "author"
    work.mkdir()
    _git(work, "init", "-q", "-b", "trunk")
    (work / "value.txt").write_text("1\n")
    _git(work, "add", "-A")
    _git(work, "commit", "-q", "-m", "start")
    home = tmp_path / "hub" / "git"
    home.mkdir(parents=True)
    _git(tmp_path, "clone", "-q", "--bare", str(work), str(home / "sample.git"))
    return tmp_path / "hub"


@pytest.fixture
def elsewhere(tmp_path):
    """A person's clone of the hub's repository, to change it from outside."""
    return tmp_path / "elsewhere"


@pytest.fixture
def hub_repository(tmp_path, elsewhere):
    """A bare repository with one commit on `trunk`."""
    bare = tmp_path / "hub.git"
    _git(tmp_path, "init", "-q", "--bare", "-b", "trunk", str(bare))
    _git(tmp_path, "clone", "-q", str(bare), str(elsewhere))
    _git(elsewhere, "checkout", "-q", "-b", "trunk")
    (elsewhere / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (elsewhere / ".gitignore").write_text("build/\n")
    _git(elsewhere, "add", "-A")
    _git(elsewhere, "commit", "-q", "-m", "first")
    _git(elsewhere, "push", "-q", "origin", "trunk")
    return bare


@pytest.fixture
def prepare(hub_repository, tmp_path):
    """Prepare a workspace of the hub's repository, as an attempt does."""

    async def prepared(attempt=1, start=""):
        remote = Remote(str(hub_repository))
        return await Workspace.prepare(remote=remote, attempt=attempt, root=tmp_path / "root", start=start)

    return prepared
