"""Wishes that an endpoint is restarted: who can be asked, that one is, and what comes of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints import actions, jobs, reports, restarting
from apps.endpoints.models import Endpoint, Host, Restart, Restarter
from apps.events.models import Event
from tests import cast
from tests.rest import integration

pytestmark = pytest.mark.django_db
HERE = "http://127.0.0.1:11434"
GPU = "http://gpu.example.org:11434"


def agent(name: str, *restarts: str, machine: str = "") -> Agent:
    """An agent on its own machine that has commands for these addresses."""
    return cast.agent(name, host={"machine": machine or f"machine of {name}"}, restarts=restarts)


def ours(url: str = GPU, **facts: Any) -> Endpoint:
    return Endpoint.objects.create(**{"place": url, "url": url, **facts})


def theirs(agent: Agent) -> Endpoint:
    """The Ollama that an agent has on its own machine."""
    state = {"kind": "ollama", "url": HERE, "health": "up", "unfit": [], "trouble": "", "version": ""}
    presence.offer(agent, [], [state])
    return Endpoint.objects.get(place__startswith=str(cast.fresh(agent).host.machine))  # type: ignore[union-attr]


def can(endpoint: Endpoint) -> list[tuple[str, str]]:
    return list(restarting.able([Endpoint.objects.get(pk=endpoint.pk)])[endpoint.pk])


def ended(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [event.data for event in Event.objects.filter(kind="endpoint.restarted", subject=f"endpoint/{endpoint.pk}")]


def grow_old(restart: Restart) -> None:
    Restart.objects.filter(pk=restart.pk).update(asked_at=timezone.now() - restarting.PATIENCE - timedelta(seconds=1))


def test_who_can_be_asked_is_whose_command_is_for_that_very_endpoint() -> None:
    ada, _ben, _cy = agent("ada", HERE), agent("ben", HERE), agent("cy", "gpu.example.org:11434", "http://[bad")

    assert [("ada", HERE)] == can(theirs(ada))
    assert [("cy", "gpu.example.org:11434")] == can(ours())


def test_this_machine_is_that_of_the_agent_or_the_one_that_was_chosen_for_it() -> None:
    ada, _ = agent("ada", HERE), agent("ben", HERE)
    endpoint = ours(HERE)
    assert [] == can(endpoint)

    actions.change(endpoint, by="olga", host=Host.objects.get(agents=ada))
    assert [("ada", HERE)] == can(endpoint)


def test_what_an_agent_can_restart_is_what_its_last_hello_said() -> None:
    ada = agent("ada", HERE, GPU)
    endpoint = ours()
    cast.connect(ada, host={"machine": "another"}, restarts=[GPU])
    moved = list(Restarter.objects.values_list("address", "host__machine"))
    cast.connect(ada, host={"machine": "another"})  # an older sidecar, that says nothing of it

    assert [(GPU, "another")] == moved
    assert [] == can(endpoint)


def test_an_agent_that_is_retired_is_not_counted_on() -> None:
    ada = agent("ada", GPU)
    presence.pause(ada, by="olga")
    presence.retire(ada, by="olga")

    assert [] == can(ours())


def test_a_restart_that_nobody_has_a_command_for_is_refused() -> None:
    with pytest.raises(actions.NobodyCan, match="No agent has a command that restarts the box"):
        actions.ask_restart(ours(name="the box"), by="olga")
    assert not Restart.objects.exists()


def test_asking_twice_is_asking_once_until_it_has_ended() -> None:
    agent("ada", GPU)
    endpoint = ours()
    first, again = (actions.ask_restart(endpoint, by="olga") for _ in range(2))
    assert restarting.take(first.pk, by="ada")
    restarting.answered(first.pk, by="ada", ok=True, message="up", seconds=1.5)
    restarting.answered(first.pk, by="ada", ok=False, message="late", seconds=9.0)
    later = actions.ask_restart(endpoint, by="olga")

    assert (first.pk, True) == (again.pk, later.pk > first.pk)
    assert 2 == Event.objects.filter(kind="endpoint.restart_asked").count()
    row = cast.fresh(first)
    assert ("done", "up", 1.5, "ada", True) == (row.outcome, row.message, row.seconds, row.agent, bool(row.ended_at))
    assert [(True, "done", "ada")] == [(one["ok"], one["outcome"], one["agent"]) for one in ended(endpoint)]


def test_one_agent_is_asked_and_only_its_answer_counts() -> None:
    agent("ada", GPU)
    agent("ben", GPU)
    endpoint = ours()
    asked = actions.ask_restart(endpoint, by="olga")
    taken = [restarting.take(asked.pk, by=name) for name in ("ada", "ben", "ada")]
    restarting.answered(asked.pk, by="ben", ok=True, message="", seconds=0)

    assert [True, False, True] == taken
    assert ("open", []) == (cast.fresh(asked).outcome, ended(endpoint))


def test_a_wish_that_nobody_answers_lapses_and_is_asked_of_nobody() -> None:
    agent("ada", GPU)
    endpoint = ours()
    asked = actions.ask_restart(endpoint, by="olga")
    assert [asked.pk] == [wish.restart for wish in restarting.wishes()]
    grow_old(asked)

    assert ((), False) == (restarting.wishes(), restarting.take(asked.pk, by="ada"))
    assert (1, 0) == (restarting.lapse(), restarting.lapse())
    restarting.answered(asked.pk, by="ada", ok=True, message="", seconds=0)
    assert ("lapsed", "No agent has answered in time.") == (cast.fresh(asked).outcome, cast.fresh(asked).message)
    assert [False] == [one["ok"] for one in ended(endpoint)]


def test_an_old_wish_does_not_stand_in_the_way_of_a_new_one() -> None:
    agent("ada", GPU)
    endpoint = ours()
    old = actions.ask_restart(endpoint, by="olga")
    grow_old(old)

    assert old.pk < actions.ask_restart(endpoint, by="olga").pk
    assert "lapsed" == cast.fresh(old).outcome


def test_the_clock_ends_what_nobody_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    agent("ada", GPU)
    asked = actions.ask_restart(ours(), by="olga")
    grow_old(asked)
    monkeypatch.setattr(jobs, "_look", lambda _: None)
    jobs.look_at_all()

    assert "lapsed" == cast.fresh(asked).outcome


def test_two_open_wishes_for_one_endpoint_cannot_be_stored() -> None:
    agent("ada", GPU)
    endpoint = ours()
    actions.ask_restart(endpoint, by="olga")

    with pytest.raises(IntegrityError):
        Restart.objects.create(endpoint=endpoint, asked_by="olga")


def test_what_ended_long_ago_is_forgotten_and_what_goes_with_its_endpoint_too() -> None:
    agent("ada", GPU)
    endpoint = ours()
    asked = actions.ask_restart(endpoint, by="olga")
    restarting.take(asked.pk, by="ada")
    restarting.answered(asked.pk, by="ada", ok=True, message="", seconds=0)
    reports.forget_old(timezone.now() - timedelta(days=1), used=set())
    kept = Restart.objects.count()
    reports.forget_old(timezone.now() + timedelta(days=1), used=set())
    gone = Restart.objects.count()
    actions.ask_restart(endpoint, by="olga")
    actions.remove(endpoint, by="olga")

    assert (1, 0, 0) == (kept, gone, Restart.objects.count())


# --- the doors --------------------------------------------------------------------------------------------------------


def test_rest_asks_for_it_and_shows_what_came_of_it(django_assert_max_num_queries: Any) -> None:
    endpoint = ours()
    rest = integration("endpoints:read", "endpoints:write")
    here = f"/api/endpoints/{endpoint.pk}"
    refused = rest.post(f"{here}/restart", {})
    agent("ada", GPU)
    asked = rest.post(f"{here}/restart", {}).json()
    restarting.take(asked["restart"]["id"], by="ada")
    restarting.answered(asked["restart"]["id"], by="ada", ok=False, message="no such unit", seconds=0.25)
    for number in range(5):
        ours(f"http://gpu-{number}.example.org:11434")
    with django_assert_max_num_queries(12):
        listed = rest.get("/api/endpoints").json()["results"]

    assert (409, "endpoint_not_restartable") == (refused.status_code, refused.json()["code"])
    assert (["ada"], "open") == (asked["restarted_by"], asked["restart"]["outcome"])
    (shown,) = [one for one in listed if one["id"] == endpoint.pk]
    assert ("failed", "no such unit", 0.25) == tuple(shown["restart"][key] for key in ("outcome", "message", "seconds"))
    assert [None] * 5 == [one["restart"] for one in listed if one["id"] != endpoint.pk]


@pytest.fixture
def operator() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("olga"))
    return client


def test_the_page_has_a_button_where_there_is_a_command_and_says_what_came_of_it(operator: Client) -> None:
    endpoint = ours(name="the box")
    here = reverse("endpoint_act", args=[endpoint.pk, "restart"])
    without = operator.get(reverse("machines")).content.decode()
    refused = operator.post(here)
    agent("ada", GPU)
    pressed = operator.post(here, follow=True).content.decode()
    asked = Restart.objects.get()
    restarting.take(asked.pk, by="ada")
    restarting.answered(asked.pk, by="ada", ok=False, message="no <such> unit", seconds=0.25)
    after = operator.get(reverse("machines")).content.decode()

    assert here not in without
    assert (409, True) == (refused.status_code, "No agent has a command" in refused.content.decode())
    assert ("olga", True) == (asked.asked_by, "restart asked for" in pressed)
    assert "no &lt;such&gt; unit" in after


def test_the_admin_asks_for_it_and_lists_them(operator: Client) -> None:
    lonely, endpoint = ours("http://lonely.example.org:11434"), ours()
    agent("ada", GPU)
    form = {"action": "restart", "_selected_action": [lonely.pk, endpoint.pk]}
    said = operator.post(reverse("admin:endpoints_endpoint_changelist"), form, follow=True).content.decode()
    listed = operator.get(reverse("admin:endpoints_restart_changelist"))

    assert "No agent has a command" in said
    assert [endpoint.pk] == list(Restart.objects.values_list("endpoint", flat=True))
    assert 200 == listed.status_code
