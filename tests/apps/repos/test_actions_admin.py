"""Repositories in the admin: the same actions, and no way around them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from apps.events.models import Event
from apps.repos import actions
from apps.repos.models import Repo

pytestmark = pytest.mark.django_db


@pytest.fixture
def repo(settings: Settings, tmp_path: Path) -> Repo:
    settings.DATA_DIR = tmp_path / "data"
    return actions.register(slug="sample", by="tests")


@pytest.fixture
def operator(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def test_settings_are_changed_through_the_action_and_remembered(operator: Client, repo: Repo) -> None:
    answer = operator.post(
        f"/admin/repos/repo/{repo.pk}/change/",
        {
            "place": "3",
            "max_running": "2",
            "protected_paths": '["deploy/"]',
            "checks": "[]",
            "slug": "other",
            "paused": "on",
        },
    )

    assert 302 == answer.status_code
    assert ("sample", 3, 2, ["deploy/"], False) == Repo.objects.values_list(
        "slug", "place", "max_running", "protected_paths", "paused"
    ).get()
    assert [("repo.added", "tests"), ("repo.changed", "ann")] == list(Event.objects.values_list("kind", "actor"))


@pytest.mark.parametrize(("action", "paused"), [("pause", True), ("resume", False)])
def test_the_buttons_go_through_the_actions(operator: Client, repo: Repo, action: str, paused: bool) -> None:
    operator.post("/admin/repos/repo/", {"action": action, "_selected_action": [repo.pk]})

    assert paused is Repo.objects.get().paused


def test_a_sync_that_cannot_be_says_why(operator: Client, repo: Repo) -> None:
    answer = operator.post("/admin/repos/repo/", {"action": "sync", "_selected_action": [repo.pk]}, follow=True)

    assert "no upstream" in answer.content.decode()


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nothing_is_added_or_deleted_here(operator: Client, repo: Repo, path: str) -> None:
    assert 403 == operator.get("/admin/repos/repo/" + path.format(pk=repo.pk)).status_code
