"""By hand, in a person's own checkout: begin, look, and be refused. The hub's copy is a real repository beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sidecar import by_hand, checkout
from sidecar.checkout import BASE, Checkout, HandProblem, Notes
from sidecar.config import Config
from sidecar.git import Remote

CONFIG = Config(hub="http://hub.invalid", name="ada", token="secret")
BRANCH = "agentcom/ada/by-hand-round-totals-up"


def git(where: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{part}": "ann" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    env = {**os.environ, **who}
    done = subprocess.run(["git", *arguments], cwd=where, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(where: Path, name: str, text: str, message: str) -> str:
    (where / name).write_text(text)
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "-m", message)
    return git(where, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine's own git is told is no part of the test."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's copy of `shop`, whose default branch is `trunk`."""
    upstream = tmp_path / "shop"
    git(tmp_path, "init", "--quiet", "--initial-branch=trunk", str(upstream))
    commit(upstream, "total.py", "one\n", "feat: Begin")
    monkeypatch.setattr(by_hand, "remote_of", lambda _, repo: Remote(str(tmp_path / repo)))
    return upstream


@pytest.fixture
def mine(hub: Path, tmp_path: Path) -> Path:
    """A person's clone, which the hub's copy has moved on from."""
    git(tmp_path, "clone", "--quiet", str(hub), "mine")
    commit(hub, "total.py", "one\ntwo\n", "feat: Go on")
    return tmp_path / "mine"


def start(mine: Path, title: str = "Round totals up", **others: str) -> str:
    return by_hand.start(Checkout(mine), CONFIG, title, **others)


def test_it_starts_from_the_default_branch_as_the_hub_has_it_now(mine: Path, hub: Path) -> None:
    branch = start(mine)

    assert BRANCH == branch == git(mine, "branch", "--show-current")
    assert git(hub, "rev-parse", "trunk") == git(mine, "rev-parse", "HEAD")
    assert Notes("shop", "trunk", "Round totals up") == Checkout(mine).notes(branch)


def test_it_starts_from_a_directory_below_the_top(mine: Path) -> None:
    (mine / "deep").mkdir()

    assert BRANCH == start(mine / "deep")


def test_it_does_not_start_over_uncommitted_work(mine: Path) -> None:
    (mine / "total.py").write_text("changed\n")
    (mine / "new.py").write_text("new\n")

    with pytest.raises(HandProblem, match=r"(?s)not committed.*M total\.py.*\?\? new\.py"):
        start(mine)
    assert "trunk" == git(mine, "branch", "--show-current")


def test_it_does_not_start_twice(mine: Path) -> None:
    start(mine)

    with pytest.raises(HandProblem, match=f"git switch {BRANCH}"):
        start(mine)


def test_it_does_not_check_out_a_stranger(mine: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "other")
    commit(tmp_path / "other", "other.py", "other\n", "feat: Something else")

    with pytest.raises(HandProblem, match="shares no history with other"):
        start(mine, repo="other")
    assert (mine / "total.py").exists()


def test_it_starts_in_an_empty_checkout(hub: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")

    start(tmp_path / "empty", repo="shop")

    assert "one\n" == (tmp_path / "empty" / "total.py").read_text()


@pytest.mark.parametrize("repo", ["../shop", "Shop!", "-x"])
def test_it_does_not_ask_the_hub_for_what_can_be_no_repository(mine: Path, repo: str) -> None:
    with pytest.raises(HandProblem, match="--repo SLUG"):
        start(mine, repo=repo)


@pytest.mark.parametrize(
    ("title", "name"),
    [("Fix: Größe & Maß", "fix-groe-ma"), ("a" * 60, "a" * 40), ("  Sort   imports ", "sort-imports"), ("--x", "x")],
)
def test_a_branch_is_named_after_its_title(title: str, name: str) -> None:
    assert name == by_hand.name_of(title)


@pytest.mark.parametrize("title", ["", "  ", "x" * 201, "完了"])
def test_a_title_that_cannot_be_one_is_refused(mine: Path, title: str) -> None:
    with pytest.raises(HandProblem, match="title"):
        start(mine, title)


def test_it_says_where_the_work_stands(mine: Path, hub: Path) -> None:
    start(mine)
    commit(mine, "total.py", "one\ntwo\nthree\n", "fix: Round up")
    commit(mine, "notes.txt", "a\nb\n", "wip")
    (mine / "left.py").write_text("left\n")
    now = by_hand.standing(Checkout(mine), CONFIG)

    assert [("fix: Round up", True), ("wip", False)] == [(one.subject, one.conventional) for one in now.commits]
    assert ["?? left.py"] == now.dirty
    assert "2 files changed, 3 insertions(+)" in now.difference
    assert 0 == now.behind


@pytest.mark.parametrize("verb", [by_hand.standing, by_hand.submit])
def test_the_default_branch_and_bare_commits_are_refused(mine: Path, verb: object) -> None:
    with pytest.raises(HandProblem, match="trunk is not a branch of work by hand"):
        verb(Checkout(mine), CONFIG)  # type: ignore[operator]  # both take these
    git(mine, "checkout", "--quiet", "--detach")

    with pytest.raises(HandProblem, match="No branch is checked out"):
        verb(Checkout(mine), CONFIG)  # type: ignore[operator]


def test_nothing_uncommitted_and_nothing_empty_is_submitted(mine: Path) -> None:
    start(mine)

    with pytest.raises(HandProblem, match="nothing to submit"):
        by_hand.submit(Checkout(mine), CONFIG)
    (mine / "total.py").write_text("changed\n")
    with pytest.raises(HandProblem, match=r"M total\.py"):
        by_hand.submit(Checkout(mine), CONFIG)


def test_another_agents_work_is_not_submitted(mine: Path) -> None:
    start(mine)

    with pytest.raises(HandProblem, match="belongs to another agent than bob"):
        by_hand.submit(Checkout(mine), CONFIG.model_copy(update={"name": "bob"}))


def test_a_directory_without_git_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(HandProblem, match="not a git repository"):
        Checkout(tmp_path)


def test_the_place_is_kept_as_long_as_a_push_takes(mine: Path, hub: Path) -> None:
    start(mine)
    made = commit(mine, "total.py", "three\n", "fix: Round up")
    (mine / ".git" / "hooks" / "pre-push").write_text(
        f"#!/bin/sh\nwhile [ ! -e {mine}/.git/go ]; do sleep 0.02; done\n"
    )
    (mine / ".git" / "hooks" / "pre-push").chmod(0o755)
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        if len(asked) == 3:
            (mine / ".git" / "go").touch()

    Checkout(mine).push(made, BRANCH, Remote(str(hub)), every=0.02, meanwhile=ask)

    assert 3 <= len(asked)
    assert made == git(hub, "rev-parse", BRANCH)


def test_what_the_hub_says_to_a_push_is_said(mine: Path, hub: Path) -> None:
    (hub / ".git" / "hooks" / "pre-receive").write_text("#!/bin/sh\necho 'agentcom: not yours to push' >&2; exit 1\n")
    (hub / ".git" / "hooks" / "pre-receive").chmod(0o755)
    start(mine)
    made = commit(mine, "total.py", "three\n", "fix: Round up")

    with pytest.raises(HandProblem, match="agentcom: not yours to push"):
        Checkout(mine).push(made, BRANCH, Remote(str(hub)), every=5, meanwhile=lambda: None)


def test_the_token_goes_by_the_environment_behind_the_persons_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.abbrev")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "12")
    env = checkout._environment(Remote("http://hub.invalid/git/shop.git", "secret"))

    assert ("2", "core.abbrev", "http.http://hub.invalid/git/shop.git.extraHeader") == (
        env["GIT_CONFIG_COUNT"], env["GIT_CONFIG_KEY_0"], env["GIT_CONFIG_KEY_1"]
    )  # fmt: skip
    assert "Authorization: Bearer secret" == env["GIT_CONFIG_VALUE_1"]


def test_the_base_is_no_branch_of_the_person(mine: Path) -> None:
    start(mine)

    assert BASE not in git(mine, "branch", "--all")
    assert "" == git(mine, "config", "--default", "", f"branch.{BRANCH}.merge")
