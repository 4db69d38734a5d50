"""Pull requests and repositories over REST: the whole walk, and every refusal as an answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from apps.agents import tokens
from apps.agents.scopes import SCOPES
from apps.repos.models import Repo
from apps.tasks.models import Task
from tests.apps.forge.workshop import Workshop, drain, run_git

pytestmark = pytest.mark.django_db
CHANGE = {"README": "one\n2\nthree\n"}


@pytest.fixture
def client_of() -> Callable[..., APIClient]:
    def made(user: User, *scopes: str) -> APIClient:
        _, secret = tokens.mint("integration", user=user, scopes=list(scopes or SCOPES), by="tests")
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return client

    return made


@pytest.fixture
def client(client_of: Callable[..., APIClient], ann: User) -> APIClient:
    return client_of(ann)


def post(client: APIClient, path: str, body: Any = None) -> Any:
    return client.post(path, body or {}, format="json")


def test_a_pull_request_is_reviewed_and_merged_over_rest(workshop: Workshop, client: APIClient) -> None:
    pull = workshop.verified(CHANGE, "Count")
    at = f"/api/pulls/{pull.pk}"

    listed = client.get("/api/pulls", {"status": "open", "repo": "sample"}).json()
    assert [(pull.pk, "passed", pull.attempt.agent.name)] == [
        (one["id"], one["verification"], one["agent"]) for one in listed["results"]
    ]
    assert (True, "") == (client.get(at).json()["mergeable"], client.get(at).json()["obstacle"])
    lines = client.get(f"{at}/diff").json()["files"][0]["hunks"][0]["lines"]
    assert [("del", "two", 2, None), ("add", "2", None, 2)] == [
        (line["kind"], line["text"], line["old"], line["new"]) for line in lines if line["kind"] != "context"
    ]
    evidence = client.get(f"{at}/evidence").json()
    assert "passed" == evidence["verification"]["status"]
    assert evidence["markdown"].startswith("## Evidence")

    assert 201 == post(client, f"{at}/comments", {"body": "Nice.", "path": "README"}).status_code
    assert 200 == post(client, f"{at}/approve").status_code
    assert ["comment", "approved"] == [one["verdict"] for one in client.get(f"{at}/comments").json()["results"]]

    merged = post(client, f"{at}/merge", {"method": "squash"})

    assert (200, "merged", "ann") == (merged.status_code, merged.json()["status"], merged.json()["ended_by"])
    assert merged.json()["merged_commit"] == workshop.main()


def test_changes_are_requested_and_verified_again_over_rest(workshop: Workshop, client: APIClient) -> None:
    pull = workshop.verified(CHANGE)
    at = f"/api/pulls/{pull.pk}"

    assert "changes_requested" == post(client, f"{at}/request-changes", {"body": "No."}).json()["status"]
    follow_up = client.get(f"{at}/comments").json()["results"][0]["task"]
    assert "not_open" == post(client, f"{at}/merge").json()["code"]

    workshop.deliver(Task.objects.get(pk=follow_up), {"README": "other\n"})
    drain()

    assert 200 == post(client, f"{at}/verify").status_code
    assert "verification_pending" == post(client, f"{at}/merge").json()["code"]
    assert "closed" == post(client, f"{at}/close", {"body": "Enough."}).json()["status"]


@pytest.mark.parametrize(
    ("verb", "body", "status"),
    [
        ("merge", {"method": "rebase"}, 400),
        ("merge", {"how": "merge"}, 400),
        ("request-changes", {}, 400),
        ("request-changes", {"body": " "}, 400),
        ("comments", {"body": ""}, 400),
        ("comments", {"body": "x" * 10_001}, 400),
        ("comments", {"body": "a\x00"}, 400),
        ("merge", {}, 409),
        ("approve", {"body": "fine"}, 200),
    ],
)
def test_a_request_that_cannot_be_met_is_answered(
    workshop: Workshop, client: APIClient, verb: str, body: dict[str, str], status: int
) -> None:
    pull = workshop.opened(CHANGE)

    answer = post(client, f"/api/pulls/{pull.pk}/{verb}", body)

    assert status == answer.status_code
    assert isinstance(answer.json(), dict)


def test_whoever_is_no_operator_any_more_decides_nothing(
    workshop: Workshop, client_of: Callable[..., APIClient], ann: User
) -> None:
    pull = workshop.verified(CHANGE)
    eve = client_of(User.objects.create_user("eve", is_staff=True))
    User.objects.filter(username="eve").update(is_staff=False)

    for verb in ("approve", "merge", "close", "request-changes"):
        assert 403 == post(eve, f"/api/pulls/{pull.pk}/{verb}", {}).status_code
    assert 201 == post(eve, f"/api/pulls/{pull.pk}/comments", {"body": "Hm."}).status_code
    assert 403 == post(client_of(ann, "pulls:read", "pulls:write"), f"/api/pulls/{pull.pk}/merge").status_code


def test_filters_that_nobody_knows_are_an_error(workshop: Workshop, client: APIClient) -> None:
    assert 400 == client.get("/api/pulls", {"state": "open"}).status_code
    assert 400 == client.get("/api/pulls", {"status": "opened"}).status_code
    assert [] == client.get("/api/pulls", {"repo": "other"}).json()["results"]


def test_a_difference_that_cannot_be_read_is_a_refusal(workshop: Workshop, client: APIClient) -> None:
    pull = workshop.opened(CHANGE)
    type(pull).objects.filter(pk=pull.pk).update(head="0" * 40)

    answer = client.get(f"/api/pulls/{pull.pk}/diff")

    assert (409, "unreadable") == (answer.status_code, answer.json()["code"])


def test_repositories_are_registered_changed_and_synchronised_over_rest(
    data_dir: Path, client: APIClient, tmp_path: Path
) -> None:
    upstream = tmp_path / "thing"
    upstream.mkdir()
    run_git(upstream, "init", "-q", "-b", "trunk")
    run_git(upstream, "commit", "-q", "--allow-empty", "-m", "Begin")

    made = post(client, "/api/repos", {"url": f"file://{upstream}"})

    assert (201, "thing", "trunk") == (made.status_code, made.json()["slug"], made.json()["default_branch"])
    assert 409 == post(client, "/api/repos", {"slug": "thing"}).status_code
    changed = client.patch("/api/repos/thing", {"paused": True, "max_running": 2}, format="json")
    assert (True, 2) == (changed.json()["paused"], changed.json()["max_running"])
    assert 400 == client.patch("/api/repos/thing", {"place": 99}, format="json").status_code
    assert 400 == client.patch("/api/repos/thing", {"slug": "other"}, format="json").status_code
    assert 200 == post(client, "/api/repos/thing/sync").status_code
    assert ["thing"] == [one["slug"] for one in client.get("/api/repos").json()["results"]]

    post(client, "/api/repos", {"slug": "own"})

    assert (409, "nothing_upstream") == (
        post(client, "/api/repos/own/sync").status_code,
        post(client, "/api/repos/own/sync").json()["code"],
    )
    assert 404 == client.get("/api/repos/gone").status_code


@pytest.mark.parametrize("url", ["ext::sh -c id", "--upload-pack=id", "ftp://x/y", "../x", "https://a b"])
def test_an_address_that_is_none_is_a_field_error(data_dir: Path, client: APIClient, url: str) -> None:
    answer = post(client, "/api/repos", {"url": url, "slug": "x"})

    assert (400, ["url"]) == (answer.status_code, list(answer.json()))
    assert not Repo.objects.exists()


def test_the_hubs_own_disk_is_for_operators(
    data_dir: Path, client_of: Callable[..., APIClient], tmp_path: Path
) -> None:
    eve = client_of(User.objects.create_user("eve"), "repos:write")

    for url in (str(tmp_path), f"file://{tmp_path}"):
        assert 403 == post(eve, "/api/repos", {"url": url, "slug": "x"}).status_code
