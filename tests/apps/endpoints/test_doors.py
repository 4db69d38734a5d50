"""Endpoints and machines for people and programs: REST, the admin, the page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.dashboard.consumers import wanted_groups
from apps.endpoints.models import Endpoint, Host, Model
from apps.events.models import Event
from tests import cast
from tests.rest import integration

pytestmark = pytest.mark.django_db
GPU = "http://gpu.example.org:11434"
HERE = "http://127.0.0.1:11434"


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olga"))
    return client


def ours(**facts: Any) -> Endpoint:
    return Endpoint.objects.create(**{"place": GPU, "url": GPU, **facts})


def theirs() -> Endpoint:
    """One that an agent offers, on a machine that is busy."""
    load = {
        "cpu": 12.0, "cores": [20.0, 4.0], "memory_used_bytes": 31 * 10**9, "disk_bytes": 10**12,
        "disk_free_bytes": 10**11,
        "gpus": [{"name": "T4", "busy": 99.0, "memory_bytes": 10**10, "memory_used_bytes": 5}],
    }  # fmt: skip
    host = {"machine": "m1", "hostname": "workbench", "cpus": 2, "memory_bytes": 32 * 10**9, "load": load}
    state = {"kind": "ollama", "url": HERE, "health": "up", "version": "0.33.0", "trouble": "", "unfit": []}
    trials = [
        {"name": "one call", "ok": True, "what": "", "repairs": 0, "duration_ms": 5},
        {"name": "two calls", "ok": False, "what": "called read_file", "repairs": 1, "duration_ms": 5},
    ]
    offer = {
        "executor": "ollama", "model": "qwen3:8b", "grade": "local", "context": 8_192, "dialect": "native",
        "digest": "d",
        "tokens_per_second": 9.0, "warm": True, "url": HERE, "trials": trials, "context_measured": 0,
    }  # fmt: skip
    cast.agent("ada", host=host, endpoints=[state], offers=[offer])
    return Endpoint.objects.get(url=HERE)


def kinds() -> list[str]:
    return list(Event.objects.filter(subject__startswith="endpoint/").values_list("kind", flat=True))


# --- REST -------------------------------------------------------------------------------------------------------------


def test_an_endpoint_is_added_changed_drained_resumed_and_removed_over_rest() -> None:
    rest = integration("endpoints:read", "endpoints:write")
    made = rest.post("/api/endpoints", {"url": GPU, "name": "the box"})
    here = f"/api/endpoints/{made.json()['id']}"
    changed = rest("PATCH", here, {"grade": "gpu", "name": ""})
    drained = rest.post(f"{here}/drain", {})
    resumed = rest.post(f"{here}/resume", {})
    looked = rest.post(f"{here}/look", {})
    listed = rest.get("/api/endpoints").json()["results"]
    removed = rest("DELETE", here)

    assert [201, 200, 200, 200, 200, 204, 404] == [
        *(one.status_code for one in (made, changed, drained, resumed, looked, removed)),
        rest.get(here).status_code,
    ]
    assert ("gpu", "", True, False) == (
        changed.json()["grade"], changed.json()["name"], drained.json()["draining"], resumed.json()["draining"],
    )  # fmt: skip
    assert [GPU] == [one["url"] for one in listed]
    assert ["added", "changed", "drained", "resumed", "removed"] == [kind.partition(".")[2] for kind in kinds()]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "http://169.254.169.254:80"}, "url"),
        ({"url": GPU, "grade": "NO"}, "grade"),
        ({"url": GPU, "host": 999_999}, "host"),
        ({"url": GPU, "key": "sk"}, "key"),
        ({"url": ["x"]}, "url"),
    ],
)
def test_a_body_that_cannot_be_is_refused_by_its_field(body: dict[str, Any], field: str) -> None:
    answer = integration("endpoints:write").post("/api/endpoints", body)

    assert (400, True) == (answer.status_code, field in answer.json())
    assert not Endpoint.objects.exists()


def test_the_same_address_twice_is_a_conflict() -> None:
    ours()

    assert 409 == integration("endpoints:write").post("/api/endpoints", {"url": GPU}).status_code


def test_which_models_are_wanted_is_said_by_name() -> None:
    endpoint = ours()
    for name in ("a", "b"):
        Model.objects.create(endpoint=endpoint, name=name, wanted=name == "a")
    rest = integration("endpoints:write")
    unknown = rest("PATCH", f"/api/endpoints/{endpoint.pk}", {"wanted": ["c"]})
    said = rest("PATCH", f"/api/endpoints/{endpoint.pk}", {"wanted": ["b"]})

    assert (400, 200) == (unknown.status_code, said.status_code)
    assert {"a": False, "b": True} == {one["name"]: one["wanted"] for one in said.json()["models"]}


def test_an_agents_own_endpoint_can_be_drained_but_neither_changed_nor_removed() -> None:
    endpoint = theirs()
    rest = integration("endpoints:write")
    here = f"/api/endpoints/{endpoint.pk}"

    assert [200, 409, 409, 409] == [
        rest.post(f"{here}/drain", {}).status_code,
        rest("PATCH", here, {"url": GPU}).status_code,
        rest("DELETE", here).status_code,
        rest.post(f"{here}/look", {}).status_code,
    ]


def test_machines_are_listed_with_their_load() -> None:
    theirs()
    (host,) = integration("endpoints:read").get("/api/hosts").json()["results"]

    assert ("workbench", 12.0) == (host["hostname"], host["load"]["cpu"])


# --- the admin --------------------------------------------------------------------------------------------------------


def formset(*models: Model, wanted: bool = True) -> dict[str, str]:
    said = {"models-TOTAL_FORMS": str(len(models)), "models-INITIAL_FORMS": str(len(models))}
    for number, model in enumerate(models):
        said |= {f"models-{number}-id": str(model.pk), f"models-{number}-endpoint": str(model.endpoint_id)}
        said |= {f"models-{number}-wanted": "on"} if wanted else {}
    return said


def test_an_operator_adds_changes_and_removes_one_in_the_admin(operator: Client) -> None:
    add = reverse("admin:endpoints_endpoint_add")
    added = operator.post(add, {"url": GPU, "name": "the box", "grade": "local", "host": "", **formset()})
    endpoint = Endpoint.objects.get()
    change = reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])
    changed = operator.post(change, {"url": GPU, "name": "the box", "grade": "gpu", "host": "", **formset()})
    removed = operator.post(reverse("admin:endpoints_endpoint_delete", args=[endpoint.pk]), {"post": "yes"})

    assert [302, 302, 302] == [added.status_code, changed.status_code, removed.status_code]
    assert ["added", "changed", "removed"] == [kind.partition(".")[2] for kind in kinds()]
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "http://127.0.0.1:11434"}, "not a public address"),
        ({"url": GPU}, "There is an endpoint at"),
        ({"url": "http://new.example.org", "grade": "NO"}, "Lower-case letters"),
    ],
)
def test_what_cannot_be_is_said_beside_its_field_in_the_admin(
    operator: Client, fields: dict[str, str], said: str
) -> None:
    ours()
    asked = {"name": "", "grade": "local", "host": "", **fields, **formset()}
    answer = operator.post(reverse("admin:endpoints_endpoint_add"), asked)

    assert (200, True) == (answer.status_code, said in answer.content.decode())
    assert 1 == Endpoint.objects.count()


def test_in_the_admin_an_operator_says_which_models_are_wanted_and_sees_how_they_did(operator: Client) -> None:
    endpoint = ours()
    model = Model.objects.create(endpoint=endpoint, name="small", trial={"unfit": "It cannot call tools."})
    change = reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])
    page = operator.get(change).content.decode()
    asked = {"url": GPU, "name": "", "grade": "local", "host": "", **formset(model, wanted=False)}
    answer = operator.post(change, asked)
    model.refresh_from_db()

    assert "It cannot call tools." in page
    assert (302, False) == (answer.status_code, model.wanted)


def test_of_an_agents_endpoint_the_admin_changes_only_name_and_machine(operator: Client) -> None:
    endpoint = theirs()
    change = reverse("admin:endpoints_endpoint_change", args=[endpoint.pk])
    answer = operator.post(
        change, {"url": GPU, "name": "theirs", "grade": "gpu", "host": str(endpoint.host_id), **formset()}
    )
    endpoint.refresh_from_db()

    assert (302, HERE, "theirs") == (answer.status_code, endpoint.url, endpoint.name)
    assert 403 == operator.post(reverse("admin:endpoints_endpoint_delete", args=[endpoint.pk])).status_code


@pytest.mark.parametrize("action", ["drain", "resume", "look"])
def test_the_actions_of_the_admin_take_several(operator: Client, action: str) -> None:
    chosen = [ours().pk, theirs().pk]
    asked = {"action": action, "_selected_action": chosen}
    answer = operator.post(reverse("admin:endpoints_endpoint_changelist"), asked)

    assert 302 == answer.status_code
    assert {action == "drain"} == set(Endpoint.objects.values_list("draining", flat=True))


def test_the_admin_shows_machines_and_lets_nobody_invent_one(operator: Client) -> None:
    theirs()

    assert 200 == operator.get(reverse("admin:endpoints_host_change", args=[Host.objects.get().pk])).status_code
    assert 403 == operator.get(reverse("admin:endpoints_host_add")).status_code


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_machines_their_load_and_how_models_did(operator: Client) -> None:
    theirs()
    ours(health="down", trouble="Connection refused")
    page = operator.get("/machines").content.decode()

    for shown in ("workbench", "12 %", "T4", "99 %", "ada", "qwen3:8b", "1 of 2 right (not: two calls)", "Elsewhere"):
        assert shown in page
    assert "Connection refused" in page


def test_an_empty_hub_says_how_machines_come(operator: Client) -> None:
    assert "A machine appears when an agent on it connects." in operator.get("/machines").content.decode()


def test_an_endpoint_is_added_on_the_page_and_a_wrong_one_is_refused_beside_the_form(operator: Client) -> None:
    wrong = operator.post("/machines", {"url": "http://10.1.2.3:11434"})
    right = operator.post("/machines", {"url": GPU, "grade": "gpu"})

    assert (400, 302) == (wrong.status_code, right.status_code)
    assert "AGENTCOM_ENDPOINT_NETWORKS=10.1.2.0/24" in wrong.content.decode()
    assert 'value="http://10.1.2.3:11434"' in wrong.content.decode()
    assert ["gpu"] == list(Endpoint.objects.values_list("grade", flat=True))


def test_the_buttons_of_the_page(operator: Client) -> None:
    endpoint = theirs()
    drained = operator.post(f"/endpoints/{endpoint.pk}/drain")
    refused = operator.post(f"/endpoints/{endpoint.pk}/remove")
    resumed = operator.post(f"/endpoints/{endpoint.pk}/resume")

    assert [302, 409, 302, 404] == [
        *(one.status_code for one in (drained, refused, resumed)),
        operator.post(f"/endpoints/{endpoint.pk}/explode").status_code,
    ]
    assert "drain it here" in refused.content.decode()


def test_strange_names_do_nothing_on_the_page(operator: Client) -> None:
    evil = "<script>alert(1)</script>"
    ours(name=evil, trouble=evil)
    Model.objects.create(endpoint=Endpoint.objects.get(), name=evil, trial={"unfit": evil})

    assert evil not in operator.get("/machines").content.decode()


def test_what_the_page_watches_is_what_can_be_watched(operator: Client) -> None:
    theirs()
    watched = operator.get("/machines").context["watch"].split()

    assert set(watched) == wanted_groups(json.dumps({"watch": watched}))


def test_a_gauge_is_never_more_than_all_of_it(operator: Client) -> None:
    theirs()
    Host.objects.update(load={"cpu": 1e9, "gpus": [{}], "disk_bytes": 0, "disk_free_bytes": 5, "cores": None})

    assert "100 %" in operator.get("/machines").content.decode()
