"""Workspaces against real repositories on disk."""

import shutil

import pytest

from sidecar.git import BadName, GitFailed, Remote, checked_branch, checked_url
from sidecar.workspace import Workspace, WorkspaceFailed


async def test_an_attempt_starts_from_the_default_branch_whatever_its_name(hub_repository, prepare, git):
    workspace = await prepare()

    assert "trunk" == workspace.branch
    assert git(hub_repository, "rev-parse", "trunk") == workspace.base
    assert git(hub_repository, "rev-parse", "trunk^{tree}") == workspace.base_tree
    assert not (workspace.tree / ".git").exists()
    assert not await workspace.differs()


async def test_a_new_attempt_sees_what_was_pushed_meanwhile(elsewhere, prepare, git):
    await prepare()
    (elsewhere / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    git(elsewhere, "commit", "-q", "-a", "-m", "second")
    git(elsewhere, "push", "-q", "origin", "trunk")

    second = await prepare(attempt=2)

    assert "return a + b" in (second.tree / "calc.py").read_text()


async def test_a_follow_up_starts_from_the_branch_of_the_pull_request(elsewhere, prepare, git):
    git(elsewhere, "checkout", "-q", "-b", "agentcom/ada/7-fix")
    (elsewhere / "new.py").write_text("x = 1\n")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "work")
    git(elsewhere, "push", "-q", "origin", "agentcom/ada/7-fix")

    workspace = await prepare(start="agentcom/ada/7-fix")

    assert (workspace.tree / "new.py").exists()
    assert git(elsewhere, "rev-parse", "HEAD") == workspace.base


async def test_a_verifier_gets_exactly_the_commit_it_asks_for(hub_repository, elsewhere, prepare, git):
    first = git(hub_repository, "rev-parse", "trunk")
    (elsewhere / "calc.py").write_text("later\n")
    git(elsewhere, "commit", "-q", "-a", "-m", "second")
    git(elsewhere, "push", "-q", "origin", "trunk")

    workspace = await prepare(start=first)

    assert first == workspace.base
    assert "later" not in (workspace.tree / "calc.py").read_text()


async def test_a_commit_that_no_branch_holds_is_asked_for_by_its_hash(hub_repository, elsewhere, prepare, git):
    (elsewhere / "calc.py").write_text("aside\n")
    git(elsewhere, "commit", "-q", "-a", "-m", "aside")
    git(elsewhere, "push", "-q", "origin", "HEAD:refs/agentcom/aside")
    git(hub_repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    aside = git(elsewhere, "rev-parse", "HEAD")

    workspace = await prepare(start=aside)

    assert "aside\n" == (workspace.tree / "calc.py").read_text()


async def test_an_empty_repository_is_named_as_such(git, tmp_path):
    git(tmp_path, "init", "-q", "--bare", "empty.git")

    with pytest.raises(WorkspaceFailed) as failed:
        await Workspace.prepare(remote=Remote(str(tmp_path / "empty.git")), attempt=1, root=tmp_path / "root")

    assert "empty_repository" == failed.value.code


async def test_a_missing_branch_and_a_missing_commit_are_named(prepare):
    with pytest.raises(WorkspaceFailed) as branch:
        await prepare(start="nowhere")
    with pytest.raises(WorkspaceFailed) as commit:
        await prepare(start="0123456789abcdef0123456789abcdef01234567")

    assert ("branch_missing", "commit_missing") == (branch.value.code, commit.value.code)


async def test_a_missing_repository_is_told_in_gits_words(tmp_path):
    with pytest.raises(WorkspaceFailed) as failed:
        await Workspace.prepare(remote=Remote(str(tmp_path / "nowhere.git")), attempt=1, root=tmp_path / "root")

    assert "fetch_failed" == failed.value.code
    assert "nowhere.git" in failed.value.message


async def test_a_corrupt_cache_is_made_anew(prepare, git, tmp_path):
    await prepare()
    (cache,) = (tmp_path / "root" / "cache").glob("*.git")
    shutil.rmtree(cache / "objects")
    (cache / "objects").mkdir()

    workspace = await prepare(attempt=2)

    assert (workspace.tree / "calc.py").exists()


async def test_the_cache_may_go_while_an_attempt_works(prepare, tmp_path):
    workspace = await prepare()
    shutil.rmtree(tmp_path / "root" / "cache")
    (workspace.tree / "more.py").write_text("y = 2\n")

    assert await workspace.differs()


async def test_the_diff_shows_what_was_changed_added_and_removed(prepare):
    workspace = await prepare()
    (workspace.tree / "calc.py").unlink()
    (workspace.tree / "sub").mkdir()
    (workspace.tree / "sub" / "new.py").write_text("hello = 1\n")

    patch = await workspace.snapshot_diff()

    assert "+hello = 1" in patch
    assert "-def add(a, b):" in patch


async def test_ignored_files_are_no_difference(prepare):
    workspace = await prepare()
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "out").write_text("x")

    assert not await workspace.differs()


async def test_a_workspace_is_found_again_after_a_restart(prepare, tmp_path):
    workspace = await prepare()

    assert workspace == Workspace.reopen(tmp_path / "root", 1)
    assert Workspace.reopen(tmp_path / "root", 2) is None


async def test_a_workspace_with_closed_directories_can_be_removed(prepare):
    workspace = await prepare()
    closed = workspace.tree / "closed" / "deeper"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    closed.chmod(0)
    closed.parent.chmod(0)

    await workspace.remove()

    assert not workspace.directory.exists()


async def test_the_token_is_neither_in_the_files_nor_in_the_arguments(prepare, git, tmp_path):
    remote = Remote("http://127.0.0.1:9/git/x.git", token="act_agent_canary")
    with pytest.raises(WorkspaceFailed):
        await Workspace.prepare(remote=remote, attempt=1, root=tmp_path / "root")

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file() and b"canary" in path.read_bytes()]
    assert "act_agent_canary" not in repr(remote)


@pytest.mark.parametrize(
    "name", ["", "-x", "--upload-pack=touch x", "a..b", "a b", "a\nb", "a~1", "a^", "a:b", "@{-1}", "x.lock", "/x",
             "x/", ".hidden", "a//b", "a/.b", "refs\x00"],
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


async def test_git_says_what_went_wrong(prepare):
    workspace = await prepare()

    with pytest.raises(GitFailed) as failed:
        await workspace.git.run("cat-file", "blob", "trunk:nothing")

    assert "nothing" in failed.value.message


@pytest.fixture
def left_behind(hub_repository, elsewhere, git):
    """The commit that an earlier attempt saved: a new file, and a line in an old one."""
    (elsewhere / "new.txt").write_text("half a work\n")
    (elsewhere / "calc.py").write_text("def add(a, b):\n    return b + a\n")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "salvage")
    git(elsewhere, "push", "-q", "origin", "HEAD:refs/agentcom/salvage/1")
    kept = git(elsewhere, "rev-parse", "HEAD")
    git(elsewhere, "reset", "-q", "--hard", "HEAD^")
    return kept


async def test_what_an_earlier_attempt_left_becomes_work_that_is_not_committed(
    left_behind, hub_repository, prepare, git
):
    workspace = await prepare(attempt=2)

    assert await workspace.resume(left_behind, Remote(str(hub_repository)))
    assert "half a work\n" == (workspace.tree / "new.txt").read_text()
    assert git(hub_repository, "rev-parse", "trunk") == workspace.base == await workspace.git.text("rev-parse", "HEAD")
    assert await workspace.differs()
    assert "+half a work" in await workspace.snapshot_diff()


async def test_what_does_not_fit_any_more_is_left_out_whole(left_behind, elsewhere, hub_repository, prepare, git):
    (elsewhere / "calc.py").write_text("def add(a, b):\n    return sum((a, b))\n")
    git(elsewhere, "commit", "-q", "-a", "-m", "meanwhile")
    git(elsewhere, "push", "-q", "origin", "trunk")
    workspace = await prepare(attempt=2)

    assert not await workspace.resume(left_behind, Remote(str(hub_repository)))
    assert not await workspace.resume("0" * 40, Remote(str(hub_repository)))
    assert not (workspace.tree / "new.txt").exists()
    assert not await workspace.differs()


async def test_guarded_files_are_put_back_as_they_were_and_nothing_else_is(hub_repository, prepare, git):
    workspace = await prepare()
    (workspace.tree / "calc.py").unlink()
    (workspace.tree / "new.txt").write_text("stays\n")

    await workspace.put_back(["calc.py"], workspace.base)

    assert git(hub_repository, "show", "trunk:calc.py") == (workspace.tree / "calc.py").read_text().rstrip("\n")
    assert (workspace.tree / "new.txt").exists()
    with pytest.raises(GitFailed):
        await workspace.put_back([":(glob)**"], workspace.base)
