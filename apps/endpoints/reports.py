"""What is found out about endpoints and machines: by the hub's own looks, and by what agents say of theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.endpoints.health import Health, after
from apps.endpoints.models import Endpoint, Host, Model, Origin
from apps.endpoints.ollama import Looked
from apps.endpoints.place import canonical
from apps.events.kinds import Kind
from apps.events.log import hint, record

TELL = ("dashboard",)
WANTED_AT_FIRST = 3
"""So many models of a new endpoint are tried by agents, and each is loaded for it. An operator may want more."""
MOST_REPORTED, MOST_MODELS = 2_000, 200
"""An agent may say what it likes; it cannot fill the registry with it. What it offers works without an entry, too."""
SMALLEST_CONTEXT = 4_096
"""Tokens; less holds no task, its tools and an answer."""


@transaction.atomic
def looked(endpoint: Endpoint, found: Looked | None, trouble: str = "") -> None:
    """What the hub's own look at an endpoint found; None when it did not answer, and `trouble` says why."""
    now = _now_has(endpoint, answered=found is not None, trouble=trouble, version=found.version if found else None)
    if now is None or found is None:
        return
    had = {model.name: model for model in Model.objects.filter(endpoint=endpoint)}
    for seen in found.models:
        facts: dict[str, Any] = {"installed": True, "digest": seen.digest, "context": seen.context, "warm": seen.warm}
        facts |= {"capabilities": list(seen.capabilities), "seen_at": Now()}
        if seen.name not in had:
            room = sum(1 for model in had.values() if model.wanted) < WANTED_AT_FIRST
            able = seen.writes and (seen.context == 0 or seen.context >= SMALLEST_CONTEXT)
            had[seen.name] = Model.objects.create(endpoint=endpoint, name=seen.name, wanted=room and able, **facts)
            continue
        if had[seen.name].digest != seen.digest:  # another build under the old name: what was measured is not of it
            facts |= {"dialect": "", "tokens_per_second": 0.0, "trial": {}}
        Model.objects.filter(pk=had[seen.name].pk).update(**facts)
    gone = Model.objects.filter(endpoint=endpoint).exclude(name__in=[seen.name for seen in found.models])
    gone.update(installed=False, warm=False)


def told(host: Host, states: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], int]:
    """What an agent on `host` says of the endpoints that it was set up with; their ids by kind and place.

    Of an endpoint that an operator added it can say nothing: the hub looks for itself.
    """
    known: dict[tuple[str, str], int] = {}
    for state in states:
        place = str(state["place"])
        endpoint = _reported(host, state, place)
        if endpoint is None:
            continue
        known[state["kind"], place] = endpoint.pk
        if endpoint.origin == Origin.AGENT:
            _now_has(
                endpoint,
                answered={"up": True, "down": False}.get(state["health"]),
                trouble=state.get("trouble", ""),
                version=state.get("version", ""),
                at_once=True,
            )
    return known


def _reported(host: Host, state: Mapping[str, Any], place: str) -> Endpoint | None:
    # An operator who allows addresses of this machine means the hub's; an agent that was told of one means that, too.
    added = Endpoint.objects.ours().filter(place=canonical(state["url"])).first()
    found = added or Endpoint.objects.filter(place=place).first()
    if found is None:
        if Endpoint.objects.filter(origin=Origin.AGENT).count() >= MOST_REPORTED:
            return None
        facts = {"url": state["url"], "kind": state["kind"], "origin": Origin.AGENT, "grade": ""}
        # two agents of one machine may come at the same moment
        found, _ = Endpoint.objects.get_or_create(place=place, defaults=facts)
    if found.origin == Origin.AGENT and place.startswith(f"{host.machine} ") and found.host_id != host.pk:
        Endpoint.objects.filter(pk=found.pk).update(host=host)
    return found


def _now_has(
    endpoint: Endpoint, *, answered: bool | None, trouble: str, version: str | None, at_once: bool = False
) -> Health | None:
    """Count one look. `at_once` when whoever looked has counted the misses itself. None when it is gone meanwhile."""
    locked = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if locked is None:
        return None
    before = Health(locked.health)
    health, misses = before, locked.misses
    if answered is not None:
        health, misses = after(before, 1 if at_once and not answered else misses, answered=answered)
    changes: dict[str, Any] = {"health": health, "misses": misses, "trouble": "" if answered else trouble[:500]}
    if version:
        changes["version"] = version
    Endpoint.objects.filter(pk=locked.pk).update(**changes, checked_at=Now())
    if health != before:
        kind = Kind.ENDPOINT_UP if health is Health.UP else Kind.ENDPOINT_DOWN
        record(kind, locked, tell=TELL, before=before.value, reason=changes["trouble"])
    return health


@transaction.atomic
def tried(endpoint: int, models: Sequence[Mapping[str, Any]]) -> None:
    """What agents found out about models of an endpoint, by trying them or by having them at hand."""
    rows = {row.name: row for row in Model.objects.filter(endpoint=endpoint)}
    Model.objects.filter(endpoint=endpoint, name__in=[model["name"] for model in models]).update(seen_at=Now())
    ours = Endpoint.objects.filter(pk=endpoint, origin=Origin.OPERATOR).exists()
    for model in models:
        row = rows.get(model["name"])
        facts = {field: model[field] for field in _FOUND if field in model}
        if ours:  # that it is there, and what it is, the hub sees for itself
            if row is not None and row.digest == model["digest"]:
                _write(row, {field: facts[field] for field in _MEASURED if field in facts})
            continue
        if "context" not in facts:  # one that it cannot use, of its own: it says no more of that
            continue
        if row is None and len(rows) >= MOST_MODELS:
            continue
        if row is None:
            said = {**facts, "seen_at": Now()}
            Model.objects.update_or_create(endpoint_id=endpoint, name=model["name"], defaults=said)
        else:
            _write(row, {**facts, "installed": True})


_MEASURED = ("dialect", "tokens_per_second", "trial")
_FOUND = ("grade", "digest", "context", "warm", *_MEASURED)


def _write(row: Model, facts: Mapping[str, Any]) -> None:
    changed = {field: value for field, value in facts.items() if getattr(row, field) != value}
    if changed:
        Model.objects.filter(pk=row.pk).update(**changed)


def introduce(machine: str, facts: Mapping[str, Any]) -> Host:
    """The machine that an agent says it is on, as it describes it now."""
    host, made = Host.objects.get_or_create(machine=machine, defaults=dict(facts))
    changed = {field: value for field, value in facts.items() if getattr(host, field) != value}
    if changed and not made:
        Host.objects.filter(pk=host.pk).update(**changed)
        for field, value in changed.items():
            setattr(host, field, value)
    return host


def forget(hosts: QuerySet[Host]) -> None:
    """Machines on which nobody is any more, with what only they had."""
    for host in hosts:
        Endpoint.objects.filter(host=host, origin=Origin.AGENT).delete()
        host.delete()


def forget_old(before: datetime) -> None:
    """What agents offered once and nobody has spoken of since `before`; of an operator's, only what it has no more."""
    Model.objects.filter(Q(endpoint__origin=Origin.AGENT) | Q(installed=False), seen_at__lt=before).delete()
    Endpoint.objects.filter(origin=Origin.AGENT, checked_at__lt=before).delete()


def measured(host: int, load: Mapping[str, Any]) -> None:
    """How busy a machine is; the newest word counts, whichever of its agents said it."""
    with transaction.atomic():
        Host.objects.filter(pk=host).update(load=dict(load), measured_at=Now())
        hint("machines")
