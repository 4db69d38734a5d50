"""Whatever ends an attempt, its work is on the hub or still here."""

import os
import subprocess

import pytest

from sidecar import publish, tree
from sidecar import salvage as salvaging
from sidecar.git import Remote
from sidecar.salvage import MOST_TRIES, pending, salvage
from sidecar.workspace import Workspace


@pytest.fixture
def remote(hub_repository):
    return Remote(str(hub_repository))


async def test_leftovers_go_to_the_salvage_ref_and_the_workspace_goes(prepare, remote, hub_repository, git):
    workspace = await prepare(attempt=41)
    (workspace.tree / "half.py").write_text("half = 'done'\n")

    done = await salvage(workspace, remote=remote)

    assert "refs/agentcom/salvage/41" == done.ref
    assert done.commit == git(hub_repository, "rev-parse", done.ref)
    assert "half = 'done'" == git(hub_repository, "show", f"{done.ref}:half.py")
    assert workspace.base == git(hub_repository, "rev-parse", f"{done.ref}^")
    assert not workspace.directory.exists()


async def test_an_untouched_tree_leaves_nothing_on_the_hub(prepare, remote, hub_repository, git):
    workspace = await prepare()

    assert not (await salvage(workspace, remote=remote)).ref
    assert "" == git(hub_repository, "for-each-ref", "refs/agentcom/")
    assert not workspace.directory.exists()


async def test_what_cannot_be_pushed_is_kept_and_pushed_later(prepare, remote, hub_repository, tmp_path, git):
    workspace = await prepare(attempt=5)
    (workspace.tree / "half.py").write_text("x\n")
    hub_repository.rename(tmp_path / "away.git")

    first = await salvage(workspace, remote=remote)

    assert first.kept
    assert [workspace] == pending(tmp_path / "root")
    (tmp_path / "away.git").rename(hub_repository)
    (kept,) = pending(tmp_path / "root")
    assert "refs/agentcom/salvage/5" == (await salvage(kept, remote=remote)).ref
    assert [] == pending(tmp_path / "root")
    assert "x" == git(hub_repository, "show", "refs/agentcom/salvage/5:half.py")


async def test_after_a_crash_the_trees_on_disk_are_found_oldest_first(prepare, remote, tmp_path):
    for attempt in (10, 9):
        await prepare(attempt=attempt)
    (tmp_path / "root" / "attempts" / "11" / "tree").mkdir(parents=True)

    assert [9] == [workspace.attempt for workspace in pending(tmp_path / "root", busy={10, 11})]
    assert [9, 10] == [workspace.attempt for workspace in pending(tmp_path / "root")]
    assert not (tmp_path / "root" / "attempts" / "11").exists()


async def test_a_repository_inside_is_saved_as_plain_files(prepare, remote, hub_repository, git):
    workspace = await prepare(attempt=6)
    inner = workspace.tree / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "work.py").write_text("inner work\n")

    done = await salvage(workspace, remote=remote)

    assert "inner work" == git(hub_repository, "show", f"{done.ref}:inner/work.py")
    assert "inner/dot-git/HEAD" in git(hub_repository, "ls-tree", "-r", "--name-only", done.ref)


async def test_odd_and_enormous_things_do_not_keep_the_rest_from_being_saved(prepare, remote, hub_repository, git):
    workspace = await prepare(attempt=7)
    os.mkfifo(workspace.tree / "pipe")
    with (workspace.tree / "huge.bin").open("wb") as file:
        file.truncate(10 * 2**30)
    (workspace.tree / "secret").write_text("work\n")
    (workspace.tree / "secret").chmod(0)

    done = await salvage(workspace, remote=remote)

    names = git(hub_repository, "ls-tree", "--name-only", done.ref).splitlines()
    assert {"secret", "huge.bin.left-out"} <= set(names)
    assert not {"pipe", "huge.bin"} & set(names)


async def test_a_tree_that_was_deleted_is_over(prepare, remote, tmp_path):
    workspace = await prepare(attempt=8)
    workspace.tree.rename(tmp_path / "gone")

    done = await salvage(workspace, remote=remote)

    assert (done.ref, done.kept) == ("", "")
    assert Workspace.reopen(tmp_path / "root", 8) is None


async def test_of_too_large_a_work_the_small_files_are_saved(prepare, remote, hub_repository, git, monkeypatch):
    monkeypatch.setattr(salvaging, "MOST_BYTES", 3_500)
    workspace = await prepare(attempt=7)
    (workspace.tree / "sub").mkdir()
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "ignored").write_bytes(b"x" * 9_000)
    for size in (1_000, 2_000, 3_000, 4_000):
        (workspace.tree / "sub" / f"{size}.bin").write_bytes(b"x" * size)
    (workspace.tree / "calc.py").write_text("fixed = 1\n")

    done = await salvage(workspace, remote=remote)

    names = git(hub_repository, "ls-tree", "-r", "--name-only", done.ref).splitlines()
    assert [".gitignore", "calc.py", "left-out.txt", "sub/1000.bin", "sub/2000.bin"] == names
    assert "fixed = 1" == git(hub_repository, "show", f"{done.ref}:calc.py")
    assert "2 files were left out.\n3000 bytes: sub/3000.bin\n4000 bytes: sub/4000.bin" == git(
        hub_repository, "show", f"{done.ref}:left-out.txt"
    )


async def test_a_large_repository_is_no_large_work(prepare, remote, hub_repository, git, monkeypatch):
    monkeypatch.setattr(salvaging, "MOST_BYTES", 10)
    workspace = await prepare(attempt=7)
    (workspace.tree / "half.py").write_text("x\n")

    done = await salvage(workspace, remote=remote)

    assert [".gitignore", "calc.py", "half.py"] == git(hub_repository, "ls-tree", "--name-only", done.ref).splitlines()


async def test_a_large_file_with_the_longest_name_is_left_out_like_any_other(prepare, remote, hub_repository, git):
    workspace = await prepare(attempt=7)
    with (workspace.tree / ("é" * 127)).open("wb") as file:
        file.truncate(2**30)

    done = await salvage(workspace, remote=remote)

    assert ".left-out" in git(hub_repository, "ls-tree", "--name-only", done.ref)


EVERY = "text eol=crlf crlf ident filter=x working-tree-encoding=UTF-32"
STUBBORN = {
    "of the top": {".gitattributes": f"* {EVERY}\n"},
    "of a directory": {"sub/deeper/.gitattributes": f"* {EVERY}\n"},
    "by a macro": {".gitattributes": f"[attr]mine {EVERY}\n* mine\n", "sub/.gitattributes": "* mine\n"},
    "by a macro with the name of what is unset": {
        ".gitattributes": "[attr]text working-tree-encoding=UTF-32\n[attr]filter text\n* text filter\n"
    },
    "that no encoding has": {".gitattributes": "* working-tree-encoding=true -working-tree-encoding\n"},
}


@pytest.mark.parametrize("planted", STUBBORN.values(), ids=STUBBORN)
async def test_what_git_cannot_convert_is_saved_byte_for_byte(prepare, remote, hub_repository, git, planted):
    workspace = await prepare(attempt=9)
    files = {
        **planted,
        "sub/deeper/half.txt": "half\r\n$Id: x $\n",
        ".gitattributes": planted.get(".gitattributes", ""),
    }
    files |= {"sub/stubborn/.gitattributes": "* working-tree-encoding=UTF-32\n", "sub/stubborn/x": "no such encoding\n"}
    for name, content in files.items():
        (workspace.tree / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace.tree / name).write_bytes(content.encode())

    done = await salvage(workspace, remote=remote)

    saved = {name: _saved(hub_repository, done.ref, name) for name in files}
    assert {name: content.encode() for name, content in files.items()} == saved


async def test_what_git_can_convert_is_converted_as_ever(prepare, remote, hub_repository):
    workspace = await prepare(attempt=9)
    (workspace.tree / ".gitattributes").write_text("*.txt text eol=crlf\n")
    (workspace.tree / "half.txt").write_bytes(b"half\r\n")

    done = await salvage(workspace, remote=remote)

    assert b"half\n" == _saved(hub_repository, done.ref, "half.txt")


async def test_what_can_never_be_recorded_is_abandoned(prepare, remote, tmp_path, monkeypatch, caplog):
    workspace = await prepare(attempt=5)
    (workspace.tree / "half.py").write_text("x\n")
    monkeypatch.setattr(tree, "MAX_ENTRIES", 0)

    tried = [await salvage(workspace, remote=remote) for _ in range(MOST_TRIES)]

    assert [True] * (MOST_TRIES - 1) + [False] == [bool(done.kept) for done in tried]
    assert "more than 0 entries" in tried[-1].abandoned
    assert ["salvage abandoned"] == [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert [] == pending(tmp_path / "root")
    assert not workspace.directory.exists()


async def test_what_the_hub_goes_on_saying_no_to_is_abandoned(prepare, remote, hub_repository, tmp_path, monkeypatch):
    monkeypatch.setattr(salvaging, "MOST_REFUSALS", 3)
    workspace = await prepare(attempt=5)
    (workspace.tree / "half.py").write_text("x\n")
    hook = hub_repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho half.py is too large >&2\nexit 1\n")
    hook.chmod(0o755)

    tried = [await salvage(workspace, remote=remote) for _ in range(3)]

    assert [True, True, False] == [bool(done.kept) for done in tried]
    assert "half.py is too large" in tried[-1].abandoned
    assert [] == pending(tmp_path / "root")


async def test_a_hub_that_is_away_is_waited_for_however_long(prepare, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "patiently", lambda act, **_: act())
    workspace = await prepare(attempt=5)
    (workspace.tree / "half.py").write_text("x\n")
    nobody = Remote("http://127.0.0.1:9/git/sample.git")

    tried = [await salvage(workspace, remote=nobody) for _ in range(MOST_TRIES + 2)]

    assert all(done.kept for done in tried), tried
    assert [workspace] == pending(tmp_path / "root")


def _saved(repository, ref, name):
    words = ["git", "-C", str(repository), "cat-file", "blob", f"{ref}:{name}"]
    return subprocess.run(words, capture_output=True, check=True).stdout
