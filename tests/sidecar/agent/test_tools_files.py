"""Files of a tree that somebody hostile can change at any moment: nothing outside is read or written."""

import contextlib
import itertools
import os
import secrets
import socket
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.agent.tools import confined
from sidecar.agent.tools.confined import READ_BYTES, WRITE_BYTES, Files
from sidecar.agent.tools.refused import Missing, ToolRefused

CANARY = b"act_agent_canary"
ROOT = os.geteuid() == 0


@pytest.fixture
def outside(tmp_path):
    place = tmp_path / "outside"
    place.mkdir()
    (place / "secret").write_bytes(CANARY)
    return place


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "attempts" / "1" / "tree"
    place.mkdir(parents=True)
    (place / "app.py").write_text("print(1)\n")
    return place


@pytest.fixture
def files(tree):
    return Files(tree)


def untouched(outside):
    return [outside / "secret"] == list(outside.iterdir()) and CANARY == (outside / "secret").read_bytes()


# --- paths ------------------------------------------------------------------------------------------------------------

PATHS = {
    "app.py": ("app.py",),
    "./src//deep/./x.py": ("src", "deep", "x.py"),
    "src/": ("src",),
    ".": (),
    "": (),
    "~x": ("~x",),
    "...": ("...",),
}


@pytest.mark.parametrize(("path", "parts"), PATHS.items())
def test_a_path_is_taken_apart(files, path, parts):
    assert parts == files.parts(path)


def test_the_trees_own_path_as_commands_print_it_is_understood(files, tree):
    assert ("src", "x.py") == files.parts(f"{tree}/src/x.py")
    assert () == files.parts(str(tree))


def test_a_tree_behind_a_link_is_known_by_both_its_paths(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree.parent)
    files = Files(tmp_path / "link" / "tree")

    assert ("app.py",) == files.parts(f"{tmp_path}/link/tree/app.py")
    assert ("app.py",) == files.parts(str(tree / "app.py"))


LEAVING = ["../escape", "src/../../x", "..", "/etc/passwd", "/", "//etc/passwd", "~/.bashrc", "~", "a\0b", "a\nb"]


@pytest.mark.parametrize("path", [*LEAVING, "a/" * 61 + "b", "x" * 1001])
def test_a_path_that_leads_out_or_nowhere_is_refused(files, path):
    with pytest.raises(ToolRefused):
        files.parts(path)


def test_a_sibling_whose_name_begins_like_the_trees_is_outside(files, tree):
    with pytest.raises(ToolRefused):
        files.parts(f"{tree}-2/x")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["..", ".", "", "a", "out", "file", "~", ".git", "/", "\0", "secret"]), max_size=6),
    st.booleans(),
)
def test_no_path_whatever_reaches_what_is_outside(files, tree, outside, names, absolute):
    if not (tree / "out").is_symlink():
        (tree / "out").symlink_to(outside)
        (tree / "file").symlink_to(outside / "secret")
    path = ("/" if absolute else "") + "/".join(names)
    try:
        parts = files.parts(path)
        files.write(parts, b"overwritten")
        content = files.read(parts)
    except ToolRefused:
        content = b""

    assert CANARY not in content
    assert untouched(outside)


# --- links, and what is no file ---------------------------------------------------------------------------------------


def test_a_link_to_a_directory_outside_is_not_followed(files, tree, outside):
    (tree / "a").symlink_to(outside)

    for act in (
        lambda: files.read(("a", "secret")),
        lambda: files.write(("a", "new"), b"x"),
        lambda: files.kind(("a",)),
    ):
        with pytest.raises(ToolRefused, match="a is a symbolic link"):
            act()
    with pytest.raises(ToolRefused):
        files.entries(("a",))
    assert untouched(outside)


def test_a_link_to_a_file_is_neither_read_nor_replaced(files, tree, outside):
    (tree / "result.json").symlink_to(outside / "secret")

    with pytest.raises(ToolRefused, match="symbolic link"):
        files.read(("result.json",))
    with pytest.raises(ToolRefused, match="symbolic link"):
        files.write(("result.json",), b"x")
    assert (tree / "result.json").is_symlink()
    assert untouched(outside)


def test_of_a_link_that_stays_inside_it_is_said_where_it_leads(files, tree):
    (tree / "link.py").symlink_to("app.py")

    with pytest.raises(ToolRefused, match=r"symbolic link to app\.py; links are not followed"):
        files.read(("link.py",))


def test_a_dangling_link_makes_no_file_elsewhere(files, tree, outside):
    (tree / "new").symlink_to(outside / "made")

    with pytest.raises(ToolRefused):
        files.write(("new",), b"x")
    assert untouched(outside)


def test_the_other_name_of_a_hard_link_keeps_its_content(files, tree, outside):
    os.link(outside / "secret", tree / "hard")

    files.write(("hard",), b"mine")

    assert b"mine" == (tree / "hard").read_bytes()
    assert untouched(outside)


def test_a_pipe_without_a_writer_holds_nobody_up(files, tree):
    os.mkfifo(tree / "pipe")

    for act in (lambda: files.read(("pipe",)), lambda: files.write(("pipe",), b"x"), lambda: files.kind(("pipe",))):
        with pytest.raises(ToolRefused, match="no file but a pipe"):
            act()
    assert stat.S_ISFIFO((tree / "pipe").stat().st_mode)


def test_a_pipe_that_comes_between_looking_and_opening_holds_nobody_up(files, tree, monkeypatch):
    os.mkfifo(tree / "pipe")
    monkeypatch.setattr(confined, "_refuse_other_than_file", lambda *_: None)

    with pytest.raises(ToolRefused, match="pipe is no file"):
        files.read(("pipe",))


def test_a_socket_is_no_file(files, tree, monkeypatch):
    monkeypatch.chdir(tree)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("door")

        with pytest.raises(ToolRefused, match="no file but"):
            files.read(("door",))


@pytest.mark.skipif(not ROOT, reason="only root makes devices")
def test_a_device_is_no_file(files, tree):
    try:
        os.mknod(tree / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices here")

    with pytest.raises(ToolRefused, match="no file but"):
        files.read(("zero",))


def test_a_directory_that_keeps_turning_into_a_link_leads_nowhere(files, tree, outside):
    (tree / "d").mkdir()
    (tree / "d" / "secret").write_bytes(b"ours")
    over = threading.Event()
    swaps: list[int] = []

    def swap():
        for turn in itertools.count():
            swaps.append(turn)
            with contextlib.suppress(OSError):  # where the other finds no directory, it makes one
                (tree / "d").rename(tree / f"kept{turn}")
                (tree / "d").symlink_to(outside)
                (tree / "d").unlink()
                (tree / f"kept{turn}").rename(tree / "d")
            if over.is_set():
                return

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(1_500):
            with contextlib.suppress(ToolRefused):
                files.write(("d", "secret"), b"ours")
            with contextlib.suppress(ToolRefused):
                seen.add(files.read(("d", "secret")))
    finally:
        over.set()
        swapper.join()

    assert swaps
    assert seen <= {b"ours"}
    assert untouched(outside)


def test_a_file_that_keeps_turning_into_a_link_is_read_as_itself_or_not_at_all(files, tree, outside):
    over = threading.Event()
    place = tree / "f"
    place.write_bytes(b"ours")

    def swap():
        number = 0
        while not over.is_set():
            number += 1
            fresh = tree / f"n{number % 2}"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(outside / "secret") if number % 2 else fresh.write_bytes(b"ours")
            fresh.replace(place)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for turn in range(1_500):
            with contextlib.suppress(ToolRefused):
                if turn % 2:
                    files.write(("f",), b"ours")
                seen.add(files.read(("f",)))
    finally:
        over.set()
        swapper.join()

    assert seen <= {b"ours", b""}
    assert untouched(outside)


# --- writing ----------------------------------------------------------------------------------------------------------


def test_a_new_file_is_an_ordinary_one_in_directories_made_for_it(files, tree):
    before = os.umask(0o077)
    try:
        files.write(("src", "deep", "new.py"), b"x = 1\n")
    finally:
        os.umask(before)

    assert b"x = 1\n" == (tree / "src/deep/new.py").read_bytes()
    assert 0o644 == stat.S_IMODE((tree / "src/deep/new.py").stat().st_mode)
    assert 0o755 == stat.S_IMODE((tree / "src/deep").stat().st_mode)


@pytest.mark.parametrize(("mode", "kept"), [(0o755, 0o755), (0o600, 0o600), (0o4755, 0o755), (0o444, 0o444)])
def test_a_file_keeps_its_mode_but_no_foreign_rights(files, tree, mode, kept):
    (tree / "run.sh").write_text("old")
    (tree / "run.sh").chmod(mode)

    files.write(("run.sh",), b"new")

    assert kept == stat.S_IMODE((tree / "run.sh").stat().st_mode)


@pytest.mark.skipif(not ROOT, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(files, tree):
    os.chown(tree, 64_123, 64_123)

    files.write(("sub", "new.py"), b"")

    assert {64_123} == {(tree / name).stat().st_uid for name in ("sub", "sub/new.py")}


GIT = [
    ".git/hooks/pre-commit",
    ".GIT/config",
    "sub/.git/config",
    ".git",
    ".gitmodules",
    "GIT~1/x",
    ".git ./x",
    ".g\u200cit/x",
]


@pytest.mark.parametrize("path", GIT)
def test_nothing_is_written_that_git_would_take_for_its_own(files, tree, path):
    with pytest.raises(ToolRefused, match="belongs to git"):
        files.write(tuple(path.split("/")), b"x")
    assert [tree / "app.py"] == list(tree.iterdir())


def test_gits_files_for_people_are_ordinary_ones(files, tree):
    files.write((".github", "workflows", "ci.yml"), b"on: push\n")
    files.write((".gitignore",), b"build/\n")

    assert b"build/\n" == (tree / ".gitignore").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_no_other(files, tree, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)

    with pytest.raises(ToolRefused, match=r"app\.py: No space left on device"):
        files.write(("app.py",), b"new")
    assert [tree / "app.py"] == list(tree.iterdir())
    assert "print(1)\n" == (tree / "app.py").read_text()


def test_a_name_that_lies_in_wait_is_not_written_through(files, tree, outside, monkeypatch):
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    (tree / ".guessed.new").symlink_to(outside / "secret")

    with pytest.raises(ToolRefused):
        files.write(("new.py",), b"x")
    assert untouched(outside)


def test_too_much_is_not_written(files, tree):
    with pytest.raises(ToolRefused, match="too many"):
        files.write(("big",), b"x" * (WRITE_BYTES + 1))
    assert not (tree / "big").exists()


@pytest.mark.parametrize("parts", [(), ("app.py", "x"), ("d",), ("x" * 300,)], ids=str)
def test_what_cannot_be_a_file_is_refused(files, tree, parts):
    (tree / "d").mkdir()

    with pytest.raises(ToolRefused):
        files.write(parts, b"x")
    assert "print(1)\n" == (tree / "app.py").read_text()


# --- reading ----------------------------------------------------------------------------------------------------------


def test_a_sparse_file_of_many_gigabytes_is_not_read(files, tree):
    with (tree / "huge").open("wb") as file:
        file.truncate(50 * 2**30)

    with pytest.raises(ToolRefused, match="too large"):
        files.read(("huge",))
    with pytest.raises(ToolRefused, match="too large"):
        files.read(("app.py",), most=3)
    assert READ_BYTES < 50 * 2**30


def test_what_is_not_there_is_missing(files):
    for parts in (("nothing",), ("no", "such", "file")):
        with pytest.raises(Missing):
            files.read(parts)


@pytest.mark.skipif(ROOT, reason="root reads everything")
def test_a_file_that_was_closed_to_us_is_refused(files, tree):
    (tree / "app.py").chmod(0)

    with pytest.raises(ToolRefused, match="permissions"):
        files.read(("app.py",))


def test_a_tree_that_is_gone_or_has_become_a_link_is_refused(tree, outside):
    (tree / "app.py").unlink()
    tree.rmdir()
    with pytest.raises(ToolRefused, match="tree is gone"):
        Files(tree).read(("app.py",))

    Path(tree).symlink_to(outside)
    with pytest.raises(ToolRefused, match="tree is gone"):
        Files(tree).read(("secret",))


def test_no_descriptor_is_left_open(files, tree):
    (tree / "a").symlink_to("/")
    before = len(list(Path("/proc/self/fd").iterdir()))

    for parts in [("app.py",), ("nothing",), ("a", "etc"), ("x", "y"), ()] * 20:
        for act in (files.read, files.entries, files.kind):
            try:
                act(parts)
            except ToolRefused:
                continue

    assert before == len(list(Path("/proc/self/fd").iterdir()))
