"""The hub has a sidecar restarted: after its work, although the hub dies meanwhile; or at once; supervised or not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, eventually
from tests.journey import MARK, Upstream, outcomes, running_marks
from tests.sidecars import Sidecar, Supervised, sidecars

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Leases that outlast a restart of the hub on a slow machine."""
    return {f"AGENTCOM_LEASE_{stage}_SECONDS": "40" for stage in ("ASSIGNED", "WORKING", "BLOCKED")}


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path) -> Iterator[list[Sidecar]]:
    """`ada` has a supervisor and hardly any grace, `bob` has no supervisor."""
    with (
        sidecars(hub, base, "ada", kind=Supervised, prefixes=[()]) as (ada,),
        sidecars(hub, base, "bob", prefixes=[()]) as (bob,),
    ):
        ada.limit(drain_seconds=0.2)
        ada.end()
        yield [ada.start(), bob]


def agent(hub: Hub, name: str) -> Any:
    return hub.get(f"/api/agents/{name}")


def pid(one: Sidecar) -> int:
    assert one.process is not None
    return one.process.pid


def restarted(hub: Hub, name: str, before: Any) -> Any:
    """The agent, once a process other than `before`'s speaks for it."""

    def anew() -> Any:
        now = agent(hub, name)
        return now if now["online"] and now["process"] not in {"", before["process"]} else None

    return eventually(anew, within=60, what=f"a new process of {name}")


def remembered(hub: Hub, name: str) -> list[str]:
    """What became of the wishes for restarts of this agent."""
    code = (
        "from apps.events.models import Event; from apps.agents.models import Agent;"
        f"pk = Agent.objects.get(name={name!r}).pk;"
        "told = Event.objects.filter(subject='agent/%d' % pk, kind__startswith='agent.restart').order_by('pk');"
        "print(*told.values_list('kind', flat=True))"
    )
    return hub.shell(code).split()


def test_work_ends_and_its_pull_request_opens_before_the_restart_although_the_hub_died(
    hub: Hub, crew: list[Sidecar], upstream: Upstream
) -> None:
    ada, _ = crew
    first, before = pid(ada), agent(hub, "ada")
    task = upstream.fix(command="sleep 3; sed -i s/a.-.b/a+b/ calc.py", target_agent="ada")
    hub.await_status(task, "working")
    ada.signal(signal.SIGSTOP)  # so that nothing is fulfilled before the hub is back
    hub.post("/api/agents/ada/restart")
    next_one = hub.submit(target_agent="ada")
    hub.kill()
    hub.start(clusters=True)
    meanwhile = agent(hub, "ada")["restart"]
    ada.signal(signal.SIGCONT)
    hub.await_status(task, "completed", within=90)
    after = restarted(hub, "ada", before)
    hub.await_status(next_one, "completed")
    eventually(upstream.pulls, within=60, what="the pull request")

    assert meanwhile["asked_at"]
    assert pid(ada) != first
    assert after["restart"] is None
    assert (["succeeded"], ["succeeded"]) == (outcomes(hub, task), outcomes(hub, next_one))
    assert ["agent.restart_asked", "agent.restarted"] == remembered(hub, "ada")


def test_without_a_supervisor_it_takes_its_own_place_and_hands_back_its_work_when_it_must_not_wait(
    hub: Hub, crew: list[Sidecar]
) -> None:
    _, bob = crew
    bob.limit(drain_seconds=0.5)
    before = agent(hub, "bob")
    hub.post("/api/agents/bob/restart")
    second = restarted(hub, "bob", before)
    task = hub.submit(command=f"for i in $(seq 3000); do sleep 0.2; done; echo {MARK}", target_agent="bob")
    hub.await_status(task, "working")
    eventually(running_marks, what="the command")
    hub.post("/api/agents/bob/restart", {"now": True})  # the grace is that of the settings which it has read anew
    third = restarted(hub, "bob", second)
    eventually(lambda: len(outcomes(hub, task)) > 1, what="another attempt")
    seen = hub.task(task)
    hub.post(f"/api/tasks/{task}/cancel")
    eventually(lambda: not running_marks(), what="the end of the command")
    hub.await_status(hub.submit(target_agent="bob"), "completed")
    _, status = bob.says("status")

    assert "released" == outcomes(hub, task)[0]
    assert "drained" == seen["attempts"][0]["error_code"]
    assert 3 == len({one["process"] for one in (before, second, third)})
    assert f"bob: running (process {pid(bob)})\n" in status
    assert ["agent.restart_asked", "agent.restarted"] * 2 == remembered(hub, "bob")
