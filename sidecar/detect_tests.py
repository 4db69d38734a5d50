"""Find out how a repository's tests are run, by the files that say so. Looks, and runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_READ_BYTES = 200_000
_SKIPPED = {"node_modules", "venv", "build", "dist", "target", "vendor"}


@dataclass(frozen=True)
class Runner:
    """`command` runs the tests; it found none when it ends with `none_code` or prints what `none_said` matches."""

    name: str
    command: str
    none_code: int | None = None
    none_said: str = ""

    def found_none(self, exit_code: int, output: str) -> bool:
        """Whether the run ended without having run a single test, which proves nothing."""
        return exit_code == self.none_code or bool(self.none_said and re.search(self.none_said, output, re.MULTILINE))


PYTEST = Runner("pytest", "python -m pytest -q -p no:cacheprovider", none_code=5, none_said=r"^no tests ran in ")
UNITTEST = Runner("unittest", "python -m unittest discover", none_code=5, none_said=r"^Ran 0 tests in ")
UNITTEST_IN_TESTS = Runner(
    "unittest", "PYTHONPATH=. python -m unittest discover -s tests", none_code=5, none_said=r"^Ran 0 tests in "
)
NPM = Runner("npm", "npm test --silent")
MAKE = Runner("make", "make test")
MIX = Runner("mix", "mix test", none_said=r"^There are no tests to run")
CARGO = Runner("cargo", "cargo test --offline", none_said=r"\A(?:(?!running [1-9]\d* test).|\n)*\Z")
GO = Runner("go", "go test ./...", none_said=r"\A(?:(?!^(?:ok|FAIL|---)\b).|\n)*\Z")


def runner_of(tree: Path) -> Runner | None:
    """The runner of the repository in `tree`, or None. The language's own tools come before a Makefile."""
    for looks_like, found in _WAYS:
        runner = looks_like(tree) and found(tree)
        if runner:
            return runner
    return None


def _python(tree: Path) -> bool:
    return _configures_pytest(tree) or bool(_python_tests(tree))


def _python_runner(tree: Path) -> Runner | None:
    if _configures_pytest(tree):
        return PYTEST
    texts = [_read(path) for path in _python_tests(tree)]
    if any(
        re.search(r"^(?:import pytest|from pytest\b)|^\s*(?:async )?def test_\w+\((?!self)", text, re.MULTILINE)
        for text in texts
    ):
        return PYTEST
    if any(re.search(r"\bunittest\b", text) for text in texts):
        return UNITTEST_IN_TESTS if (tree / "tests").is_dir() else UNITTEST
    return PYTEST


def _configures_pytest(tree: Path) -> bool:
    return (
        _exists(tree, "pytest.ini")
        or _exists(tree, "conftest.py")
        or _exists(tree, "tests/conftest.py")
        or "[tool.pytest" in _read(tree / "pyproject.toml")
        or "[tool:pytest]" in _read(tree / "setup.cfg")
        or "[pytest]" in _read(tree / "tox.ini")
    )


def _python_tests(tree: Path) -> list[Path]:
    found: list[Path] = []
    for directory in (tree, tree / "tests", tree / "test", tree / "src"):
        if directory.is_dir() and not directory.is_symlink():
            for pattern in ("test_*.py", "*_test.py", "*/test_*.py", "*/*_test.py"):
                paths = directory.glob(pattern)
                found += [path for path in paths if path.is_file() and not _SKIPPED & set(path.relative_to(tree).parts)]
    return sorted(set(found))[:200]


def _npm(tree: Path) -> bool:
    try:
        script = json.loads(_read(tree / "package.json") or "{}")["scripts"]["test"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(script, str) and bool(script.strip()) and "no test specified" not in script


def _make(tree: Path) -> bool:
    return any(
        re.search(r"^test\s*:", _read(tree / name), re.MULTILINE) for name in ("GNUmakefile", "makefile", "Makefile")
    )


def _has(name: str) -> Callable[[Path], bool]:
    return lambda tree: _exists(tree, name)


def _always(runner: Runner) -> Callable[[Path], Runner | None]:
    return lambda _tree: runner


_WAYS: tuple[tuple[Callable[[Path], bool], Callable[[Path], Runner | None]], ...] = (
    (_python, _python_runner),
    (_has("mix.exs"), _always(MIX)),
    (_has("Cargo.toml"), _always(CARGO)),
    (_has("go.mod"), _always(GO)),
    (_npm, _always(NPM)),
    (_make, _always(MAKE)),
)


def _exists(tree: Path, name: str) -> bool:
    """A file of the work; no link on the way is followed, or it would tell what there is outside."""
    place = tree
    for part in Path(name).parts:
        place /= part
        if place.is_symlink():
            return False
    return place.is_file()


def _read(path: Path) -> str:
    """The beginning of a file of the work, as text; a link is not followed, for it may lead anywhere."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(_READ_BYTES).decode("utf-8", "replace")
