"""The sample's bugs are real, and the demonstration's scripts do to them what the story says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from apps.demo.errands import ERRANDS, SCRIPTS, SLOW, Errand
from apps.demo.ground import SAMPLE

ALL = {errand.key: errand for errand in (*ERRANDS, SLOW)}
SCRIPTED = [key for key, errand in ALL.items() if not errand.words]
FIXES = [key for key in SCRIPTED if ALL[key].status == "completed"]
BROKEN = {
    "slugs": "assert 'creme-brulee' == textkit.slugify('Crème brûlée')",
    "rows": "assert ['a \"b\"', 'c'] == textkit.parse_row(textkit.format_row(['a \"b\"', 'c']))",
    "shorten": "assert len(textkit.shorten('a long text indeed', 9)) <= 9",
    "durations": "assert 5400 == textkit.parse('1h30m')",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "sample"))


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", *arguments], cwd=tree, capture_output=True, text=True, timeout=60, check=False
    )


def passes(tree: Path, errand: Errand) -> bool:
    """Whether the errand's own test module and the whole suite pass."""
    own = [check["target"].removeprefix("python3 ").split() for check in errand.checks if "unittest" in check["target"]]
    suite = ["-m", "unittest", "discover", "-s", "tests", "-t", "."]
    return all(python(tree, *command).returncode == 0 for command in (*own, suite))


def run(tree: Path, key: str, previous: list[object] | None = None) -> str:
    """Run a script as a sidecar would, without its pauses; what it printed."""
    brief = tree.parent / "brief.json"
    brief.write_text(json.dumps({"previous": previous or []}))
    command = (SCRIPTS / f"{key}.sh").read_text().replace("sleep 1", "true")
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    env = {"PATH": path, "AGENTCOM_BRIEF_FILE": str(brief), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=tree, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_the_sample_is_green_as_it_is(tree):
    done = python(tree, "-m", "unittest", "discover", "-s", "tests", "-t", ".")

    assert 0 == done.returncode, done.stderr
    assert "expected failures=4" in done.stderr


@pytest.mark.parametrize("key", BROKEN)
def test_each_bug_is_there_until_its_script_mends_it(tree, key):
    claim = f"import textkit; {BROKEN[key]}"

    assert 0 == python(tree, "-c", "import textkit").returncode
    assert 1 == python(tree, "-c", claim).returncode

    run(tree, key)

    assert 0 == python(tree, "-c", claim).returncode


@pytest.mark.parametrize("key", [key for key in FIXES if ALL[key].outcomes != ("unverified", "succeeded")])
def test_a_fix_passes_its_checks_at_once(tree, key):
    run(tree, key)

    assert passes(tree, ALL[key])


@pytest.mark.parametrize("key", ["slugs", "rows", "shorten", "durations"])
def test_the_tests_that_a_fix_brings_fail_without_it(tree, key):
    before = {path.name: path.read_text() for path in (tree / "textkit").iterdir() if path.is_file()}
    failed = {"failed_checks": [{"output": "FAIL: test_rubbish_is_an_error"}]}
    run(tree, key, [failed])
    assert passes(tree, ALL[key])

    for name, text in before.items():
        (tree / "textkit" / name).write_text(text)

    assert not passes(tree, ALL[key])


def test_the_first_try_at_durations_fails_and_what_failed_leads_to_the_second(tree, tmp_path):
    again = Path(shutil.copytree(tree, tmp_path / "again"))
    run(tree, "durations")
    output = python(tree, "-m", "unittest", "tests.test_durations").stderr

    assert "FAIL: test_rubbish_is_an_error" in output
    assert "OK" not in output

    said = run(again, "durations", [{"failed_checks": [{"output": output}]}])

    assert "rubbish has to be refused too" in said
    assert passes(again, ALL["durations"])


def test_what_contradicts_itself_fails_however_often_it_is_tried(tree):
    run(tree, "wrapping")
    run(tree, "wrapping", [{"failed_checks": [{"output": "whatever"}]}])

    assert not passes(tree, ALL["wrapping"])


def test_all_fixes_together_leave_the_suite_green(tree):
    for key in FIXES:
        run(tree, key, [{"failed_checks": [{"output": "test_rubbish_is_an_error"}]}])

    assert all(passes(tree, ALL[key]) for key in FIXES)


@pytest.mark.parametrize("key", SCRIPTED)
def test_a_script_fits_into_a_task(key):
    body = ALL[key].submission("textkit", {"slugs": 1})

    assert len(body["command"]) <= 10_000
    assert (SCRIPTS / f"{key}.sh").read_text() == body["command"]


def test_every_script_belongs_to_a_task():
    assert {path.stem for path in SCRIPTS.iterdir()} == set(SCRIPTED)
