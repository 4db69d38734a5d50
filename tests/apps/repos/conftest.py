from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from apps.repos import mirror
from tests.apps.repos.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    made = Workbench(tmp_path / "work")
    made.commit({"README.md": "hello\n", "src/app.py": "".join(f"line {n}\n" for n in range(40))}, "First.")
    return made


@pytest.fixture
def bare(tmp_path: Path, bench: Workbench) -> Path:
    """A mirror without upstream that holds what the bench has committed so far."""
    path = tmp_path / "mirrors" / "sample.git"
    mirror.create(path, None)
    mirror.seed(path, bench.path)
    return path


@pytest.fixture
def give(bench: Workbench, bare: Path) -> Callable[..., str]:
    """Put a commit of the bench on a branch of the mirror, as the hub itself would; the commit."""

    def give(branch: str = "topic", commit: str | None = None) -> str:
        sha = commit or bench.head
        bench.git(
            "push",
            "--quiet",
            "--force",
            "--receive-pack=git -c core.hooksPath=/dev/null -c receive.denyNonFastForwards=false receive-pack",
            str(bare),
            f"{sha}:refs/heads/{branch}",
        )
        return sha

    return give
