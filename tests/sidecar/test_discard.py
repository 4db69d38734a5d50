"""Whatever commands have made of a tree can be gone through and removed, and nothing beside it is touched."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.descend import descend
from sidecar.discard import discard
from tests.deep import deepen, without_rights

LONG = "d" * 255


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "tree"
    made.mkdir()
    (made / "file").write_text("x")
    yield made
    subprocess.run(["rm", "-rf", str(made)], check=True)  # pytest's own way gives up on directories this deep


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    made = tmp_path / "outside"
    made.mkdir()
    (made / "canary").write_text("canary")
    return made


def closed(tree: Path) -> None:
    """Directories without any right, one below the other, with something in them."""
    inner = tree / "closed" / "deeper"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    (tree / "unwritable").mkdir()
    (tree / "unwritable" / "inner").mkdir()
    for place in (inner / "file", inner, inner.parent, tree / "unwritable" / "inner"):
        place.chmod(0)
    (tree / "unwritable").chmod(0o500)


@pytest.mark.parametrize(("levels", "name"), [(2_200, "d"), (40, LONG)], ids=["many levels", "long names"])
def test_what_has_too_long_a_path_is_removed(tree: Path, outside: Path, levels: int, name: str):
    deepen(tree, levels, name=name)

    discard(tree)

    assert [outside] == list(tree.parent.iterdir())


def test_what_is_closed_is_removed_by_its_owner(tree: Path):
    closed(tree)

    without_rights(lambda: discard(tree))

    assert not tree.exists()


def test_what_is_closed_and_too_deep_is_removed_by_its_owner(tree: Path):
    deepen(tree, 2_200)
    at = os.open(tree, os.O_RDONLY)
    for _ in range(2_100):
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.fchmod(at, 0)
    os.close(at)

    without_rights(lambda: discard(tree))

    assert not tree.exists()


def test_links_are_removed_and_not_followed(tree: Path, outside: Path):
    (tree / "out").symlink_to(outside)
    (tree / "sub").mkdir()
    (tree / "sub" / "up").symlink_to("../..")
    os.link(outside / "canary", tree / "sub" / "hard")
    closed_outside = outside.stat().st_mode

    without_rights(lambda: discard(tree))

    assert not tree.exists()
    assert ("canary", closed_outside) == ((outside / "canary").read_text(), outside.stat().st_mode)


def test_a_link_in_the_place_of_the_directory_is_removed_and_not_followed(tree: Path, outside: Path):
    (tree / "attempt").symlink_to(outside)

    discard(tree / "attempt")

    assert [tree / "file"] == list(tree.iterdir())
    assert (outside / "canary").exists()


def test_what_is_not_there_is_no_error(tree: Path):
    discard(tree / "nothing")
    discard(tree / "nothing" / "deeper")

    assert [tree / "file"] == list(tree.iterdir())


def test_no_more_directories_are_open_than_two(tree: Path, monkeypatch: pytest.MonkeyPatch):
    deepen(tree, 200)
    most: list[int] = []
    rmdir = os.rmdir

    def counting(name: str, *, dir_fd: int) -> None:
        most.append(_open())
        rmdir(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", counting)
    before = _open()

    discard(tree)
    monkeypatch.undo()

    assert (200 + 1, True) == (len(most), before + 3 >= max(most))  # and the one above them


def test_everything_is_found_once_at_any_depth(tree: Path, outside: Path):
    deepen(tree, 2_200)
    (tree / "a").mkdir()
    (tree / "a" / "b").write_text("x")
    (tree / "out").symlink_to(outside)

    paths = [found.path for found in descend(tree)]

    assert 2_200 + 1 + len(["file", "a", "a/b", "out"]) == len(paths) == len(set(paths))
    assert {"a/b", "out", "/".join(["d"] * 2_200 + ["f"])} <= set(paths)
    assert "out/canary" not in paths


def test_what_is_closed_is_gone_through_by_its_owner(tree: Path):
    closed(tree)
    paths: list[str] = []

    without_rights(lambda: paths.extend(found.path for found in descend(tree)))

    assert {"closed/deeper/file", "unwritable/inner"} <= set(paths)


def test_a_directory_that_is_moved_meanwhile_does_not_lead_elsewhere(tree: Path, outside: Path):
    (tree / "sub" / "inner").mkdir(parents=True)
    seen = []

    def look() -> None:
        for found in descend(tree):
            seen.append(found.path)
            if found.entry.name == "inner":
                (tree / "sub").rename(outside / "sub")
                (outside / "sub" / "inner").rename(outside / "inner")

    with pytest.raises(OSError, match="moved") as stopped:
        look()

    assert errno.ESTALE == stopped.value.errno
    assert ["file", "sub", "sub/inner"] == sorted(seen)


def test_a_directory_that_turns_into_a_link_is_passed_over(tree: Path, outside: Path):
    (tree / "sub").mkdir()
    seen = []

    for found in descend(tree):
        seen.append(found.path)
        if found.entry.name == "sub":
            (tree / "sub").rmdir()
            (tree / "sub").symlink_to(outside)

    assert {"file", "sub"} == set(seen)


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
