"""Endpoints and machines on the wire: what the hub tells agents of, what they tell, and where work goes by it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.agents.models import Agent
from apps.endpoints import actions
from apps.endpoints.models import Endpoint, Host, Model
from apps.gateway import inbound, known
from apps.gateway.outbound import Told, news
from apps.tasks import attempts, fallback
from apps.tasks.attempts import Fence
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.waiting import why
from sidecar.wire import BadFrame, decode_from_hub, decode_from_sidecar, encode, messages, nouns
from tests import cast
from tests.rest import known as known_token
from tests.rest import of_agent

pytestmark = pytest.mark.django_db
GPU = "http://gpu.example.org:11434"
HERE = "http://127.0.0.1:11434"


def offer(url: str = HERE, **facts: Any) -> nouns.ModelOffer:
    return nouns.ModelOffer(**{"executor": "ollama", "model": "qwen3:8b", "url": url, "warm": True, **facts})


def greet(
    agent: Agent, *offers: nouns.ModelOffer, machine: str = "m1", load: nouns.Load | None = None
) -> inbound.Frames:
    """What `agent` says of itself, as it comes over the wire."""
    urls = dict.fromkeys(one.url for one in offers if one.url)
    said = messages.Hello(
        version=1,
        models=list(offers),
        endpoints=[nouns.EndpointState(kind="ollama", url=url, health="up") for url in urls],
        sandbox=nouns.Sandbox(level="bubblewrap"),
        host=nouns.Host(machine=machine, hostname=f"host-{machine}", memory_bytes=10**10, load=load),
    )
    heard = decode_from_sidecar(encode(said))
    assert isinstance(heard, messages.Hello)
    return inbound.hello(agent, f"{agent.name}.1", heard, Told())


def agents(*names: str) -> list[Agent]:
    return [cast.agent(name, online=False) for name in names]


def in_words() -> Task:
    return cast.queued_task(command="", tier="standard")


def given(task: Task) -> Attempt:
    match()
    return Attempt.objects.get(task=task)


def over(attempt: Attempt) -> None:
    attempts.release(Fence(attempt.task_id, attempt.pk, attempt.agent_id), "drained", "")
    Task.objects.filter(pk=attempt.task_id).update(status="cancelled", finished_at=timezone.now(), demand=None)


def frames(agent: Agent, told: Told) -> list[messages.Frame]:
    token = known_token(of_agent(agent).secret)
    agent.refresh_from_db()
    return [decode_from_hub(encode(one)) for one in news(agent.pk, str(agent.connection), token.pk, told).frames]


def test_agents_hear_of_operators_endpoints_once_and_again_when_something_changes() -> None:
    (ada,) = agents("ada")
    greet(ada)
    told = Told()
    nothing = frames(ada, told)
    endpoint = actions.add(GPU, by="olga", grade="gpu")
    Model.objects.create(endpoint=endpoint, name="qwen3:32b", digest="d")
    Model.objects.create(endpoint=endpoint, name="unwanted:1b", wanted=False)
    known.refresh()
    first, again = frames(ada, told), frames(ada, told)
    actions.remove(endpoint, by="olga")
    known.refresh()
    (last,) = frames(ada, told)

    assert ([], []) == (nothing, again)
    (said,) = first
    assert isinstance(said, messages.EndpointsKnown)
    assert [(GPU, "gpu", ["qwen3:32b"])] == [(e.url, e.grade, [m.name for m in e.models]) for e in said.endpoints]
    assert messages.EndpointsKnown() == last


def test_an_agent_that_comes_back_hears_that_there_is_nothing_any_more() -> None:
    """It was away when the last endpoint was removed, and still offers it."""
    (ada,) = agents("ada")

    assert messages.EndpointsKnown() in greet(ada, offer(GPU))


def test_a_sidecar_that_knows_no_such_frame_hears_none_while_there_are_no_endpoints() -> None:
    (ada,) = agents("ada")
    greet(ada)

    assert [] == frames(ada, Told())


def test_the_assignment_says_at_which_endpoint() -> None:
    (ada,) = agents("ada")
    actions.add(GPU, by="olga")
    greet(ada, offer(GPU))
    attempt = given(in_words())
    assign = next(one for one in frames(ada, Told()) if isinstance(one, messages.TaskAssign))

    assert (GPU, "qwen3:8b") == (assign.url, assign.model)
    assert (Endpoint.objects.get().pk, GPU) == (attempt.endpoint_id, attempt.decision["endpoint"])


def test_a_busier_machine_is_passed_over_and_the_decision_says_so() -> None:
    ada, ben = agents("ada", "ben")
    greet(ada, offer(), machine="m1", load=nouns.Load(cpu=95.0))
    greet(ben, offer(), machine="m2", load=nouns.Load(cpu=5.0))
    attempt = given(in_words())

    assert ben.pk == attempt.agent_id
    assert [
        {"agent": "ada", "reason": f"qwen3:8b at {HERE} has more to do (nothing running, CPU 95%)"}
    ] == attempt.decision["losers"]


def test_a_load_that_nobody_has_measured_lately_says_nothing() -> None:
    ada, ben = agents("ada", "ben")
    greet(ada, offer(), machine="m1", load=nouns.Load(cpu=95.0))
    greet(ben, offer(), machine="m2", load=nouns.Load(cpu=5.0))
    Host.objects.update(measured_at=timezone.now() - timedelta(minutes=2))

    assert ada.pk == given(in_words()).agent_id


def test_what_runs_at_an_endpoint_counts_whoever_it_is_for() -> None:
    ada, ben, cy = agents("ada", "ben", "cy")
    greet(ada, offer(), machine="m1")
    greet(ben, offer(), machine="m1")  # the same Ollama
    greet(cy, offer(), machine="m2")
    chosen = [given(in_words()).agent_id for _ in range(2)]

    assert [ada.pk, cy.pk] == chosen


def test_a_drained_endpoint_gets_nothing_new_and_what_waits_says_why() -> None:
    (ada,) = agents("ada")
    greet(ada, offer())
    endpoint = Endpoint.objects.get()
    actions.drain(endpoint, by="olga")
    task = in_words()
    match()
    waits = why(cast.fresh(task))
    actions.resume(endpoint, by="olga")

    assert f"No connected agent fits: ada has qwen3:8b at {HERE}, which is being drained." == waits
    assert ada.pk == given(task).agent_id


def test_a_chain_moves_on_from_an_endpoint_that_is_down_after_its_wait() -> None:
    ada, ben = agents("ada", "ben")
    endpoint = actions.add(GPU, by="olga")
    greet(ada, offer(GPU))
    greet(ben, offer(executor="claude", model="claude-sonnet-5-5", grade="claude", url=""))
    Endpoint.objects.filter(pk=endpoint.pk).update(health="down")
    task = in_words()
    match()
    fallback.widen()
    soon = cast.fresh(task).grades
    long_ago = timezone.now() - timedelta(hours=1)
    Task.objects.filter(pk=task.pk).update(queued_at=long_ago)
    Demand.objects.update(in_vain_since=long_ago)
    fallback.widen()

    assert (["local"], ["local", "claude"]) == (soon, cast.fresh(task).grades)
    assert ben.pk == given(task).agent_id


def test_two_equal_endpoints_share_twenty_tasks_within_two() -> None:
    (ada,) = agents("ada")
    other = GPU.replace("gpu", "gpu-2")
    for url in (GPU, other):
        actions.add(url, by="olga")
    greet(ada, offer(GPU), offer(other))
    for _ in range(20):
        over(given(in_words()))

    shares = [Attempt.objects.filter(url=url).count() for url in (GPU, other)]
    assert (20, True) == (sum(shares), abs(shares[0] - shares[1]) <= 2)


def test_an_agents_own_endpoint_goes_before_a_shared_one() -> None:
    (ada,) = agents("ada")
    actions.add(GPU, by="olga")
    greet(ada, offer(GPU), offer(HERE))

    assert {HERE} == {_url_of_the_next() for _ in range(3)}


def _url_of_the_next() -> str:
    attempt = given(in_words())
    over(attempt)
    return attempt.url


def test_an_endpoint_that_is_removed_while_work_runs_there_takes_nothing_from_it() -> None:
    (ada,) = agents("ada")
    endpoint = actions.add(GPU, by="olga")
    greet(ada, offer(GPU))
    task = in_words()
    attempt = given(task)
    actions.remove(endpoint, by="olga")
    attempts.accept(Fence(task.pk, attempt.pk, ada.pk))
    attempt.refresh_from_db()

    assert (None, GPU, "working") == (attempt.endpoint_id, attempt.url, cast.status_of(task))


def test_an_offer_at_a_removed_endpoint_is_no_offer() -> None:
    (ada,) = agents("ada")
    endpoint = actions.add(GPU, by="olga")
    greet(ada, offer(GPU))
    actions.remove(endpoint, by="olga")
    task = in_words()

    assert 0 == match()
    assert "which was removed" in why(cast.fresh(task))


def test_what_a_machine_measures_is_kept_and_the_newest_counts() -> None:
    (ada,) = agents("ada")
    greet(ada, offer(), load=nouns.Load(cpu=1.0))
    frame = messages.HostMeasured(load=nouns.Load(cpu=77.0, gpus=[nouns.Gpu(name="T4", busy=5.0)]))
    heard = decode_from_sidecar(encode(frame))
    assert isinstance(heard, messages.HostMeasured)

    assert [] == inbound.host_measured(ada, heard, Told())
    assert (77.0, "T4") == (Host.objects.get().load["cpu"], Host.objects.get().load["gpus"][0]["name"])


@pytest.mark.parametrize(
    "load", ['{"cpu": 101}', '{"cpu": -1}', '{"cpu": "NaN"}', '{"cores": "x"}', '{"gpus": [{"busy": 1e999}]}', "7"]
)
def test_a_load_that_cannot_be_is_no_frame(load: str) -> None:

    with pytest.raises(BadFrame):
        decode_from_sidecar(f'{{"type": "host.measured", "load": {load}}}')
