"""The wish that an endpoint is restarted, on the wire: told to one agent, again after a break, and answered."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.models import Agent, Role, Token
from apps.agents.tokens import mint
from apps.endpoints import actions
from apps.endpoints.models import Endpoint, Restart
from apps.gateway import heart, inbound, restarts
from apps.gateway.outbound import Told, news
from sidecar.wire import VERSION, decode_from_hub, decode_from_sidecar, encode, messages, nouns
from tests import cast

pytestmark = pytest.mark.django_db
GPU = "http://gpu.example.org:11434"


class Socket:
    """One connection of an agent that can restart these addresses."""

    count = 0

    def __init__(self, agent: Agent, token: Token, *addresses: str) -> None:
        Socket.count += 1
        self.agent, self.token, self.told = agent, token, Told()
        self.connection = f"{agent.name}.{Socket.count}"
        hello = messages.Hello(version=VERSION, sandbox=nouns.Sandbox(level="bubblewrap"), restarts=list(addresses))
        heard = decode_from_sidecar(encode(hello))
        assert isinstance(heard, messages.Hello)
        inbound.hello(agent, self.connection, heard, self.told)

    def hears(self) -> list[tuple[int, str]]:
        """The wishes that it is told of."""
        frames = news(self.agent.pk, self.connection, self.token.pk, self.told).frames
        told = [decode_from_hub(encode(one)) for one in frames]
        return [(one.restart, one.url) for one in told if isinstance(one, messages.EndpointRestart)]

    def says(self, restart: int, **facts: Any) -> None:
        said = decode_from_sidecar(encode(messages.EndpointRestarted(restart=restart, **{"ok": True, **facts})))
        assert isinstance(said, messages.EndpointRestarted)
        inbound.endpoint_restarted(self.agent, said, self.told)


def named(name: str) -> tuple[Agent, Token]:
    agent = cast.agent(name, online=False)
    return agent, mint(Role.AGENT, agent=agent, by="tests")[0]


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint.objects.create(place=GPU, url=GPU)


def ask(endpoint: Endpoint) -> int:
    made = actions.ask_restart(endpoint, by="olga")
    assert heart._have_changed()
    assert not heart._have_changed()
    return made.pk


def test_one_of_those_that_can_is_told_once_in_its_own_words_and_answers(endpoint: Endpoint) -> None:
    ada, ben, cy = (Socket(*named("ada"), f"{GPU}/"), Socket(*named("ben"), GPU), Socket(*named("cy")))
    restart = ask(endpoint)
    heard = [one.hears() for one in (cy, ada, ben, ada)]
    ben.says(restart, ok=False)
    ada.says(restart, message="up\x00", seconds=2.5)

    assert [[], [(restart, f"{GPU}/")], [], []] == heard
    row = Restart.objects.get()
    assert ("done", "ada", "up�", 2.5) == (row.outcome, row.agent, row.message, row.seconds)
    assert heart._have_changed()
    assert () == restarts.current()


def test_the_same_agent_is_told_again_when_it_comes_back_and_no_other(endpoint: Endpoint) -> None:
    ada, token = named("ada")
    first = Socket(ada, token, GPU)
    ben = Socket(*named("ben"), GPU)
    restart = ask(endpoint)
    told = first.hears()
    again = Socket(ada, token, GPU).hears()

    assert [(restart, GPU)] == told == again
    assert [] == ben.hears()


def test_who_can_and_connects_after_it_was_asked_for_is_told_then(endpoint: Endpoint) -> None:
    ada, token = named("ada")
    Socket(ada, token, GPU)
    restart = ask(endpoint)

    assert [(restart, GPU)] == Socket(ada, token, GPU).hears()


def test_what_was_answered_or_has_lapsed_is_told_to_nobody_though_a_process_remembers_it(endpoint: Endpoint) -> None:
    ada, token = named("ada")
    socket = Socket(ada, token, GPU)
    restart = ask(endpoint)
    socket.hears()
    socket.says(restart)

    assert restarts.current()
    assert [] == Socket(ada, token, GPU).hears()


def test_an_answer_to_nothing_changes_nothing(endpoint: Endpoint) -> None:
    ada = Socket(*named("ada"), GPU)
    ada.says(999)

    assert not Restart.objects.exists()
    assert endpoint.health == Endpoint.objects.get().health


def test_a_hub_of_which_no_restart_is_wanted_is_asked_one_thing(django_assert_num_queries: Any) -> None:
    Socket(*named("ada"), GPU)
    with django_assert_num_queries(1):
        restarts.refresh()


def test_what_could_not_be_sent_is_told_again(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Socket(*named("ada"), GPU)
    wish = ask(endpoint)
    with monkeypatch.context() as broken:
        broken.setattr("apps.gateway.known.current", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ada.hears()

    assert [(wish, GPU)] == ada.hears()
    assert [] == ada.hears()
