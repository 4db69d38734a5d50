from __future__ import annotations

import os
from pathlib import Path

import pytest

from apps.events.refused import Refused, Stale
from apps.repos import mirror
from apps.repos.trusted import GitFailed, Invalid, git
from tests.apps.repos.workbench import Workbench


@pytest.fixture
def upstream(tmp_path: Path, bench: Workbench) -> Path:
    path = tmp_path / "upstream.git"
    bench.git("clone", "--quiet", "--bare", str(bench.path), str(path))
    return path


@pytest.fixture
def follower(tmp_path: Path, upstream: Path) -> Path:
    path = tmp_path / "mirrors" / "sample.git"
    mirror.create(path, str(upstream), allow_local=True)
    return path


def sync(path: Path, upstream: Path) -> mirror.Synced:
    return mirror.sync(path, str(upstream), allow_local=True)


def publish(bench: Workbench, upstream: Path, branch: str = "main") -> str:
    bench.git("push", "--quiet", "--force", str(upstream), f"HEAD:refs/heads/{branch}")
    return bench.head


def test_a_mirror_is_empty_until_it_is_synced_and_then_has_the_upstreams_branches(follower, upstream, bench):
    assert {} == mirror.branches(follower)

    synced = sync(follower, upstream)

    assert (mirror.Moved("main", None, bench.head),) == synced.moved
    assert {"main": bench.head} == mirror.branches(follower)
    assert () == sync(follower, upstream).moved


def test_making_a_mirror_again_keeps_what_is_in_it(follower, upstream, bench):
    sync(follower, upstream)
    (follower / "hooks" / "pre-receive").unlink()

    mirror.create(follower, str(upstream), allow_local=True)

    assert bench.head == mirror.head(follower, "main")
    assert (follower / "hooks" / "pre-receive").stat().st_mode & 0o111


def test_the_default_branch_is_the_upstreams_whatever_its_name(tmp_path, bench, follower, upstream):
    bench.git("push", "--quiet", str(upstream), "HEAD:refs/heads/trunk")
    git(upstream, "symbolic-ref", "HEAD", "refs/heads/trunk")

    assert "trunk" == sync(follower, upstream).default_branch
    assert "trunk" == mirror.head_branch(follower)


def test_a_branch_follows_its_upstream_forwards_backwards_and_away(follower, upstream, bench):
    first = bench.head
    sync(follower, upstream)
    second = bench.commit({"a": "1"})
    publish(bench, upstream)
    publish(bench, upstream, "side")

    assert (mirror.Moved("main", first, second), mirror.Moved("side", None, second)) == sync(follower, upstream).moved

    bench.git("reset", "--quiet", "--hard", first)
    publish(bench, upstream)
    git(upstream, "update-ref", "-d", "refs/heads/side")

    assert {mirror.Moved("main", second, first), mirror.Moved("side", second, None)} == set(
        sync(follower, upstream).moved
    )
    assert {"main": first} == mirror.branches(follower)


def test_what_agents_pushed_survives_every_sync(follower, upstream, bench):
    sync(follower, upstream)
    work = bench.commit({"a": "1"})
    bench.git("push", "--quiet", str(upstream), "HEAD:refs/heads/agentcom/eve/1-x")
    git(follower, "fetch", "--no-write-fetch-head", str(bench.path), f"{work}:refs/heads/agentcom/ada/2-y",
        f"{work}:refs/agentcom/salvage/7", protocols=("file",))  # fmt: skip

    sync(follower, upstream)

    assert {"main", "agentcom/ada/2-y"} == set(mirror.branches(follower))
    assert work == mirror.reference(follower, "refs/agentcom/salvage/7")


def test_a_merge_that_is_not_at_the_upstream_yet_is_not_lost(follower, upstream, bench):
    first = bench.head
    sync(follower, upstream)
    merged = bench.commit({"a": "1"})
    git(follower, "fetch", "--no-write-fetch-head", str(bench.path), "main:refs/heads/main", protocols=("file",))

    assert () == sync(follower, upstream).moved
    assert merged == mirror.head(follower, "main")

    bench.git("reset", "--quiet", "--hard", first)
    bench.commit({"b": "2"})
    publish(bench, upstream)

    assert ("main",) == sync(follower, upstream).diverged
    assert merged == mirror.head(follower, "main")


def test_branches_may_trade_a_name_for_names_below_it(follower, upstream, bench):
    publish(bench, upstream, "topic")
    sync(follower, upstream)
    git(upstream, "update-ref", "-d", "refs/heads/topic")
    publish(bench, upstream, "topic/one")

    sync(follower, upstream)

    assert {"main", "topic/one"} == set(mirror.branches(follower))


def test_tags_come_along(follower, upstream, bench):
    bench.git("push", "--quiet", str(upstream), "HEAD:refs/tags/v1")

    sync(follower, upstream)

    assert bench.head == mirror.reference(follower, "refs/tags/v1")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_repositories_of_another_user_are_read_all_the_same(follower, upstream, bench):
    for path in (follower, upstream):
        for file in (path, *path.rglob("*")):
            os.chown(file, 65534, 65534)

    assert bench.head == sync(follower, upstream).moved[0].new


def test_an_empty_upstream_is_no_error(tmp_path, follower):
    empty = tmp_path / "empty.git"
    git(None, "init", "--quiet", "--bare", str(empty))

    assert mirror.Synced("main") == sync(follower, empty)


def test_an_unreachable_upstream_is_told_and_changes_nothing(tmp_path, follower, upstream, bench):
    sync(follower, upstream)

    with pytest.raises(GitFailed):
        sync(follower, tmp_path / "nowhere")

    assert bench.head == mirror.head(follower, "main")


def test_a_local_upstream_needs_permission(follower, upstream):
    with pytest.raises(Invalid):
        mirror.sync(follower, str(upstream))


def test_pushing_back_moves_the_upstream_only_from_where_it_was(follower, upstream, bench):
    first = bench.head
    sync(follower, upstream)
    new = bench.commit({"a": "1"})
    git(follower, "fetch", "--no-write-fetch-head", str(bench.path), "main:refs/heads/landing", protocols=("file",))

    mirror.push_back(follower, str(upstream), "main", new, first, allow_local=True)

    assert new == mirror.head(upstream, "main")
    with pytest.raises(Stale):
        mirror.push_back(follower, str(upstream), "main", first, first, allow_local=True)
    with pytest.raises(Stale):
        mirror.push_back(follower, str(upstream), "main", first, None, allow_local=True)
    assert new == mirror.head(upstream, "main")


def test_a_branch_that_is_new_at_the_upstream_is_pushed_with_no_old_value(follower, upstream, bench):
    sync(follower, upstream)

    mirror.push_back(follower, str(upstream), "agentcom/ada/1-x", bench.head, None, allow_local=True)

    assert bench.head == mirror.head(upstream, "agentcom/ada/1-x")


def test_a_repository_without_upstream_is_filled_once(bare, bench):
    assert {"main": bench.head} == mirror.branches(bare)

    with pytest.raises(Refused) as refused:
        mirror.seed(bare, bench.path)

    assert "already_seeded" == refused.value.code


def test_nobody_pushes_past_the_gateway(bare, bench):
    done = bench.run("push", str(bare), "HEAD:refs/heads/agentcom/ada/1-x")

    assert done.returncode != 0
    assert b"only through the hub" in done.stderr
    assert {"main"} == set(mirror.branches(bare))


def test_the_log_of_a_branch_can_start_where_another_ends(bare, bench, give):
    start = bench.head
    bench.commit({"a": "1"}, "Second — with a dash.")
    tip = give("main", bench.commit({"a": "2"}, "Third."))

    log = mirror.log(bare, tip, since=start)

    assert ["Third.", "Second — with a dash."] == [commit.subject for commit in log]
    assert (start,) == log[1].parents
    assert 1 == len(mirror.log(bare, tip, limit=1))


def test_the_file_tree_is_listed_up_to_a_limit(bare, bench):
    assert mirror.Tree(("README.md", "src/app.py")) == mirror.tree(bare, bench.head)
    assert mirror.Tree(("README.md",), truncated=True) == mirror.tree(bare, bench.head, limit=1)


def test_a_file_is_read_up_to_a_limit_and_a_missing_one_is_none(bare, bench):
    assert b"hello\n" == mirror.read(bare, bench.head, "README.md")
    assert b"he" == mirror.read(bare, bench.head, "README.md", max_bytes=2)
    assert mirror.read(bare, bench.head, "missing") is None


def test_a_mirror_that_was_never_made_is_named(tmp_path, upstream):
    with pytest.raises(mirror.MirrorMissing) as refused:
        sync(tmp_path / "sample.git", upstream)

    assert "sample" in refused.value.message


def test_maintenance_keeps_every_reference(bare, bench):
    mirror.maintain(bare)

    assert bench.head == mirror.head(bare, "main")


def test_many_references_are_looked_up_at_once_and_only_by_their_whole_names(bare, bench, give):
    give("agentcom/ada/1-x")
    wanted = ["refs/heads/main", "refs/heads/agentcom/ada", "refs/heads/missing"]

    assert {"refs/heads/main": bench.git("rev-parse", "main")} == mirror.references(bare, wanted)
    assert {} == mirror.references(bare, [])
