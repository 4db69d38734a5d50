"""Every way we know to make git run a program from a work tree, planted in a real one: ours runs none of them.

Each vector ends in the same canary program, which leaves a file. The last test shows that the plants are live: plain
git in the same tree does run them.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.git import GitFailed, Remote
from sidecar.publish import NotPublished, publish
from sidecar.salvage import salvage
from sidecar.tree import NotAWork
from sidecar.wire.nouns import Identity

ADA = Identity(name="Ada", email="ada@example.org")
HOOKS = ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "pre-push", "post-checkout", "post-merge",
         "post-index-change", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman", "post-rewrite"]  # fmt: skip
PROGRAM_SETTINGS = {
    "fsmonitor": "[core]\n\tfsmonitor = {canary}\n",
    "ssh command": "[core]\n\tsshCommand = {canary}\n",
    "editor": "[core]\n\teditor = {canary}\n[sequence]\n\teditor = {canary}\n",
    "pager": "[core]\n\tpager = {canary}\n[pager]\n\tdiff = {canary}\n\tlog = {canary}\n",
    "ask pass": "[core]\n\taskPass = {canary}\n",
    "git proxy": "[core]\n\tgitProxy = {canary}\n",
    "alternate refs": "[core]\n\talternateRefsCommand = {canary}\n",
    "external diff": "[diff]\n\texternal = {canary}\n",
    "signing": "[commit]\n\tgpgSign = true\n[push]\n\tgpgSign = if-asked\n[gpg]\n\tprogram = {canary}\n",
    "credential helper": "[credential]\n\thelper = !{canary}\n",
    "alias": "[alias]\n\tadd = !{canary}\n\tpush = !{canary}\n\twrite-tree = !{canary}\n",
    "another address": '[url "ext::{canary} "]\n\tinsteadOf = /\n\tpushInsteadOf = /\n[protocol]\n\tallow = always\n',
    "another work tree": "[core]\n\tworktree = /\n\tbare = false\n",
    "trailers": '[trailer "AgentCom-Task"]\n\tcommand = {canary}\n',
    "pack and receive": '[uploadpack]\n\tpackObjectsHook = {canary}\n[remote "origin"]\n\treceivepack = {canary}\n',
    "merge driver": '[merge "x"]\n\tdriver = {canary}\n[filter "x"]\n\tclean = {canary}\n\tsmudge = {canary}\n',
}


@pytest.fixture
def canary(tmp_path):
    """A program that leaves `ran` beside itself."""
    program = tmp_path / "canary" / "run"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {program.parent}/ran\ncat\n")
    program.chmod(0o755)
    return program


def has_run(canary: Path) -> bool:
    return (canary.parent / "ran").exists()


async def everything_we_do(workspace, hub_repository):
    """What happens to a tree after a command has had it: looked at, compared, recorded, pushed, salvaged."""
    remote = Remote(str(hub_repository))
    (workspace.tree / "work.txt").write_text("work\n")
    assert await workspace.differs()
    try:
        await workspace.snapshot_diff()
        await publish(workspace, branch="agentcom/ada/1-x", message="chore: x\n", author=ADA, remote=remote)
        published = True
    except (NotPublished, NotAWork, GitFailed):
        published = False
    salvaged = await salvage(workspace, remote=remote)
    assert salvaged.ref, salvaged.kept
    return published


@pytest.mark.parametrize("name", PROGRAM_SETTINGS)
async def test_settings_of_a_repository_made_in_the_tree_run_nothing(name, prepare, hub_repository, canary, git):
    workspace = await prepare()
    git(workspace.tree, "init", "-q")
    with (workspace.tree / ".git" / "config").open("a") as config:
        config.write(PROGRAM_SETTINGS[name].format(canary=canary))
    (workspace.tree / ".gitattributes").write_text("* filter=x merge=x diff=x\n")

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_hooks_in_the_tree_run_nothing(prepare, hub_repository, canary, git):
    workspace = await prepare()
    git(workspace.tree, "init", "-q")
    hooks = workspace.tree / ".git" / "hooks"
    shutil.rmtree(hooks, ignore_errors=True)
    hooks.mkdir()
    for name in HOOKS:
        shutil.copy(canary, hooks / name)
    with (workspace.tree / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\thooksPath = {hooks}\n")

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


@pytest.mark.parametrize("attribute", ["filter", "diff", "merge"])
async def test_attributes_run_nothing(attribute, prepare, hub_repository, canary, git):
    workspace = await prepare()
    git(workspace.tree, "init", "-q")
    settings = f'[filter "x"]\n\tclean = {canary}\n\tsmudge = {canary}\n\tprocess = {canary}\n\trequired = true\n'
    settings += f'[diff "x"]\n\tcommand = {canary}\n\ttextconv = {canary}\n[merge "x"]\n\tdriver = {canary}\n'
    with (workspace.tree / ".git" / "config").open("a") as config:
        config.write(settings)
    (workspace.tree / ".gitattributes").write_text(f"* {attribute}=x\n*.bin filter=lfs diff=lfs merge=lfs\n")
    (workspace.tree / "large.bin").write_bytes(b"\0" * 1000)

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_a_git_file_that_points_elsewhere_is_not_followed(prepare, hub_repository, canary, git, tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    git(evil, "init", "-q")
    (evil / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {canary}\n\trepositoryformatversion = 0\n")
    workspace = await prepare()
    (workspace.tree / ".git").write_text(f"gitdir: {evil / '.git'}\n")

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_a_link_named_git_is_not_followed(prepare, hub_repository, canary, git, tmp_path):
    evil = tmp_path / "evil"
    evil.mkdir()
    git(evil, "init", "-q")
    (evil / ".git" / "config").write_text(f"[core]\n\tfsmonitor = {canary}\n\trepositoryformatversion = 0\n")
    workspace = await prepare()
    (workspace.tree / ".git").symlink_to(evil / ".git")

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


@pytest.mark.parametrize("committed", [True, False])
async def test_a_repository_below_the_tree_runs_nothing(committed, prepare, hub_repository, canary, git):
    workspace = await prepare()
    inner = workspace.tree / "sub"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "file").write_text("x")
    if committed:
        git(inner, "add", "file")
        git(inner, "commit", "-q", "-m", "inner")
    with (inner / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {canary}\n\thooksPath = {canary.parent}\n")

    assert not await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_a_directory_of_the_base_that_becomes_a_repository_runs_nothing(
    prepare, hub_repository, elsewhere, canary, git
):
    (elsewhere / "sub").mkdir()
    (elsewhere / "sub" / "file").write_text("x")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "sub")
    git(elsewhere, "push", "-q", "origin", "trunk")
    workspace = await prepare()
    git(workspace.tree / "sub", "init", "-q")
    with (workspace.tree / "sub" / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {canary}\n")

    await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_a_submodule_of_the_base_that_is_filled_in_runs_nothing(prepare, hub_repository, elsewhere, canary, git):
    head = git(elsewhere, "rev-parse", "HEAD")
    git(elsewhere, "update-index", "--add", "--cacheinfo", f"160000,{head},module")
    (elsewhere / ".gitmodules").write_text(
        f'[submodule "module\r"]\n\tpath = module\n\turl = {hub_repository}\n\tupdate = !{canary}\n'
    )
    git(elsewhere, "add", ".gitmodules")
    git(elsewhere, "commit", "-q", "-m", "module")
    git(elsewhere, "push", "-q", "origin", "trunk")
    workspace = await prepare()
    git(workspace.tree, "clone", "-q", str(hub_repository), "module")
    with (workspace.tree / "module" / ".git" / "config").open("a") as config:
        config.write(f"[core]\n\tfsmonitor = {canary}\n")

    await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_a_bare_repository_among_the_files_runs_nothing(prepare, hub_repository, canary, git):
    workspace = await prepare()
    git(workspace.tree, "init", "-q", "--bare", "looks-like-data")
    for place in (workspace.tree / "looks-like-data", workspace.tree):
        with (place / "config").open("a") as config:
            config.write(f"[core]\n\tfsmonitor = {canary}\n\tbare = false\n\tworktree = {place}\n")
    (workspace.tree / "HEAD").write_text("ref: refs/heads/main\n")
    for name in ("objects", "refs"):
        (workspace.tree / name).mkdir()

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_what_the_sidecars_own_user_has_configured_runs_nothing(
    prepare, hub_repository, canary, monkeypatch, tmp_path
):
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    for place in (home / ".gitconfig", home / ".config" / "git" / "config"):
        place.write_text("".join(PROGRAM_SETTINGS.values()).format(canary=canary))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR", "GIT_PAGER", "GIT_PROXY_COMMAND"):
        monkeypatch.setenv(name, str(canary))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(canary))
    workspace = await prepare()

    assert await everything_we_do(workspace, hub_repository)
    assert not has_run(canary)


async def test_the_plants_are_live_for_plain_git(canary, git, tmp_path):
    tree = tmp_path / "plain"
    tree.mkdir()
    git(tree, "init", "-q")
    ran = []
    for name in ("fsmonitor", "merge driver"):
        (canary.parent / "ran").unlink(missing_ok=True)
        (tree / ".git" / "config").write_text(
            "[core]\n\trepositoryformatversion = 0\n" + PROGRAM_SETTINGS[name].format(canary=canary)
        )
        (tree / ".gitattributes").write_text("* filter=x\n")
        (tree / name).write_text("x")
        await _plain(tree, "add", "-A")
        ran += [name] if has_run(canary) else []

    assert ["fsmonitor", "merge driver"] == ran


async def _plain(tree: Path, *words: str) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", "-C", str(tree), *words], capture_output=True, check=False, env=own)  # noqa: ASYNC221 - short
