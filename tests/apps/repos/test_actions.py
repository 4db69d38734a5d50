"""Registering repositories, keeping them equal to their upstream, and changing their settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from apps.events.models import Event
from apps.events.refused import Invalid, Refused
from apps.repos import actions, jobs, mirror
from apps.repos.models import Repo

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_data_dir(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"


def git(where: Path, *args: str) -> str:
    env = {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(where), "PATH": "/usr/bin:/bin"}
    who = ("-c", "user.name=Upstream", "-c", "user.email=upstream@example.invalid", "-c", "init.defaultBranch=trunk")
    done = subprocess.run(["git", *who, *args], cwd=where, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(where: Path, name: str) -> str:
    (where / name).write_text(f"{name}\n")
    git(where, "add", name)
    git(where, "commit", "-q", "-m", f"Add {name}")
    return git(where, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    where = tmp_path / "Some.Thing.git"
    where.mkdir()
    git(where, "init", "-q")
    commit(where, "one")
    return where


def kinds(repo: Repo) -> list[str]:
    return list(Event.objects.filter(subject=f"repo/{repo.pk}").values_list("kind", flat=True))


def test_a_url_becomes_the_upstream_and_its_default_branch_is_taken_over(upstream: Path) -> None:
    repo = actions.register(f"file://{upstream}", by="ann")

    assert ("some-thing", "trunk", f"file://{upstream}") == (repo.slug, repo.default_branch, repo.url)
    assert git(upstream, "rev-parse", "HEAD") == mirror.head(repo.mirror, "trunk")
    assert ["repo.added"] == kinds(repo)


def test_a_path_is_copied_once_and_the_copy_is_the_repository(upstream: Path) -> None:
    first = git(upstream, "rev-parse", "HEAD")
    repo = actions.register(str(upstream), slug="copied", by="ann")
    commit(upstream, "two")

    assert "" == repo.url
    assert first == mirror.head(repo.mirror, "trunk")
    with pytest.raises(actions.NothingUpstream):
        actions.sync(repo)


def test_an_empty_repository_needs_a_name_only() -> None:
    repo = actions.register(slug="fresh", by="ann")

    assert mirror.exists(repo.mirror)
    assert {} == mirror.branches(repo.mirror)


@pytest.mark.parametrize(
    ("source", "more", "field"),
    [
        ("ext::sh -c id", {}, "url"),
        ("EXT::sh", {}, "url"),
        ("--upload-pack=id", {}, "url"),
        ("/a/../b", {}, "url"),
        ("https://", {}, "url"),
        ("", {}, "slug"),
        ("", {"slug": "../etc"}, "slug"),
        ("", {"slug": "Big"}, "slug"),
        ("", {"slug": "x.git"}, "slug"),
        ("", {"slug": "x", "default_branch": "-b"}, "default_branch"),
        ("", {"slug": "x", "default_branch": "a..b"}, "default_branch"),
    ],
)
def test_what_cannot_be_used_is_refused_by_field_and_leaves_nothing(
    source: str, more: dict[str, str], field: str, tmp_path: Path
) -> None:
    with pytest.raises(Invalid) as refused:
        actions.register(source, by="ann", **more)

    assert field == refused.value.field
    assert 0 == Repo.objects.count()
    assert not list((tmp_path / "data").rglob("HEAD"))


def test_a_source_that_cannot_be_read_leaves_no_half_made_mirror(tmp_path: Path) -> None:
    with pytest.raises(actions.NotReachable):
        actions.register(f"file://{tmp_path}/nowhere", by="ann")

    assert 0 == Repo.objects.count()
    assert not list((tmp_path / "data").rglob("HEAD"))


def test_a_branch_that_the_source_lacks_is_refused(upstream: Path, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        actions.register(f"file://{upstream}", default_branch="main", by="ann")

    assert not list((tmp_path / "data").rglob("HEAD"))


def test_a_hub_that_takes_no_local_repositories_says_so(upstream: Path, settings: Settings) -> None:
    settings.LOCAL_REPOSITORIES = False

    with pytest.raises(Invalid):
        actions.register(str(upstream), by="ann")


def test_a_taken_name_is_refused_and_the_first_one_keeps_its_mirror(upstream: Path) -> None:
    repo = actions.register(f"file://{upstream}", by="ann")

    with pytest.raises(actions.SlugTaken):
        actions.register(slug=repo.slug, by="ann")

    assert mirror.head(repo.mirror, "trunk")


def test_only_a_moved_default_branch_is_told_of(upstream: Path) -> None:
    repo = actions.register(f"file://{upstream}", by="ann")
    git(upstream, "branch", "other")
    actions.sync(repo)

    assert ["repo.added"] == kinds(repo)

    new = commit(upstream, "two")
    actions.sync(repo)

    assert ["repo.added", "repo.synced"] == kinds(repo)
    assert new == mirror.head(repo.mirror, "trunk")


def test_an_upstream_that_is_away_is_told_of_once_and_forgotten_when_it_is_back(upstream: Path) -> None:
    repo = actions.register(f"file://{upstream}", by="ann")
    upstream.rename(upstream.with_name("away"))
    jobs.sync(repo.pk)
    jobs.sync(repo.pk)

    assert ["repo.added", "repo.sync_failed"] == kinds(repo)
    assert Repo.objects.get().sync_error

    upstream.with_name("away").rename(upstream)
    jobs.sync(repo.pk)

    assert not Repo.objects.get().sync_error


def test_settings_change_through_one_action_and_are_remembered() -> None:
    repo = actions.register(slug="fresh", by="ann")
    actions.change(repo, by="ann", place=3, max_running=2)
    actions.pause(repo, by="ann")
    actions.pause(repo, by="ann")
    actions.resume(repo, by="ann")

    assert ["repo.added", *["repo.changed"] * 3] == kinds(repo)
    assert (3, 2, False) == Repo.objects.values_list("place", "max_running", "paused").get()


@pytest.mark.parametrize(
    ("field", "value"),
    [("place", 10), ("place", "x"), ("max_running", 0), ("approve_plans", "yes"),
     ("checks", {}), ("checks", [{"type": "magic"}]),
     ("checks", [{"type": "file_exists"}]), ("checks", [{"type": "tests_pass", "shell": "x"}]),
     ("paused", 1), ("protected_paths", "x"),
     ("default_branch", "gone"), ("protected_paths", [""])],
)  # fmt: skip
def test_a_setting_out_of_its_range_is_refused(field: str, value: object) -> None:
    repo = actions.register(slug="fresh", by="ann")

    with pytest.raises(Invalid) as refused:
        actions.change(repo, by="ann", **{field: value})

    assert field == refused.value.field


def test_the_command_registers_a_relative_path_and_says_no_in_words(
    upstream: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(upstream.parent)
    call_command("add_repo", upstream.name, slug="mine")

    assert "mine: registered, default branch trunk." in capsys.readouterr().out
    with pytest.raises(CommandError, match="already"):
        call_command("add_repo", upstream.name, slug="mine")


def test_a_password_in_the_address_is_not_remembered_in_events(upstream: Path) -> None:
    with pytest.raises(Refused) as refused:
        actions.register("http://user:hunter22@127.0.0.1:9/x.git", by="ann")

    assert "hunter22" not in refused.value.message
