"""What the operator wants of an agent reaches its socket: live, on connecting, and although the hint was lost."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents import presence, restarts
from apps.agents.models import Agent, Role, Token
from apps.agents.tokens import mint
from apps.events import hints
from apps.gateway import heart, inbound
from apps.gateway.outbound import Told, news
from sidecar.wire import VERSION, messages, nouns
from tests import cast

pytestmark = pytest.mark.django_db
MINE = "process-one"


class Socket:
    """One connection of an agent, as far as what it is told goes."""

    count = 0

    def __init__(self, agent: Agent, token: Token, process: str = MINE) -> None:
        Socket.count += 1
        self.agent, self.token, self.told = agent, token, Told()
        self.connection = f"{agent.name}.{Socket.count}"
        hello = messages.Hello(version=VERSION, process=process, sandbox=nouns.Sandbox(level="bubblewrap"))
        inbound.hello(agent, self.connection, hello, self.told)

    def hears(self) -> list[Any]:
        return list(news(self.agent.pk, self.connection, self.token.pk, self.told).frames)

    @property
    def misled(self) -> bool:
        """Whether the heart would make it look."""
        return heart._misled({self.connection: self.told.desired}) == [self.connection]


@pytest.fixture
def ada() -> Agent:
    return cast.agent("ada")


@pytest.fixture
def token(ada: Agent) -> Token:
    return mint(Role.AGENT, agent=ada, by="tests")[0]


@pytest.fixture
def socket(ada: Agent, token: Token) -> Socket:
    return Socket(ada, token)


def test_a_socket_of_which_nothing_is_wanted_is_told_nothing(socket):
    assert [] == socket.hears()
    assert not socket.misled


def test_a_pause_is_told_as_a_drain_once_and_taken_back(ada, socket):
    presence.pause(ada, by="olga")
    paused = [*socket.hears(), *socket.hears()]
    presence.resume(ada, by="olga")
    resumed = [*socket.hears(), *socket.hears()]

    assert [messages.AgentDesired(drain=True)] == paused
    assert [messages.AgentDesired()] == resumed


def test_a_restart_names_the_process_and_drains_it(ada, socket):
    restarts.ask(ada, by="olga")
    asked = socket.hears()
    restarts.ask(ada, now=True, by="olga")
    hurried = socket.hears()
    restarts.withdraw(ada, by="olga")

    assert [messages.AgentDesired(drain=True, restart=MINE)] == asked
    assert [messages.AgentDesired(drain=True, restart=MINE, now=True)] == hurried
    assert [messages.AgentDesired()] == socket.hears()


def test_what_is_wanted_is_told_on_every_connection_until_a_new_process_comes(ada, token, socket):
    restarts.ask(ada, by="olga")
    wanted = messages.AgentDesired(drain=True, restart=MINE)
    heard = [Socket(ada, token, process).hears() for process in (MINE, MINE, "process-two")]

    assert [[wanted], [wanted], []] == heard


def test_a_client_that_names_no_process_is_asked_to_drain_only(ada, token):
    nameless = Socket(ada, token, process="")
    restarts.ask(ada, by="olga")

    assert [messages.AgentDesired(drain=True)] == nameless.hears()


def test_that_it_may_work_again_is_told_before_the_work(ada, socket):
    restarts.ask(ada, by="olga")
    socket.hears()
    restarts.withdraw(ada, by="olga")
    cast.assigned(cast.queued_task(target=ada))

    first, second = socket.hears()

    assert (messages.AgentDesired(), messages.TaskAssign) == (first, type(second))


@pytest.mark.parametrize("verb", ["pause", "resume", "ask", "withdraw"])
def test_the_agents_socket_is_woken_at_once(ada, socket, verb, django_capture_on_commit_callbacks):
    presence.pause(ada, by="olga")
    if verb != "ask":
        restarts.ask(ada, by="olga")
    if verb == "pause":
        presence.resume(ada, by="olga")
    act = {"pause": presence.pause, "resume": presence.resume, "ask": restarts.ask, "withdraw": restarts.withdraw}[verb]
    heard: list[str] = []
    hints.listen(ada.group, lambda: heard.append(verb))
    with django_capture_on_commit_callbacks(execute=True):
        act(ada, by="olga")

    assert heard


def test_a_socket_that_missed_the_hint_is_found_by_the_heart(ada, socket):
    found = []
    for act in (presence.pause, restarts.ask, restarts.withdraw, presence.resume):
        act(ada, by="olga")
        found.append(socket.misled)
        socket.hears()
        found.append(socket.misled)

    assert [True, False] * 4 == found
