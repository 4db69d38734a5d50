"""Endpoints that can be restarted: which agents have a command for which, and the wishes that one of them does it.

The hub never has a command, and never sends one. It tells one agent the number of a wish and an address of the agent's
own. Which agent is decided by who is told first; it is told again until it has answered or the wish has lapsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Now

from apps.endpoints.models import Ending, Endpoint, Host, Restart, Restarter
from apps.endpoints.place import canonical, place_of
from apps.events.clock import FromNow
from apps.events.kinds import Kind
from apps.events.log import record

TELL = ("dashboard",)
PATIENCE = timedelta(minutes=5)
"""A wish that nobody has fulfilled for so long is none any more: the agent is gone, or its answer was lost."""
MOST_PER_AGENT = 50


@dataclass(frozen=True)
class Wish:
    """An open restart, and the agents that may be asked for it, each with what it calls the endpoint."""

    restart: int
    agents: tuple[tuple[str, str], ...]


def offered(host: Host, addresses: Iterable[str], *, by: str) -> None:
    """The agent called `by`, on `host`, has commands for these addresses, and for no others any more."""
    said = {address for address in list(addresses)[:MOST_PER_AGENT] if _places(address, host)}
    had = dict(Restarter.objects.filter(agent=by).values_list("address", "host"))
    if had == dict.fromkeys(said, host.pk):
        return
    Restarter.objects.filter(agent=by).delete()
    Restarter.objects.bulk_create(Restarter(agent=by, host=host, address=address) for address in sorted(said))


def forget(agent: str) -> None:
    """It is out of service."""
    Restarter.objects.filter(agent=agent).delete()


def able(endpoints: Sequence[Endpoint]) -> dict[int, tuple[tuple[str, str], ...]]:
    """By endpoint, the agents that have a command for it (connected or not), each with what it calls the endpoint."""
    rows = list(Restarter.objects.select_related("host")) if endpoints else []
    return {one.pk: tuple((row.agent, row.address) for row in rows if _means(row, one)) for one in endpoints}


def _means(row: Restarter, endpoint: Endpoint) -> bool:
    """Whether that is what the agent has a command for. "This machine" is its own, or the endpoint's."""
    places = _places(row.address, row.host)
    return endpoint.place in (places if endpoint.host_id == row.host_id else places[:1])


def _places(address: str, host: Host) -> tuple[str, ...]:
    """As everybody would mean it, and as it was said; nothing for what is no address."""
    with suppress(ValueError):
        return place_of(address, host.machine), canonical(address)
    return ()


def latest(endpoints: Iterable[Endpoint]) -> dict[int, Restart]:
    """The last wish of each that ever had one."""
    newest = Restart.objects.filter(endpoint__in=endpoints).order_by().values("endpoint").annotate(last=Max("pk"))
    return {row.endpoint_id: row for row in Restart.objects.filter(pk__in=[one["last"] for one in newest])}


def wishes() -> tuple[Wish, ...]:
    """What is open now, for those who tell agents of it."""
    rows = list(Restart.objects.filter(_standing()).select_related("endpoint").order_by("pk"))
    agents = able([row.endpoint for row in rows])
    return tuple(Wish(row.pk, agents[row.endpoint_id]) for row in rows)


def take(restart: int, *, by: str) -> bool:
    """Whether the agent called `by` is the one to be asked: nobody else was, and it stands still."""
    mine = Q(agent="") | Q(agent=by)
    return bool(Restart.objects.filter(_standing(), mine, pk=restart).update(agent=by))


@transaction.atomic
def answered(restart: int, *, by: str, ok: bool, message: str, seconds: float) -> None:
    """What came of it, however late.

    Nothing changes when it was asked of somebody else, was answered already, or `lapse` has ended it.
    """
    outcome = Ending.DONE if ok else Ending.FAILED
    asked = Restart.objects.filter(pk=restart, agent=by, outcome=Ending.OPEN)
    _end(asked, outcome, message=message[-4_000:], seconds=seconds)


@transaction.atomic
def lapse(endpoint: Endpoint | None = None) -> int:
    """End the wishes, of this endpoint or of all, that nobody has answered in time; how many."""
    late = Restart.objects.filter(~_standing(), outcome=Ending.OPEN)
    if endpoint is not None:
        late = late.filter(endpoint=endpoint)
    return sum(
        _end(late.filter(pk=pk), Ending.LAPSED, message="No agent has answered in time.")
        for pk in list(late.order_by("pk").values_list("pk", flat=True))
    )


def _standing() -> Q:
    return Q(outcome=Ending.OPEN, asked_at__gt=FromNow(-PATIENCE))


def _end(open_one: QuerySet[Restart], outcome: Ending, *, message: str, seconds: float | None = None) -> int:
    """1, or 0 when there is none any more."""
    row = open_one.select_related("endpoint").first()
    if row is None:
        return 0
    ended = {"outcome": outcome, "message": message, "seconds": seconds, "ended_at": Now()}
    if not open_one.update(**ended):
        return 0
    said: dict[str, Any] = {
        "ok": outcome == Ending.DONE,
        "outcome": outcome.value,
        "reason": message[-500:],
        "agent": row.agent,
    }
    record(Kind.ENDPOINT_RESTARTED, row.endpoint, tell=TELL, restart=row.pk, seconds=seconds, **said)
    return 1
