"""The wish for a restart: kept until another process comes, whatever happens in between, and never for longer."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.test import Client

from apps.agents import presence, restarts
from apps.agents.models import Agent
from apps.events.models import Event
from apps.events.refused import Refused
from apps.tasks import attempts
from apps.tasks.matchmaking import match
from tests import cast, rest

pytestmark = pytest.mark.django_db
FIRST, SECOND = "process-one", "process-two"


def hello(agent: Agent, process: str) -> None:
    presence.join(agent, f"{agent.name}.{process}", cast.FACTS, process=process)


@pytest.fixture
def ada() -> Agent:
    made = cast.agent("ada")
    hello(made, FIRST)
    return made


def wish(agent: Agent) -> tuple[str, str, bool] | None:
    """Who wants it, of which process, and whether at once; None when nobody does."""
    now = cast.fresh(agent)
    return (now.restart_asked_by, now.restart_of, now.restart_now) if now.restart_asked_at else None


def told() -> list[str]:
    kinds = Event.objects.filter(kind__startswith="agent.restart").order_by("pk")
    return list(kinds.values_list("kind", flat=True))


def test_a_wish_is_kept_with_who_asked_and_which_process_is_to_end(ada):
    restarts.ask(ada, by="olga")

    assert ("olga", FIRST, False) == wish(ada)
    assert ["agent.restart_asked"] == told()


def test_asking_again_changes_nothing_but_now_may_be_added(ada):
    restarts.ask(ada, by="olga")
    restarts.ask(ada, by="pit")
    same = wish(ada)
    restarts.ask(ada, now=True, by="pit")
    restarts.ask(ada, by="olga")
    restarts.ask(ada, now=True, by="olga")

    assert ("olga", FIRST, False) == same
    assert ("pit", FIRST, True) == wish(ada)
    assert ["agent.restart_asked"] * 2 == told()


@pytest.mark.parametrize("process", [FIRST, ""])
def test_a_reconnection_does_not_fulfil_it(ada, process):
    restarts.ask(ada, by="olga")
    presence.leave(ada, str(cast.fresh(ada).connection))
    hello(ada, process)

    assert ("olga", FIRST, False) == wish(ada)
    assert "agent.restarted" not in told()


def test_another_process_fulfils_it_for_whatever_reason_it_came(ada):
    restarts.ask(ada, now=True, by="olga")
    hello(ada, SECOND)
    hello(ada, "process-three")

    assert wish(ada) is None
    assert ["agent.restart_asked", "agent.restarted"] == told()


def test_a_client_that_named_no_process_fulfils_it_with_the_first_that_it_names():
    nameless = cast.agent("bob")
    restarts.ask(nameless, by="olga")
    hello(nameless, "")
    before = wish(nameless)
    hello(nameless, FIRST)

    assert ("olga", "", False) == before
    assert wish(nameless) is None


def test_it_can_be_taken_back_and_asked_for_anew(ada):
    restarts.withdraw(ada, by="olga")
    restarts.ask(ada, now=True, by="olga")
    restarts.withdraw(ada, by="pit")
    taken_back = wish(ada)
    restarts.ask(ada, by="pit")

    assert taken_back is None
    assert ("pit", FIRST, False) == wish(ada)
    assert ["agent.restart_asked", "agent.restart_withdrawn", "agent.restart_asked"] == told()


def test_no_work_is_given_to_an_agent_that_is_to_restart_and_what_it_has_goes_on(ada):
    held = cast.working(cast.queued_task(target=ada))
    restarts.ask(ada, by="olga")
    bob = cast.agent("bob")
    presence.join(bob, "bob.1", cast.FACTS, process=FIRST)
    restarts.ask(bob, by="olga")
    waits = cast.queued_task(target=bob)
    match()
    before = cast.status_of(waits)
    hello(bob, SECOND)
    match()

    assert ("open", "queued", "assigned") == (cast.outcome_of(held), before, cast.status_of(waits))


def test_a_retired_agent_is_not_restarted(ada):
    presence.pause(ada, by="olga")
    presence.retire(ada, by="olga")

    with pytest.raises(Refused) as refused:
        restarts.ask(ada, by="olga")

    assert "agent_retired" == refused.value.code
    assert wish(ada) is None


@pytest.mark.parametrize("half", [{"restart_asked_at": Now()}, {"restart_now": True}, {"restart_of": FIRST}])
def test_the_database_keeps_no_half_of_a_wish(ada, half):
    with pytest.raises(IntegrityError), transaction.atomic():
        Agent.objects.filter(pk=ada.pk).update(**half)


# --- the doors --------------------------------------------------------------------------------------------------------


def test_over_rest_it_is_asked_for_shown_and_taken_back(ada):
    caller = rest.integration()
    asked = caller.post("/api/agents/ada/restart").json()
    sooner = caller.post("/api/agents/ada/restart", {"now": True}).json()
    back = caller("DELETE", "/api/agents/ada/restart").json()

    assert [False, True] == [answer["restart"]["now"] for answer in (asked, sooner)]
    assert asked["restart"]["asked_by"].startswith("ada (token ")
    assert asked["restart"]["asked_at"]
    assert (FIRST, None) == (back["process"], back["restart"])


def test_over_rest_a_field_that_nobody_knows_is_an_error_and_an_agent_too(ada):
    caller = rest.integration()

    assert 400 == caller.post("/api/agents/ada/restart", {"soon": True}).status_code
    assert 404 == caller.post("/api/agents/nobody/restart").status_code
    assert wish(ada) is None


def test_on_the_page_it_is_asked_for_hurried_and_taken_back(ada, admin_client: Client):
    task = cast.working(cast.queued_task(target=ada)).task_id

    def page() -> str:
        return admin_client.get("/agents").content.decode()

    admin_client.post(f"/agents/{ada.pk}/restart")
    asked = page()
    admin_client.post(f"/agents/{ada.pk}/restart-now")
    hurried = page()
    admin_client.post(f"/agents/{ada.pk}/keep")
    after = page()

    assert "admin wants a restart, <time" in asked
    assert f"It finishes #{task} first." in asked
    assert "Restart now" in asked
    assert f"It hands #{task} back after its grace." in hurried
    assert "Restart now" not in hurried
    assert ("to restart" in hurried, "to restart" in after) == (True, False)


@pytest.mark.parametrize(
    ("process", "online", "says"),
    [
        (FIRST, True, "It has been told."),
        (FIRST, False, "It is told as soon as it is connected."),
        ("", True, "It does not say which process it is"),
    ],
)
def test_the_page_says_what_a_restart_waits_for(admin_client: Client, process, online, says):
    bob = cast.agent("bob")
    hello(bob, process)
    restarts.ask(bob, by="olga")
    if not online:
        presence.leave(bob, str(cast.fresh(bob).connection))

    assert says in admin_client.get("/agents").content.decode()


def test_a_paused_agent_is_draining_until_its_work_is_over(ada, admin_client: Client):
    attempt = cast.working(cast.queued_task(target=ada))
    presence.pause(ada, by="olga")
    during = admin_client.get("/agents").content.decode()
    attempts.release(cast.fence(attempt), "drained", "")
    after = admin_client.get("/agents").content.decode()

    assert [(True, False), (False, True)] == [(">draining<" in page, ">paused<" in page) for page in (during, after)]


def test_in_the_admin_each_action_calls_its_own(ada, admin_client: Client):
    def do(action: str) -> tuple[str, str, bool] | None:
        data = {"action": action, "_selected_action": [ada.pk]}
        assert 200 == admin_client.post("/admin/agents/agent/", data, follow=True).status_code
        return wish(ada)

    assert ("admin", FIRST, False) == do("restart")
    assert ("admin", FIRST, True) == do("restart_now")
    assert do("withdraw_restart") is None


def test_in_the_admin_a_refusal_is_said(ada, admin_client: Client):
    presence.pause(ada, by="olga")
    presence.retire(ada, by="olga")
    data = {"action": "restart", "_selected_action": [ada.pk]}

    said = admin_client.post("/admin/agents/agent/", data, follow=True).content.decode()

    assert "da is out of service." in said  # the admin begins it with a capital
