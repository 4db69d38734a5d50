"""Routing rules in the admin: changed through the one verb, wrong ones refused beside their field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.endpoints.models import LONGEST_WAIT, MOST_GRADES, RoutingRule
from apps.endpoints.rules import rule_of
from apps.events.models import Event
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ann"))
    return client


def asked(client: Client, of: str, **fields: Any) -> Any:
    """The answer to the form of a tier's rule."""
    data = {"chain": '["local", "claude"]', "wait_seconds": "120", **fields}
    return client.post(reverse("admin:endpoints_routingrule_change", args=[rule_of(of).pk]), data)


def test_a_rule_is_changed_obeyed_by_the_next_task_and_remembered(operator: Client) -> None:
    answer = asked(operator, "complex", chain='["house-large", "claude"]', wait_seconds="7")
    task = cast.queued_task(command="", tier="complex")

    assert 302 == answer.status_code
    assert (["house-large", "claude"], 7) == (rule_of("complex").chain, rule_of("complex").wait_seconds)
    assert ["house-large"] == cast.fresh(task).grades
    assert [("ann", ["house-large", "claude"])] == [
        (event.actor, event.data["chain"]) for event in Event.objects.filter(kind="routing.changed")
    ]


@pytest.mark.parametrize(
    "chain",
    [
        "",
        "null",
        "local",
        '"local"',
        "7",
        "true",
        '{"local": 1}',
        "[]",
        "[1]",
        "[null]",
        '[["local"]]',
        '["local", "local"]',
        '["Local"]',
        '["two words"]',
        '["local", ""]',
        json.dumps([f"grade-{n}" for n in range(MOST_GRADES + 1)]),
    ],
)
def test_what_is_no_chain_is_refused_beside_its_field(operator: Client, chain: str) -> None:
    answer = asked(operator, "standard", chain=chain)

    assert 200 == answer.status_code
    assert ["chain"] == list(answer.context["adminform"].form.errors)
    assert ["local", "claude"] == rule_of("standard").chain
    assert not Event.objects.filter(kind="routing.changed").exists()


@pytest.mark.parametrize("seconds", ["", "soon", "-1", "0", str(LONGEST_WAIT + 1), "9" * 18])
def test_a_wait_that_cannot_be_is_refused_beside_its_field(operator: Client, seconds: str) -> None:
    answer = asked(operator, "standard", wait_seconds=seconds)

    assert 200 == answer.status_code
    assert ["wait_seconds"] == list(answer.context["adminform"].form.errors)
    assert 120 == rule_of("standard").wait_seconds


def test_who_thinks_for_the_hub_is_a_rule_that_waits_for_nobody(operator: Client) -> None:
    path = reverse("admin:endpoints_routingrule_change", args=[rule_of("thinking").pk])
    html = operator.get(path).content.decode()
    answer = operator.post(path, {"chain": '["local", "claude"]'})

    assert ("the hub&#x27;s own thinking" in html, "wait_seconds" in html) == (True, False)
    assert 302 == answer.status_code
    assert (["local", "claude"], 120) == (rule_of("thinking").chain, rule_of("thinking").wait_seconds)


def test_rules_are_neither_added_nor_taken_away_nor_moved_to_another_tier(operator: Client) -> None:
    asked(operator, "trivial", tier="complex", chain='["mine"]')
    trivial = rule_of("trivial")

    assert ("trivial", ["mine"]) == (trivial.tier, trivial.chain)
    assert 403 == operator.get(reverse("admin:endpoints_routingrule_add")).status_code
    delete = reverse("admin:endpoints_routingrule_delete", args=[trivial.pk])
    assert 403 == operator.post(delete, {"post": "yes"}).status_code
    assert 5 == RoutingRule.objects.count()


def test_the_list_shows_each_chain_in_its_order(operator: Client) -> None:
    shown = operator.get(reverse("admin:endpoints_routingrule_changelist")).content.decode()

    assert "local → claude" in shown
    assert "claude → local" in shown
