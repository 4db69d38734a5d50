"""What the heart finds, and what a socket learns when it looks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.agents import presence, tokens
from apps.agents.models import Agent, Role, Token
from apps.gateway import heart
from apps.gateway.outbound import REFUSED, REPLACED, RESTARTING, News, Told, news
from sidecar.wire import messages
from tests import cast

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Agent:
    return cast.agent("ada")


@pytest.fixture
def token(ada: Agent) -> Token:
    return tokens.mint(Role.AGENT, agent=ada, by="tests")[0]


def look(ada: Agent, token: Token, connection: str) -> News:
    return news(ada.pk, connection, token.pk, Told())


def over(ada: Agent, token: Token) -> bool:
    connection = ada.connection or "none"
    return heart._over({connection: token.pk}) == [connection]


def test_a_socket_in_good_standing_goes_on(ada: Agent, token: Token) -> None:
    assert not over(ada, token)
    assert News() == look(ada, token, str(ada.connection))


@pytest.mark.parametrize(
    "change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now() - timedelta(seconds=1)}]
)
def test_a_socket_whose_token_ended_unheard_is_found_and_closed(ada: Agent, token: Token, change) -> None:
    Token.objects.filter(pk=token.pk).update(**change)

    assert over(ada, token)
    assert REFUSED == look(ada, token, str(ada.connection)).close


def test_a_socket_of_a_retired_agent_is_found_and_closed(ada: Agent, token: Token) -> None:
    Agent.objects.filter(pk=ada.pk).update(retired_at=timezone.now())

    assert over(ada, token)
    assert REFUSED == look(ada, token, str(ada.connection)).close


def test_a_socket_that_was_replaced_unheard_is_found_and_closed(ada: Agent, token: Token) -> None:
    cast.connect(ada, "newer")

    assert over(ada, token)
    assert REPLACED == look(ada, token, str(ada.connection)).close


def test_a_socket_that_was_taken_for_dead_may_come_back_at_once(ada: Agent, token: Token) -> None:
    presence.leave(ada, str(ada.connection))

    assert over(ada, token)
    assert RESTARTING == look(ada, token, str(ada.connection)).close


def test_to_tell_of_an_assignment_takes_two_statements(ada: Agent, token: Token, django_assert_num_queries) -> None:
    cast.assigned(cast.queued_task(repo=cast.repo(), checks=[cast.CHECK], target=ada))
    told = Told()

    with django_assert_num_queries(2):
        (frame,) = news(ada.pk, str(ada.connection), token.pk, told).frames
    with django_assert_num_queries(1):
        assert News() == news(ada.pk, str(ada.connection), token.pk, told)
    assert isinstance(frame, messages.TaskAssign)
