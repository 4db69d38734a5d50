"""Publishing to a real repository: what arrives there, and what is refused."""

import os

import pytest

from sidecar.git import BadName, Remote
from sidecar.publish import NoChange, NotPublished, commit_type, message, publish
from sidecar.tree import leaves, looks_like_git
from sidecar.wire.nouns import Identity

ADA = Identity(name="GCU Ada", email="gcu-ada@agents.example.org")
BRANCH = "agentcom/gcu-ada/7-fix-add"


@pytest.fixture
def push(hub_repository):
    async def pushed(workspace, branch=BRANCH, text="fix: add\n", **more):
        remote = Remote(str(hub_repository))
        return await publish(workspace, branch=branch, message=text, author=ADA, remote=remote, **more)

    return pushed


async def test_the_work_arrives_as_one_commit_of_the_agent_on_its_branch(hub_repository, prepare, push, git):
    workspace = await prepare()
    (workspace.tree / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    (workspace.tree / "new").mkdir()
    (workspace.tree / "new" / "file.txt").write_text("hello\n")

    pushed = await push(workspace, text=message("Fix add", task=7, attempt=41))

    assert pushed.commit == git(hub_repository, "rev-parse", BRANCH)
    assert pushed.tree == git(hub_repository, "rev-parse", f"{BRANCH}^{{tree}}")
    assert pushed.base == git(hub_repository, "rev-parse", f"{BRANCH}^")
    assert (2, 2, 1) == (pushed.files, pushed.added, pushed.deleted)
    assert "GCU Ada <gcu-ada@agents.example.org>" == git(hub_repository, "log", "-1", "--format=%an <%ae>", BRANCH)
    assert "fix: Fix add" == git(hub_repository, "log", "-1", "--format=%s", BRANCH)
    trailers = git(hub_repository, "log", "-1", "--format=%(trailers:only)", BRANCH)
    assert "AgentCom-Task: 7\nAgentCom-Attempt: 41" == trailers


async def test_nothing_else_on_the_hub_moves(hub_repository, prepare, push, git):
    before = git(hub_repository, "for-each-ref")
    workspace = await prepare()
    (workspace.tree / "x").write_text("x")

    await push(workspace)

    after = git(hub_repository, "for-each-ref").splitlines()
    assert before.splitlines() == [line for line in after if BRANCH not in line]
    assert 2 == len(after)


async def test_work_that_changed_nothing_is_no_success(prepare, push, hub_repository, git):
    workspace = await prepare()
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "ignored").write_text("x")

    with pytest.raises(NoChange):
        await push(workspace)

    assert "" == git(hub_repository, "for-each-ref", "refs/heads/agentcom/")


async def test_what_was_verified_is_published_and_not_what_came_after(prepare, push, hub_repository, git):
    workspace = await prepare()
    (workspace.tree / "work.txt").write_text("verified\n")
    verified = await workspace.snapshot()
    (workspace.tree / "litter.txt").write_text("from a test run\n")

    await push(workspace, tree=verified)

    assert "litter.txt" not in git(hub_repository, "ls-tree", "-r", "--name-only", BRANCH)


async def test_removed_and_executable_files_are_recorded(prepare, push, hub_repository, git):
    workspace = await prepare()
    (workspace.tree / "calc.py").unlink()
    (workspace.tree / "run.sh").write_text("#!/bin/sh\n")
    (workspace.tree / "run.sh").chmod(0o755)

    await push(workspace)

    listing = git(hub_repository, "ls-tree", "-r", BRANCH)
    assert "calc.py" not in listing
    assert any(line.startswith("100755") and line.endswith("run.sh") for line in listing.splitlines())


async def refusal(push, workspace):
    with pytest.raises(NotPublished) as refused:
        await push(workspace)
    return refused.value


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "a/../../outside", "sub/link/../../.."])
async def test_a_link_out_of_the_tree_is_refused(prepare, push, target):
    workspace = await prepare()
    (workspace.tree / "link").symlink_to(target)

    assert "'link' is a symbolic link out of the repository" in (await refusal(push, workspace)).message


async def test_a_link_inside_the_tree_is_work_like_any_other(prepare, push, hub_repository, git):
    workspace = await prepare()
    (workspace.tree / "sub").mkdir()
    (workspace.tree / "sub" / "link").symlink_to("../calc.py")

    await push(workspace)

    assert "120000" in git(hub_repository, "ls-tree", BRANCH, "sub/")


async def test_a_repository_inside_the_work_is_refused_with_its_place(prepare, push, git):
    workspace = await prepare()
    (workspace.tree / "sub").mkdir()
    git(workspace.tree / "sub", "init", "-q")

    refused = await refusal(push, workspace)

    assert "embedded_repository" == refused.code
    assert "sub/.git" in refused.message


async def test_a_repository_that_is_ignored_is_nobodys_business(prepare, push, git):
    workspace = await prepare()
    (workspace.tree / "build" / "dependency").mkdir(parents=True)
    git(workspace.tree / "build" / "dependency", "init", "-q")
    (workspace.tree / "work").write_text("x")

    assert 1 == (await push(workspace)).files


async def test_a_submodule_that_appears_is_refused(prepare, push, git):
    workspace = await prepare()
    scratch = workspace.git
    await scratch.run("update-index", "--add", "--cacheinfo", f"160000,{workspace.base},sub")
    (workspace.tree / "sub").mkdir()
    tree = await scratch.text("write-tree")

    with pytest.raises(NotPublished) as refused:
        await push(workspace, tree=tree)

    assert "'sub' is a submodule" in refused.value.message


@pytest.mark.parametrize("name", [".GITIGNORE", ".gitmodules", "git~2", ".Git\u200cattributes", ".gitattributes."])
async def test_a_name_that_is_gits_own_elsewhere_is_refused(prepare, push, name):
    workspace = await prepare()
    (workspace.tree / name).write_text("x")

    refused = await refusal(push, workspace)

    assert "unsafe_tree" == refused.code


async def test_a_file_over_the_limit_is_refused_before_it_is_read(prepare, push):
    workspace = await prepare()
    with (workspace.tree / "huge").open("wb") as file:
        file.truncate(50 * 2**30)

    assert "file_too_large" == (await refusal(push, workspace)).code


async def test_a_large_file_that_is_ignored_is_nobodys_business(prepare, push):
    workspace = await prepare()
    (workspace.tree / "build").mkdir()
    with (workspace.tree / "build" / "huge").open("wb") as file:
        file.truncate(50 * 2**30)
    (workspace.tree / "work").write_text("x")

    assert 1 == (await push(workspace)).files


async def test_work_that_is_too_large_as_a_whole_is_refused_before_it_is_read(prepare, push, monkeypatch):
    monkeypatch.setattr("sidecar.workspace.MAX_WORK_BYTES", 2**20)
    workspace = await prepare()
    for number in range(3):
        (workspace.tree / f"{number}.bin").write_bytes(b"x" * 2**19)

    with pytest.raises(NotPublished, match="more than 1 MB of new files") as refused:
        await push(workspace)

    assert "work_too_large" == refused.value.code


async def test_a_large_tree_is_no_large_work(prepare, push, monkeypatch):
    monkeypatch.setattr("sidecar.workspace.MAX_WORK_BYTES", 2**20)
    workspace = await prepare()
    (workspace.tree / "build").mkdir()
    (workspace.tree / "build" / "ignored.bin").write_bytes(b"x" * 2**21)
    (workspace.tree / "calc.py").write_text("fixed = 1\n")

    assert 1 == (await push(workspace)).files


async def test_a_pipe_in_the_work_is_refused_and_nobody_waits_for_it(prepare, push):
    workspace = await prepare()
    os.mkfifo(workspace.tree / "pipe")

    assert "special_file" == (await refusal(push, workspace)).code


async def test_a_tree_that_was_deleted_is_an_error_with_a_name(prepare, push):
    workspace = await prepare()
    for path in [*workspace.tree.iterdir()]:
        path.unlink()
    workspace.tree.rmdir()

    assert "tree_missing" == (await refusal(push, workspace)).code


async def test_the_hubs_refusal_comes_through_in_its_own_words(prepare, push, hub_repository):
    hook = hub_repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'agentcom: refused, this is not your branch' >&2\nexit 1\n")
    hook.chmod(0o755)
    workspace = await prepare()
    (workspace.tree / "x").write_text("x")

    refused = await refusal(push, workspace)

    assert "push_refused" == refused.code
    assert "remote: agentcom: refused, this is not your branch" in refused.message


@pytest.mark.parametrize("branch", ["-x", "a b", "x:refs/heads/trunk", "../trunk", ""])
async def test_a_branch_that_git_could_misread_is_never_pushed(prepare, push, branch):
    workspace = await prepare()
    (workspace.tree / "x").write_text("x")

    with pytest.raises(BadName):
        await push(workspace, branch=branch)


async def test_an_identity_cannot_forge_another_line_of_the_commit(prepare, hub_repository, git):
    workspace = await prepare()
    (workspace.tree / "x").write_text("x")
    forger = Identity(name="A>\nauthor B <b@x>", email="a@x>\n\nfeat: other")

    remote = Remote(str(hub_repository))
    await publish(workspace, branch=BRANCH, message="fix: x\n", author=forger, remote=remote)

    assert "fix: x" == git(hub_repository, "log", "-1", "--format=%B", BRANCH)


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        ("Fix the crash in add", "fix"),
        ("Add a subtract function", "feat"),
        ("Add tests for add", "test"),
        ("Write documentation for setup", "docs"),
        ("Rename the module", "refactor"),
        ("Upgrade the lock file", "chore"),
        ("feat(api): paging", "feat"),
        ("prefix handling", "chore"),
    ],
)
def test_the_kind_of_a_commit_follows_from_its_title(title, kind):
    assert kind == commit_type(title)


def test_a_title_of_many_lines_stays_one_line():
    assert "fix: fix a b\n\nAgentCom-Task: 1\nAgentCom-Attempt: 2\n" == message("fix a\n\nb", task=1, attempt=2)
    assert message("feat: paging", task=1, attempt=2).startswith("feat: paging\n")


@pytest.mark.parametrize("name", [".git", ".GIT", "git~1", ".git ", ".git.", ".g\u200cit", ".git:x", ".GITMODULES"])
def test_names_of_git_are_known_in_every_disguise(name):
    assert looks_like_git(name)


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes", ".github", ".gitlab-ci.yml", "git", "x.git", ".gitx"])
def test_ordinary_names_are_not_taken_for_gits(name):
    assert not looks_like_git(name)


def test_links_are_judged_by_where_they_may_lead():
    assert not leaves("a/b/link", "../../c")
    assert leaves("a/b/link", "../../../c")
    assert leaves("link", "a/..")
