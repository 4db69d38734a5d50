"""The OpenAPI document is complete, and what it says holds for whatever is asked: no request makes the hub fail."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from apps.agents.models import Token
from apps.forge.models import PullRequest
from apps.tasks.models import Task
from tests import cast, rest
from tests.apps.forge.workshop import Workshop
from tests.house.test_roles import API

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


@pytest.fixture(autouse=True)
def _own_directory(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"


@pytest.fixture(autouse=True)
def _one_connection():
    """A bare application closes the connection before and after each request, and with it the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def secret(db) -> str:
    """A token that may do everything, in a hub where something has happened."""
    agent = cast.agent("carry-the-one")
    cast.working(cast.queued_task("Paint it", target=agent, checks=[cast.CHECK]))
    cast.queued_task("Then varnish it", depends_on=[cast.queued_task("Sand it").pk])
    return rest.integration().secret


@pytest.fixture
def merging_secret(db, tmp_path) -> str:
    """The same, in a hub with a real repository and a pull request that may be merged."""
    for name in ("ada", "bob"):
        cast.agent(name)
    Workshop(tmp_path).verified({"README": "one\n2\nthree\n"})
    return rest.integration().secret


def holds(case: Any, secret: str, **real: Any) -> None:
    """Ask, about `real` things where the path names such, and see that the answer is as the document says."""
    case.path_parameters.update({name: value for name, value in real.items() if name in case.path_parameters})
    case.call_and_validate(checks=HOLDS, headers={"Authorization": f"Bearer {secret}"})


@schema.parametrize()
@FUZZ
def test_no_request_makes_the_hub_fail_or_answer_what_is_not_written(case, secret):
    holds(case, secret)


@schema.include(path_regex=r"/(tasks|agents|tokens)/\{").parametrize()
@FUZZ
def test_nor_does_one_about_agents_and_tasks_that_exist(case, secret):
    rows: Any = Token if "/tokens/" in case.path else Task
    before = Task.objects.get(title="Sand it").pk
    holds(case, secret, id=rows.objects.latest("pk").pk, name="carry-the-one", prerequisite=before)


@schema.include(path_regex=r"/(pulls|repos)/\{").parametrize()
@FUZZ
def test_nor_does_one_about_pull_requests_and_repositories_that_exist(case, merging_secret):
    holds(case, merging_secret, id=PullRequest.objects.latest("pk").pk, slug="sample")


def test_the_document_is_made_without_a_warning(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "openapi.yaml"))


def test_every_route_of_the_api_is_in_the_document(client):
    paths = json.loads(client.get("/api/openapi.json").content)["paths"]
    written = {f"{method.upper()} {re.sub(r'{.*?}', '*', path)}" for path in paths for method in paths[path]}

    routes = {re.sub(r"<.*?>", "*", entry.replace(" ", " /")) for entry in API} - {"GET /api/openapi.json"}
    assert routes == written


def test_every_operation_says_what_it_is_for(client):
    paths = json.loads(client.get("/api/openapi.json").content)["paths"]

    assert [] == [
        f"{method} {path}"
        for path, operations in paths.items()
        for method, operation in operations.items()
        if not operation.get("description")
    ]
