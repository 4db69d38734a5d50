"""Workspaces against real repositories on disk."""

import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.git import BadName, GitFailed, Remote, checked_branch, checked_url
from sidecar.workspace import Workspace, WorkspaceFailed


def git(at: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", "-C", str(at), *who, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def hub(tmp_path):
    """A bare repository with one commit on `trunk`, and a place to change it from."""
    bare, work = tmp_path / "hub.git", tmp_path / "elsewhere"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "trunk", str(bare)], check=True)
    subprocess.run(["git", "clone", "-q", str(bare), str(work)], check=True, capture_output=True)
    git(work, "checkout", "-q", "-b", "trunk")
    (work / "calc.py").write_text("def add(a, b):\n    return a - b\n")
    (work / ".gitignore").write_text("build/\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "first")
    git(work, "push", "-q", "origin", "trunk")
    return bare


async def prepared(hub, tmp_path, attempt=1, start=""):
    return await Workspace.prepare(remote=Remote(str(hub)), attempt=attempt, root=tmp_path / "root", start=start)


async def test_an_attempt_starts_from_the_default_branch_whatever_its_name(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)

    assert "trunk" == workspace.branch
    assert git(hub, "rev-parse", "trunk") == workspace.base
    assert git(hub, "rev-parse", "trunk^{tree}") == workspace.base_tree
    assert not (workspace.tree / ".git").exists()
    assert not await workspace.differs()


async def test_a_new_attempt_sees_what_was_pushed_meanwhile(hub, tmp_path):
    await prepared(hub, tmp_path)
    work = tmp_path / "elsewhere"
    (work / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    git(work, "commit", "-q", "-a", "-m", "second")
    git(work, "push", "-q", "origin", "trunk")

    second = await prepared(hub, tmp_path, attempt=2)

    assert "return a + b" in (second.tree / "calc.py").read_text()


async def test_a_follow_up_starts_from_the_branch_of_the_pull_request(hub, tmp_path):
    work = tmp_path / "elsewhere"
    git(work, "checkout", "-q", "-b", "agentcom/ada/7-fix")
    (work / "new.py").write_text("x = 1\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "work")
    git(work, "push", "-q", "origin", "agentcom/ada/7-fix")

    workspace = await prepared(hub, tmp_path, start="agentcom/ada/7-fix")

    assert (workspace.tree / "new.py").exists()
    assert git(work, "rev-parse", "HEAD") == workspace.base


async def test_a_verifier_gets_exactly_the_commit_it_asks_for(hub, tmp_path):
    first = git(hub, "rev-parse", "trunk")
    work = tmp_path / "elsewhere"
    (work / "calc.py").write_text("later\n")
    git(work, "commit", "-q", "-a", "-m", "second")
    git(work, "push", "-q", "origin", "trunk")

    workspace = await prepared(hub, tmp_path, start=first)

    assert first == workspace.base
    assert "later" not in (workspace.tree / "calc.py").read_text()


async def test_a_commit_that_no_branch_holds_is_asked_for_by_its_hash(hub, tmp_path):
    work = tmp_path / "elsewhere"
    (work / "calc.py").write_text("aside\n")
    git(work, "commit", "-q", "-a", "-m", "aside")
    git(work, "push", "-q", "origin", "HEAD:refs/agentcom/aside")
    git(hub, "config", "uploadpack.allowAnySHA1InWant", "true")
    aside = git(work, "rev-parse", "HEAD")

    workspace = await prepared(hub, tmp_path, start=aside)

    assert "aside\n" == (workspace.tree / "calc.py").read_text()


async def test_an_empty_repository_is_named_as_such(tmp_path):
    bare = tmp_path / "empty.git"
    subprocess.run(["git", "init", "-q", "--bare", str(bare)], check=True)

    with pytest.raises(WorkspaceFailed) as failed:
        await prepared(bare, tmp_path)

    assert "empty_repository" == failed.value.code


async def test_a_missing_branch_and_a_missing_commit_are_named(hub, tmp_path):
    with pytest.raises(WorkspaceFailed) as branch:
        await prepared(hub, tmp_path, start="nowhere")
    with pytest.raises(WorkspaceFailed) as commit:
        await prepared(hub, tmp_path, start="0123456789abcdef0123456789abcdef01234567")

    assert ("branch_missing", "commit_missing") == (branch.value.code, commit.value.code)


async def test_a_missing_repository_is_told_in_gits_words(tmp_path):
    with pytest.raises(WorkspaceFailed) as failed:
        await prepared(tmp_path / "nowhere.git", tmp_path)

    assert "fetch_failed" == failed.value.code
    assert "nowhere.git" in failed.value.message


async def test_a_corrupt_cache_is_made_anew(hub, tmp_path):
    await prepared(hub, tmp_path)
    (cache,) = (tmp_path / "root" / "cache").glob("*.git")
    shutil.rmtree(cache / "objects")
    (cache / "objects").mkdir()

    workspace = await prepared(hub, tmp_path, attempt=2)

    assert (workspace.tree / "calc.py").exists()


async def test_the_cache_may_go_while_an_attempt_works(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)
    shutil.rmtree(tmp_path / "root" / "cache")
    (workspace.tree / "more.py").write_text("y = 2\n")

    assert await workspace.differs()


async def test_the_diff_shows_what_was_changed_added_and_removed(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)
    (workspace.tree / "calc.py").unlink()
    (workspace.tree / "sub").mkdir()
    (workspace.tree / "sub" / "new.py").write_text("hello = 1\n")

    patch = await workspace.snapshot_diff()

    assert "+hello = 1" in patch
    assert "-def add(a, b):" in patch


async def test_ignored_files_are_no_difference(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "out").write_text("x")

    assert not await workspace.differs()


async def test_a_workspace_is_found_again_after_a_restart(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)

    assert workspace == Workspace.reopen(tmp_path / "root", 1)
    assert Workspace.reopen(tmp_path / "root", 2) is None


async def test_a_workspace_with_closed_directories_can_be_removed(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)
    closed = workspace.tree / "closed" / "deeper"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    closed.chmod(0)
    closed.parent.chmod(0)

    await workspace.remove()

    assert not workspace.directory.exists()


async def test_the_token_is_neither_in_the_files_nor_in_the_arguments(hub, tmp_path):
    remote = Remote("http://127.0.0.1:9/git/x.git", token="act_agent_canary")
    with pytest.raises(WorkspaceFailed):
        await Workspace.prepare(remote=remote, attempt=1, root=tmp_path / "root")

    everything = subprocess.run(["grep", "-r", "act_agent_canary", str(tmp_path)], capture_output=True, check=False)
    assert b"" == everything.stdout
    assert "act_agent_canary" not in repr(remote)


@pytest.mark.parametrize(
    "name", ["", "-x", "--upload-pack=touch x", "a..b", "a b", "a\nb", "a~1", "a^", "a:b", "@{-1}", "x.lock", "/x", "x/",
             ".hidden", "a//b", "a/.b", "refs\x00"],
)  # fmt: skip
def test_a_name_that_git_could_misread_is_no_branch(name):
    with pytest.raises(BadName):
        checked_branch(name)


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% x", "EXT::sh", "-oProxyCommand=x", "--upload-pack=x", "ssh://host/x", "git@host:x",
            "http://user:pass@host/x", "http://-oProxy/x", "relative/path", "http://host/x\n", "file://host/x", ""],
)  # fmt: skip
def test_an_address_that_git_could_misread_is_refused(url):
    with pytest.raises(BadName):
        checked_url(url)


async def test_git_says_what_went_wrong(hub, tmp_path):
    workspace = await prepared(hub, tmp_path)

    with pytest.raises(GitFailed) as failed:
        await workspace.git.run("cat-file", "blob", "trunk:nothing")

    assert "nothing" in failed.value.message
