"""The page of machines: how busy each is, which agents and endpoints it has, and the endpoints elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from apps.agents.models import Agent
from apps.dashboard.access import person
from apps.dashboard.acting import act
from apps.endpoints import actions, restarting
from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint, Host, Model, Origin, Restart
from apps.endpoints.strain import FRESH
from apps.events.refused import Refused
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt

MOST = 200
MAX_TYPED = 500


@dataclass(frozen=True)
class Gauge:
    """One measure of a machine, in percent of what there is."""

    name: str
    percent: int
    words: str
    tone: str = ""


@dataclass(frozen=True)
class EndpointRow:
    """One endpoint, as a person would want to know it."""

    endpoint: Endpoint
    health: str
    running: int
    reached_by: int
    models: Sequence[Model]
    can_restart: bool
    restart: Restart | None


@dataclass(frozen=True)
class MachineRow:
    """One machine, its measures, its agents, and the endpoints that are on it."""

    host: Host
    gauges: Sequence[Gauge]
    cores: Sequence[Gauge]
    stale: bool
    agents: Sequence[Agent]
    endpoints: Sequence[EndpointRow]


@require_http_methods(["GET", "HEAD", "POST"])
def machines(request: HttpRequest) -> HttpResponse:
    """`/machines`: the list; a POST adds an endpoint."""
    if request.method != "POST":
        return machines_page(request)
    typed = {name: request.POST.get(name, "").strip()[:MAX_TYPED] for name in ("url", "name", "grade")}
    try:
        actions.add(
            typed["url"], by=person(request).get_username(), name=typed["name"], grade=typed["grade"] or "local"
        )
    except Refused as no:
        response = machines_page(request, typed=typed, refused=no)
        response.status_code = no.status
        return response
    return HttpResponseRedirect(reverse("machines"))


def machines_page(
    request: HttpRequest,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refused | None = None,
    about: int | None = None,
) -> HttpResponse:
    """All machines and endpoints; `refused` stands beside the form, or beside the endpoint with the id `about`."""
    agents = list(Agent.objects.filter(retired_at__isnull=True).order_by("name")[:MOST])
    by_host = defaultdict(list)
    for row in _endpoint_rows(agents):
        by_host[row.endpoint.host_id].append(row)
    used = {agent.host_id for agent in agents} | set(by_host)
    hosts = Host.objects.filter(pk__in=[pk for pk in used if pk is not None])
    context = {
        "machines": [_machine(host, agents, by_host[host.pk]) for host in hosts],
        "elsewhere": by_host[None],
        "watch": "dashboard machines",
        "typed": typed or {},
        "refused": refused,
        "about": about,
        "here": reverse("machines"),
    }
    return render(request, "machines.html", context)


def _endpoint_rows(agents: Sequence[Agent]) -> list[EndpointRow]:
    """Every endpoint. One that an agent offers is as good as unknown while none that offers it is there."""
    open_there = Attempt.objects.open().filter(endpoint__isnull=False).values_list("endpoint", flat=True)
    running = Counter(open_there)
    reached: Counter[int] = Counter()
    for agent in agents:
        if agent.online:
            reached.update({offer["endpoint"] for offer in agent.offers if offer.get("endpoint")})
    rows = list(Endpoint.objects.prefetch_related("models").order_by("-origin", "name", "url")[:MOST])
    able, latest = restarting.able(rows), restarting.latest(rows)
    online = {agent.host_id for agent in agents if agent.online}
    return [
        EndpointRow(
            endpoint=row,
            health=_health(row, reached[row.pk], online),
            running=running[row.pk],
            reached_by=reached[row.pk],
            models=list(row.models.all()),
            can_restart=bool(able[row.pk]),
            restart=latest.get(row.pk),
        )
        for row in rows
    ]


def _health(endpoint: Endpoint, reached_by: int, online: set[int | None]) -> str:
    if endpoint.origin == Origin.AGENT and not reached_by and endpoint.host_id not in online:
        return Health.UNKNOWN
    return endpoint.health


def _machine(host: Host, agents: Sequence[Agent], endpoints: Sequence[EndpointRow]) -> MachineRow:
    load = host.load or {}
    stale = host.measured_at is None or timezone.now() - host.measured_at > FRESH
    cores = [_gauge(f"core {number}", busy, "") for number, busy in enumerate(load.get("cores") or ())]
    here = [agent for agent in agents if agent.host_id == host.pk]
    return MachineRow(host, _gauges(host, load), cores, stale, here, endpoints)


def _gauges(host: Host, load: Mapping[str, Any]) -> list[Gauge]:
    found = []
    if load.get("cpu") is not None:
        found.append(_gauge("CPU", load["cpu"], f"{host.cpus} cores" if host.cpus > 1 else ""))
    if (used := load.get("memory_used_bytes")) is not None and host.memory_bytes:
        found.append(_share("Memory", used, host.memory_bytes))
    for number, gpu in enumerate(load.get("gpus") or (), 1):
        name = gpu.get("name") or f"GPU {number}"
        if gpu.get("busy") is not None:
            found.append(_gauge(name, gpu["busy"], ""))
        if gpu.get("memory_bytes"):
            found.append(_share(f"{name} memory", gpu.get("memory_used_bytes", 0), gpu["memory_bytes"]))
    if (free := load.get("disk_free_bytes")) is not None and load.get("disk_bytes"):
        found.append(_share("Disk", load["disk_bytes"] - free, load["disk_bytes"]))
    return found


def _gauge(name: str, percent: float, words: str) -> Gauge:
    whole = round(min(max(percent, 0), 100))
    return Gauge(name, whole, words, "bad" if whole >= 95 else "warn" if whole >= 80 else "")


def _share(name: str, used: int, whole: int) -> Gauge:
    return _gauge(name, 100 * used / whole, f"{used / 1024**3:.1f} of {whole / 1024**3:.1f} GB")


def drain(endpoint: Endpoint, by: str) -> None:
    """No new work for it."""
    actions.drain(endpoint, by=by)


def resume(endpoint: Endpoint, by: str) -> None:
    """Work for it again, at once if something waits."""
    actions.resume(endpoint, by=by)
    match()


def look(endpoint: Endpoint, by: str) -> None:
    """See whether it answers, soon."""
    actions.look_soon(endpoint, by=by)


def restart(endpoint: Endpoint, by: str) -> None:
    """By the command that an agent has for it."""
    actions.ask_restart(endpoint, by=by)


def remove(endpoint: Endpoint, by: str) -> None:
    """Out of the registry."""
    actions.remove(endpoint, by=by)


VERBS: Mapping[str, Callable[[Endpoint, str], None]] = {
    "drain": drain,
    "resume": resume,
    "look": look,
    "restart": restart,
    "remove": remove,
}


@require_POST
def endpoint_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """`/endpoints/<id>/<verb>`"""
    if verb not in VERBS:
        raise Http404
    endpoint = get_object_or_404(Endpoint, pk=pk)
    return act(
        lambda: VERBS[verb](endpoint, person(request).get_username()),
        then=reverse("machines"),
        refused=lambda no: machines_page(request, refused=no, about=pk),
    )
