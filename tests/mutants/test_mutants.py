"""The tests are tested: each mutant of our own code is caught by the tests that claim to look there.

A mutant lives in a copy of the tree, for one run of a few tests, and nowhere else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("agentcom", "apps", "sidecar", "tests/apps/tasks", "static", "templates")
FILES = ("tests/cast.py", "tests/conftest.py", "tests/agents.py", "pyproject.toml", "manage.py")
PLUGINS = ("pytest_django.plugin", "pytest_asyncio.plugin", "pytest_timeout")
PASSED, FAILED = 0, 1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests of the queue need, copied."""
    copy = tmp_path_factory.mktemp("mutants")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    return copy


def run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the copy, on SQLite, until the first test that fails."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
    environment = {
        **kept,
        "AGENTCOM_DATA_DIR": str(tree / "data"),
        "AGENTCOM_LOG_LEVEL": "ERROR",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the others take longer to load than the tests to run
    }
    plugins = [part for name in PLUGINS for part in ("-p", name)]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *plugins, *arguments]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def replace(file: Path, text: str) -> None:
    """Write `text`, and make sure that no compiled form of what was there is taken for it."""
    file.write_text(text)
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        compiled.unlink()


def test_the_copy_passes_as_it_is(tree: Path) -> None:
    every = sorted({test.split("::")[0] for mutant in MUTANTS for test in mutant.tests})
    done = run(tree, *every)

    assert PASSED == done.returncode, done.stdout[-3_000:] + done.stderr[-3_000:]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.sentence.replace(" ", "-"))
def test_a_mutant_is_caught(tree: Path, mutant: Mutant) -> None:
    file = tree / mutant.file
    real = file.read_text()
    assert 1 == real.count(mutant.fragment), f"{mutant.file} says this {real.count(mutant.fragment)} times"
    replace(file, real.replace(mutant.fragment, mutant.instead))
    try:
        compile(file.read_text(), mutant.file, "exec")
        tables = () if "migrations" in mutant.file else ("--nomigrations",)  # made from the models: quicker
        done = run(tree, *tables, *mutant.tests)
    finally:
        replace(file, real)

    assert FAILED == done.returncode, (
        f"nobody noticed that {mutant.sentence}:\n{done.stdout[-3_000:]}{done.stderr[-500:]}"
    )
    assert "error" not in done.stdout.rsplit("\n", 2)[-2], f"broken, not mutated:\n{done.stdout[-3_000:]}"
