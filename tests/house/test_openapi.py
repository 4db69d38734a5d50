"""The OpenAPI document is complete, and what it says holds for whatever is asked: no request makes the hub fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from apps.agents.models import Token
from apps.forge.models import PullRequest
from apps.repos.models import Repo
from apps.tasks.models import Task
from tests import cast, rest

schema = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())
schema.config.phases.coverage.enabled = False  # hundreds of requests for each operation; chance finds them in time
HOLDS = [
    checks.not_a_server_error,
    checks.CHECKS.get_one("status_code_conformance"),
    checks.CHECKS.get_one("content_type_conformance"),
    checks.CHECKS.get_one("response_schema_conformance"),
]


FUZZ = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def secret(db) -> str:
    """A token that may do everything, in a hub where something has happened."""
    agent = cast.agent("carry-the-one")
    cast.working(cast.queued_task("Paint it", target=agent, repo=cast.repo("shop"), checks=[cast.CHECK]))
    cast.queued_task("Then varnish it", depends_on=[cast.queued_task("Sand it").pk])
    return rest.integration().secret


@schema.parametrize()
@FUZZ
def test_no_request_makes_the_hub_fail_or_answer_what_is_not_written(case, secret):
    case.call_and_validate(checks=HOLDS, headers={"Authorization": f"Bearer {secret}"})


@schema.include(path_regex=r"\{").parametrize()
@FUZZ
def test_nor_does_one_about_things_that_exist(case, secret):
    rows: dict[str, Any] = {"tasks": Task, "tokens": Token, "repos": Repo, "pulls": PullRequest}
    room = case.path.split("/")[2]
    if "id" in case.path_parameters and room in rows:
        newest = rows[room].objects.order_by("pk").last()
        case.path_parameters["id"] = newest.pk if newest else 1
    if "name" in case.path_parameters:
        case.path_parameters["name"] = "carry-the-one"
    if "slug" in case.path_parameters:
        case.path_parameters["slug"] = "shop"
    if "prerequisite" in case.path_parameters:
        case.path_parameters["prerequisite"] = Task.objects.get(title="Sand it").pk

    case.call_and_validate(checks=HOLDS, headers={"Authorization": f"Bearer {secret}"})


def test_the_document_is_made_without_a_warning(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "openapi.yaml"))


def test_every_route_of_the_api_is_in_the_document(client):
    paths = json.loads(client.get("/api/openapi.json").content)["paths"]

    assert {"/api/tasks", "/api/tasks/{id}", "/api/agents/{name}", "/api/enrol", "/api/health"} <= set(paths)


def test_every_operation_says_what_it_is_for(client):
    paths = json.loads(client.get("/api/openapi.json").content)["paths"]

    assert [] == [
        f"{method} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if not operation.get("description")
    ]
