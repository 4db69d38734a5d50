"""Make a task's little tree a git repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from apps.demo.ground import git
from tests.eval.tasks import EvalTask


def plant(task: EvalTask, place: Path) -> Path:
    """A repository with one commit at `place`, which must not be there yet."""
    shutil.copytree(task.tree, place, ignore=shutil.ignore_patterns("__pycache__"))
    git(place, "init", "--quiet", "--initial-branch=main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", f"--message={task.name} as it is")
    return place
