"""The wish that a sidecar restarts: durable, for one process of it, fulfilled by whichever process comes next.

Processes are told apart by the names that they give themselves, never by clocks: so a wish that is told late, or again,
can mean no process that began after it.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Refused

NO_WISH = {"restart_asked_at": None, "restart_asked_by": "", "restart_of": "", "restart_now": False}


@transaction.atomic
def ask(agent: Agent, *, now: bool = False, by: str) -> None:
    """Its sidecar is to restart: it gets no new work and ends itself when it has none left, so that a new one comes.

    With `now` it waits no longer than its grace and hands its work back; that can also be asked for later. Asking for
    what is asked for already changes nothing. Refused for an agent that is retired.
    """
    present = Agent.objects.filter(pk=agent.pk, retired_at__isnull=True)
    unasked = Q(restart_asked_at__isnull=True)
    if now:
        unasked |= Q(restart_now=False)
    wish = {"restart_asked_at": Now(), "restart_asked_by": by, "restart_of": F("process"), "restart_now": now}
    if present.filter(unasked).update(**wish):
        record(Kind.AGENT_RESTART_ASKED, agent, tell=["dashboard", agent.group], actor=by, now=now)
    elif not present.exists():
        raise Refused("agent_retired", f"{agent.name} is out of service.")


@transaction.atomic
def withdraw(agent: Agent, *, by: str) -> None:
    """It need not restart, unless it is at it already. The caller matches afterwards; this room knows no tasks."""
    if Agent.objects.filter(pk=agent.pk, restart_asked_at__isnull=False).update(**NO_WISH):
        record(Kind.AGENT_RESTART_WITHDRAWN, agent, tell=["dashboard", agent.group], actor=by)


def fulfil(agent: Agent, process: str) -> None:
    """`process` has said hello, in this transaction: if it is another than the one that was to end, that one has.

    A client that does not tell its processes apart fulfils nothing, for it may be the same as before.
    """
    asked = Agent.objects.filter(pk=agent.pk, restart_asked_at__isnull=False).exclude(restart_of=process)
    if process and asked.update(**NO_WISH):
        record(Kind.AGENT_RESTARTED, agent, tell=["dashboard"])
