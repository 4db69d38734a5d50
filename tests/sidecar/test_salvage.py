"""Whatever ends an attempt, its work is on the hub or still here."""

import os

import pytest

from sidecar.git import Remote
from sidecar.salvage import pending, salvage
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
