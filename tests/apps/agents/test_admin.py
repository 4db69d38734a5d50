"""The admin acts through the rooms' actions, shows secrets once, and deletes nothing that has a history."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.agents import enrolment, tokens
from apps.agents.models import Agent, EnrolmentCode, Token
from apps.events.models import Event
from apps.tasks.models import Task
from tests import cast
from tests.rest import found, known

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    return client


def do(admin: Client, model: str, action: str, *rows: int):
    data = {"action": action, "_selected_action": list(rows)}
    return admin.post(reverse(f"admin:{model}_changelist"), data, follow=True)


@pytest.mark.parametrize(
    "model", ["agents_agent", "agents_token", "agents_enrolmentcode", "tasks_task", "tasks_attempt", "events_event"]
)
def test_every_list_and_row_can_be_looked_at_and_none_deleted(admin, model):
    agent = cast.agent()
    cast.working(cast.queued_task(target=agent))
    tokens.mint("agent", agent=agent, by="ada")
    enrolment.mint_code(None)
    listed = admin.get(reverse(f"admin:{model}_changelist"))
    row = listed.context["cl"].result_list[0]

    assert 200 == admin.get(reverse(f"admin:{model}_change", args=[row.pk])).status_code
    assert 403 == admin.post(reverse(f"admin:{model}_delete", args=[row.pk]), {"post": "yes"}).status_code
    assert "delete_selected" not in listed.content.decode()


def test_a_task_cannot_be_changed_by_a_form(admin):
    task = cast.queued_task()

    answer = admin.post(reverse("admin:tasks_task_change", args=[task.pk]), {"status": "completed"})

    assert 403 == answer.status_code
    assert "queued" == cast.status_of(task)


def test_cancel_and_retry_go_through_the_actions(admin):
    task = cast.queued_task()
    do(admin, "tasks_task", "cancel", task.pk)
    cancelled = cast.status_of(task)
    said = do(admin, "tasks_task", "retry", task.pk).content.decode()

    assert "cancelled" == cancelled == cast.status_of(task)
    assert "Only a dead task can be retried" in said
    assert Event.objects.filter(kind="task.cancelled", actor="ada").exists()


def test_pausing_and_resuming_are_remembered(admin):
    agent = cast.agent()
    do(admin, "agents_agent", "pause", agent.pk)
    paused = cast.fresh(agent).paused
    do(admin, "agents_agent", "resume", agent.pk)

    assert paused
    assert not cast.fresh(agent).paused
    assert ["agent.paused", "agent.resumed"] == list(
        Event.objects.filter(actor="ada").values_list("kind", flat=True).order_by("pk")
    )


def test_only_a_paused_agent_is_retired(admin):
    agent = cast.agent()
    said = do(admin, "agents_agent", "retire", agent.pk).content.decode()
    early = cast.fresh(agent).retired_at
    do(admin, "agents_agent", "pause", agent.pk)
    do(admin, "agents_agent", "retire", agent.pk)

    assert f"Pause {agent.name} first" in said
    assert early is None
    assert cast.fresh(agent).retired_at is not None


def test_an_agent_may_be_confined_to_repositories_but_not_renamed(admin):
    agent, repo = cast.agent(), cast.repo()

    admin.post(
        reverse("admin:agents_agent_change", args=[agent.pk]),
        {"name": "another", "restricted": "on", "repos": [repo.pk], "paused": "on"},
    )

    after = Agent.objects.get()
    assert (agent.name, True, False, [repo]) == (after.name, after.restricted, after.paused, list(after.repos.all()))


def test_a_code_is_shown_once_with_the_command_to_run(admin):
    shown = admin.post(reverse("admin:agents_enrolmentcode_add"), {"name": "carry-the-one"})
    code = found(r"--code (\S+) --name carry-the-one", shown.content.decode())
    listed = admin.get(reverse("admin:agents_enrolmentcode_changelist"))

    assert "no-store" in shown["Cache-Control"]
    assert code not in listed.content.decode()
    assert not any(code in str(cookie) for cookie in admin.cookies.values())
    assert "carry-the-one" == enrolment.redeem(code)[0].name


def test_a_code_for_a_taken_name_is_an_error_of_the_form(admin):
    cast.agent("taken")

    answer = admin.post(reverse("admin:agents_enrolmentcode_add"), {"name": "taken"})

    assert "choose another name" in answer.content.decode()
    assert not EnrolmentCode.objects.exists()


def test_a_token_is_made_shown_once_and_listed_masked(admin):
    ada = User.objects.get()
    wanted = {"role": "integration", "label": "ci", "user": ada.pk, "scopes": ["tasks:read", "tasks:write"]}

    shown = admin.post(reverse("admin:agents_token_add"), wanted).content.decode()

    secret = found(r"act_integration_\w+", shown.split("<pre>")[1])
    token = known(secret)
    listed = admin.get(reverse("admin:agents_token_changelist")).content.decode()
    assert ("ci", ["tasks:read", "tasks:write"]) == (token.label, token.scopes)
    assert secret not in listed
    assert token.digest not in listed
    assert token.masked in listed


def test_a_token_that_cannot_be_is_an_error_of_the_form(admin):
    guest = User.objects.create_user("guest")
    wanted = {"role": "integration", "user": guest.pk, "scopes": ["pulls:review"]}

    answer = admin.post(reverse("admin:agents_token_add"), wanted)

    assert "Only an operator may hold pulls:review" in answer.content.decode()
    assert not Token.objects.exists()


def test_rotating_shows_the_new_token_and_revoking_ends_all(admin):
    agent = cast.agent()
    token, old = tokens.mint("agent", agent=agent, by="ada")
    shown = do(admin, "agents_token", "rotate", token.pk).content.decode()
    new = found(r"act_agent_\w+", shown.split("<pre>")[1])
    both = tokens.authenticate(old), tokens.authenticate(new)
    do(admin, "agents_agent", "revoke_tokens", agent.pk)
    tokens._memory.forget()

    assert all(both)
    assert (None, None) == (tokens.authenticate(old), tokens.authenticate(new))


def test_no_page_of_the_admin_offers_to_add_what_only_happens(admin):
    for model in ("agents_agent", "tasks_task", "tasks_attempt", "events_event"):
        assert 403 == admin.get(reverse(f"admin:{model}_add")).status_code

    assert not Task.objects.exists()
