"""The workshop keeps its own promises: locks, targets, exceptions with reasons, a package without the hub."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCKS = ("sidecar", "hub", "dev")


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows."""
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def pins(kind: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{kind}.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE))


def test_make_alone_names_every_target_that_a_person_needs():
    said = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for target in ("demo", "run", "test", "check", "bench", "lock", "format", "screenshots"):
        assert re.search(rf"^  make {target}\s+\w+", said, re.MULTILINE), target


def test_every_make_target_is_explained_or_only_a_step():
    targets = re.findall(r"^([a-z]+):(.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert {"hub", "dev"} == {name for name, rest in targets if "##" not in rest}


@pytest.mark.parametrize("kind", LOCKS)
def test_every_locked_package_has_hashes_and_no_index_of_its_own(kind: str):
    text = (ROOT / "requirements" / f"{kind}.txt").read_text()

    assert pins(kind)
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        if "==" in block:
            assert "--hash=sha256:" in block, block.splitlines()[0]
    assert "index-url" not in text


@pytest.mark.parametrize("kind", LOCKS)
def test_what_is_asked_for_is_in_the_lock(kind: str):
    asked = re.findall(
        r"^([A-Za-z0-9][A-Za-z0-9_-]*)", (ROOT / "requirements" / f"{kind}.in").read_text(), re.MULTILINE
    )
    locked = {name.lower().replace("_", "-") for name in pins(kind)}

    assert set() == {name.lower().replace("_", "-") for name in asked} - locked


def test_the_hub_runs_on_the_versions_that_it_is_tested_with():
    dev, hub = pins("dev"), pins("hub")

    assert {} == {name: version for name, version in hub.items() if dev.get(name) != version}


def test_redis_stays_below_the_version_that_breaks_the_channel_layer():
    assert int(pins("hub")["redis"].split(".")[0]) < 8


def test_every_exception_from_a_rule_has_its_reason_beside_it():
    rules = tomllib.loads(PYPROJECT)["tool"]["ruff"]["lint"]
    exceptions = [*rules["ignore"], *(code for codes in rules["per-file-ignores"].values() for code in codes)]

    for code in exceptions:
        lines = [line for line in PYPROJECT.splitlines() if f'"{code}"' in line and "select" not in line]
        assert any("  # " in line for line in lines), code


def test_every_noqa_and_type_ignore_names_its_rule():
    for file in tracked("*.py"):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            assert not re.search(r"# " + r"noqa(?!:)|# type: " + r"ignore(?!\[)", line), f"{file}:{number}"


def test_the_layers_hold():
    script = str(Path(sys.executable).with_name("lint-imports"))
    done = subprocess.run([script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stdout


def test_no_file_holds_work_left_undone():
    words = re.compile("TO" + "DO|FIX" + "ME|XX" + "X")

    for file in tracked("*.py", "*.html", "*.css", "Makefile", ".ci/*"):
        assert not words.search(file.read_text()), file


def test_no_file_has_grown_past_one_idea():
    for file in tracked("*.py"):
        lines = file.read_text().count("\n")
        if "migrations" not in file.parts and "fixtures" not in file.parts:
            assert lines <= (700 if "tests" in file.parts else 450), f"{file}: {lines} lines"


@pytest.mark.slow
def test_the_package_holds_the_sidecar_and_nothing_of_the_hub(tmp_path: Path):
    for file in tracked(
        "sidecar", "requirements/sidecar.in", "pyproject.toml", "LICENSE", "README.md", "apps", "agentcom"
    ):
        copy = tmp_path / "source" / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    build = "import setuptools.build_meta as backend; backend.build_wheel('../out')"
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", check=True, capture_output=True)

    (wheel,) = (tmp_path / "out").glob("agentcom_sidecar-*.whl")
    with zipfile.ZipFile(wheel) as contents:
        names = contents.namelist()
        metadata = contents.read(next(name for name in names if name.endswith("METADATA"))).decode()
        entry = contents.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert {"sidecar"} == {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert "agentcom-sidecar = sidecar.cli:main" in entry
    assert "agentcom = sidecar.operator.cli:main" in entry
    assert "Requires-Dist: websockets" in metadata
    assert "django" not in metadata.lower()


def bootstrap(checkout: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({} if path is None else {"PATH": path})}
    command = [sys.executable, "bootstrap.py", *arguments]
    return subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy with a lock that needs nothing from anywhere."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "hub.txt").write_text("")
    (tmp_path / "bootstrap.py").write_bytes((ROOT / "bootstrap.py").read_bytes())
    return tmp_path


@pytest.mark.slow
def test_the_environment_is_made_once_for_each_lock(checkout: Path):
    first, second = bootstrap(checkout, "hub"), bootstrap(checkout, "hub")
    (checkout / "requirements" / "hub.txt").write_text("# another lock\n")
    third = bootstrap(checkout, "hub")

    assert [0, 0, 0] == [run.returncode for run in (first, second, third)], first.stderr
    assert "Preparing" in first.stdout
    assert "" == second.stdout
    assert "Preparing" in third.stdout


def test_without_git_one_sentence_says_so(checkout: Path):
    done = bootstrap(checkout, "hub", path="/nowhere")

    assert 1 == done.returncode
    assert "AgentCom needs git 2.38 or newer; there is none on the PATH (Debian: apt install git).\n" == done.stderr


def test_with_an_old_git_one_sentence_says_so(checkout: Path):
    old = checkout / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)

    done = bootstrap(checkout, "hub", path=f"{old.parent}:/usr/bin:/bin")

    assert "AgentCom needs git 2.38 or newer; this is git version 2.34.1.\n" == done.stderr


def test_an_unknown_kind_of_environment_is_refused(checkout: Path):
    assert 2 == bootstrap(checkout, "hubb").returncode


@pytest.mark.slow
def test_a_package_that_is_not_the_locked_one_is_refused_in_a_sentence(checkout: Path):
    wheel = checkout / "left_pad-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("left_pad.py", "")
        archive.writestr("left_pad-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: left-pad\nVersion: 1.0\n")
        archive.writestr(
            "left_pad-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("left_pad-1.0.dist-info/RECORD", "")
    lock = f"left-pad @ file://{wheel} --hash=sha256:{'0' * 64}\n"
    (checkout / "requirements" / "hub.txt").write_text(lock)

    done = bootstrap(checkout, "hub")

    assert 1 == done.returncode
    assert "not the one that was locked" in done.stderr
