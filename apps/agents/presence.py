"""Who is there. The newest socket speaks for an agent; an older one can neither do that nor log it off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.agents import offering, restarts, tokens
from apps.agents.models import Agent
from apps.endpoints import reports, restarting
from apps.endpoints.models import Host
from apps.events.kinds import Kind
from apps.events.log import hint, record
from apps.events.refused import Refused

NAMELESS = "of agent "
"""How the machine of an agent is called that says none; its number follows."""
_FACTS = ("executors", "capabilities", "sandbox", "sandbox_detail", "software")


@transaction.atomic
def join(agent: Agent, connection: str, facts: Mapping[str, Any], *, process: str = "") -> None:
    """`connection` speaks for the agent from now on; whichever did before is told to close.

    `process` is what the sidecar calls this start of its program; empty when it does not tell them apart.
    """
    before = Agent.objects.filter(pk=agent.pk).values_list("host", flat=True).first()
    host = _host(agent, facts["host"])
    offers = offering.take(host, facts["offers"], facts.get("endpoints", ()), by=agent.name)
    restarting.offered(host, facts.get("restarts", ()), by=agent.name)
    Agent.objects.filter(pk=agent.pk).update(
        connection=connection,
        connected_at=Now(),
        seen_at=Now(),
        process=process,
        host=host,
        offers=offers,
        **{field: facts[field] for field in _FACTS},
    )
    if before is not None and before != host.pk:
        reports.forget(Host.objects.filter(pk=before, agents__isnull=True))
    record(Kind.AGENT_JOINED, agent, tell=["dashboard", agent.group], software=facts["software"])
    restarts.fulfil(agent, process)


def _host(agent: Agent, said: Mapping[str, Any]) -> Host:
    """The machine that the agent is on. One that does not say which it is shares it with nobody."""
    facts = {field: said[field] for field in ("hostname", "system", "memory_bytes") if field in said}
    facts["cpus"] = min(said.get("cpus", 0), offering.LARGEST)
    machine = said.get("machine", "")
    if not machine or machine.startswith(NAMELESS):  # nobody may be taken for another that says nothing
        machine = f"{NAMELESS}{agent.pk}"
    host = reports.introduce(machine, facts)
    if load := said.get("load"):
        reports.measured(host.pk, load)
    return host


def measured(agent: Agent, load: Mapping[str, Any]) -> None:
    """How busy the agent's machine is now. No event: it is said every few seconds."""
    host = Agent.objects.filter(pk=agent.pk).values_list("host", flat=True).first()
    if host is not None:
        reports.measured(host, load)


@transaction.atomic
def offer(agent: Agent, said: Sequence[Mapping[str, Any]], endpoints: Sequence[Mapping[str, Any]]) -> None:
    """The agent has other models than before. Nothing is taken from it; the next assignment goes by these."""
    host = Host.objects.get(agents=agent.pk)
    offers = offering.take(host, said, endpoints, by=agent.name)
    if Agent.objects.filter(pk=agent.pk).exclude(offers=offers).update(offers=offers):
        record(Kind.AGENT_OFFERED, agent, tell=["dashboard"], models=[one["model"] for one in offers])


def leave(agent: Agent, connection: str) -> bool:
    """The socket closed. False when another one speaks for the agent already. Nothing is taken from the agent."""
    with transaction.atomic():
        if not Agent.objects.filter(pk=agent.pk, connection=connection).update(connection=None, seen_at=Now()):
            return False
        record(Kind.AGENT_LEFT, agent, tell=["dashboard"])
    return True


def seen(connections: Iterable[str]) -> None:
    """Confirm that these sockets of this process are alive: one statement, however many there are."""
    alive = list(connections)
    for start in range(0, len(alive), 500):
        Agent.objects.filter(connection__in=alive[start : start + 500]).update(seen_at=Now())


def forget_the_vanished() -> int:
    """Log off agents whose web process fell silent without a word. The number of agents."""
    return _forget(Agent.objects.filter(connection__isnull=False).exclude(pk__in=Agent.objects.online().values("pk")))


def forget_all_of(process: str) -> int:
    """Log off agents whose web process is known to have died, or work would be given to sockets that are no more."""
    return _forget(Agent.objects.filter(connection__startswith=f"{process}."))


def _forget(gone: QuerySet[Agent]) -> int:
    count = 0
    for agent in gone:
        if agent.connection is not None and leave(agent, agent.connection):
            count += 1
    return count


@transaction.atomic
def pause(agent: Agent, *, by: str) -> None:
    """Drain it: no new work for this agent; what is running goes on, and its sidecar knows."""
    if Agent.objects.filter(pk=agent.pk, paused=False).update(paused=True):
        record(Kind.AGENT_PAUSED, agent, tell=["dashboard", agent.group], actor=by)


@transaction.atomic
def resume(agent: Agent, *, by: str) -> None:
    """Work again. The caller matches afterwards; this room knows no tasks."""
    if Agent.objects.filter(pk=agent.pk, paused=True).update(paused=False):
        record(Kind.AGENT_RESUMED, agent, tell=["dashboard"], actor=by)
    hint(agent.group)


@transaction.atomic
def retire(agent: Agent, *, by: str) -> None:
    """Out of service for good: its tokens end, its socket closes, its name and history stay.

    Refused unless it is paused and holds nothing: without a token it could neither deliver its work nor salvage it.
    """
    fresh = Agent.objects.select_for_update().get(pk=agent.pk)
    if fresh.retired_at is not None:
        return
    if not fresh.paused:
        raise Refused("agent_not_paused", f"Pause {agent.name} first; what it has in hand can end then.")
    if Agent.objects.filter(pk=agent.pk, attempts__isnull=False, attempts__ended_at__isnull=True).exists():
        raise Refused("agent_busy", f"{agent.name} still has a task in hand; let it end, or cancel it.")
    Agent.objects.filter(pk=agent.pk).update(retired_at=Now())
    record(Kind.AGENT_RETIRED, agent, tell=["dashboard", agent.group], actor=by)
    restarting.forget(agent.name)
    tokens.revoke_all(agent, by=by)
