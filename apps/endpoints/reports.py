"""What is found out about endpoints and machines: by the hub's own looks, and by what agents say of theirs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from apps.endpoints.health import Health, after
from apps.endpoints.models import Endpoint, Host, Model, Origin, Restart
from apps.endpoints.ollama import Looked
from apps.endpoints.place import canonical
from apps.events.kinds import Kind
from apps.events.log import hint, record

TELL = ("dashboard",)
_MEASURED = ("dialect", "tokens_per_second", "trial")
_FOUND = ("grade", "digest", "context", "warm", *_MEASURED)
WANTED_AT_FIRST = 3
"""So many models of a new endpoint are tried by agents, and each is loaded for it. An operator may want more."""
MOST_PER_AGENT, MOST_MODELS = 20, 200
"""An agent may say what it likes; it cannot fill the registry with it. What it offers works without an entry, too."""
ENOUGH = 0.75
"""So much of a trial must have gone right for one agent's verdict to spare the others theirs."""
SMALLEST_CONTEXT = 4_096
"""Tokens; less holds no task, its tools and an answer."""


@transaction.atomic
def looked(endpoint: Endpoint, found: Looked | None, trouble: str = "") -> None:
    """What the hub's own look at an endpoint found; None when it did not answer, and `trouble` says why."""
    now = _now_has(endpoint, answered=found is not None, trouble=trouble, version=found.version if found else None)
    if now is None or found is None:
        return
    had = {model.name: model for model in Model.objects.filter(endpoint=endpoint)}
    Model.objects.filter(endpoint=endpoint).exclude(name__in=found.names).update(installed=False, warm=False)
    wanted = len([model for model in had.values() if model.wanted and model.name in found.names])
    for seen in sorted(found.models, key=lambda model: model.name):
        facts: dict[str, Any] = {"installed": True, "digest": seen.digest, "context": seen.context, "warm": seen.warm}
        facts |= {"capabilities": list(seen.capabilities), "seen_at": Now()}
        if seen.name not in had:
            able = seen.writes and (seen.context == 0 or seen.context >= SMALLEST_CONTEXT)
            wants = able and wanted < WANTED_AT_FIRST
            wanted += wants
            Model.objects.create(endpoint=endpoint, name=seen.name, wanted=wants, **facts)
            continue
        if had[seen.name].digest != seen.digest:  # another build under the old name: what was measured is not of it
            facts |= {"dialect": "", "tokens_per_second": 0.0, "trial": {}}
        Model.objects.filter(pk=had[seen.name].pk).update(**facts)


def told(host: Host, states: Sequence[Mapping[str, Any]], *, by: str) -> dict[str, Endpoint]:
    """What the agent called `by`, on `host`, says of the endpoints that it uses; their rows by URL.

    Of an endpoint that an operator added it can say nothing: the hub looks for itself.
    """
    known: dict[str, Endpoint] = {}
    # in one order for everybody, or two agents that say the same would wait for each other
    said = sorted(states, key=lambda state: str(state["place"]))[:MOST_PER_AGENT]
    rows = {row.place: row for row in Endpoint.objects.filter(place__in=[state["place"] for state in said])}
    for state in said:
        endpoint = rows.get(state["place"])
        if endpoint is None and not state.get("own", True):  # it has not heard yet that the operator's is gone
            continue
        endpoint = endpoint or _reported(state, by, {str(one["place"]) for one in said})
        known[state["url"]] = endpoint
        if endpoint.origin != Origin.AGENT:
            continue
        if state["place"].startswith(f"{host.machine} ") and endpoint.host_id != host.pk:
            Endpoint.objects.filter(pk=endpoint.pk).update(host=host)
        _now_has(
            endpoint,
            answered={"up": True, "down": False}.get(state["health"]),
            trouble=state.get("trouble", ""),
            version=state.get("version", ""),
            at_once=True,
        )
    return known


def ours_at(urls: Iterable[str]) -> dict[str, Endpoint]:
    """The endpoints that operators added at these addresses, by address as it was given."""
    places: dict[str, list[str]] = defaultdict(list)
    for url in urls:
        with suppress(ValueError):
            places[canonical(url)].append(url)
    rows = Endpoint.objects.ours().filter(place__in=places) if places else ()
    return {url: row for row in rows for url in places[row.place]}


def _reported(state: Mapping[str, Any], by: str, current: set[str]) -> Endpoint:
    """A new row, in place of the oldest that the same agent has told of and does not any more, when it has many."""
    own = Endpoint.objects.filter(origin=Origin.AGENT, told_by=by)
    over = own.count() - MOST_PER_AGENT + 1
    if over > 0:
        old = own.exclude(place__in=current).order_by("checked_at", "pk").values_list("pk", flat=True)[:over]
        Endpoint.objects.filter(pk__in=list(old)).delete()
    facts = {"url": state["url"], "kind": state["kind"], "origin": Origin.AGENT, "grade": "", "told_by": by}
    # two agents of one machine may come at the same moment
    made, _ = Endpoint.objects.get_or_create(place=state["place"], defaults=facts)
    return made


def _now_has(
    endpoint: Endpoint, *, answered: bool | None, trouble: str, version: str | None, at_once: bool = False
) -> Health | None:
    """Count one look. `at_once` when whoever looked has counted the misses itself. None when it is gone meanwhile."""
    locked = Endpoint.objects.select_for_update().filter(pk=endpoint.pk, url=endpoint.url).first()
    if locked is None:  # or at another address by now
        return None
    before = Health(locked.health)
    health, misses = before, locked.misses
    if answered is not None:
        health, misses = after(before, 1 if at_once and not answered else misses, answered=answered)
    changes: dict[str, Any] = {"health": health, "misses": misses, "trouble": trouble[:500]}
    if version:
        changes["version"] = version
    Endpoint.objects.filter(pk=locked.pk).update(**changes, checked_at=Now())
    hint("machines")
    if health != before:
        kind = Kind.ENDPOINT_UP if health is Health.UP else Kind.ENDPOINT_DOWN
        record(kind, locked, tell=TELL, before=before.value, reason=changes["trouble"])
    return health


@transaction.atomic
def tried(endpoint: int, models: Sequence[Mapping[str, Any]]) -> None:
    """What agents found out about models of an endpoint, by trying them or by having them at hand."""
    locked = Endpoint.objects.select_for_update().filter(pk=endpoint).first()
    if locked is None:
        return
    rows = {row.name: row for row in Model.objects.filter(endpoint=endpoint)}
    Model.objects.filter(endpoint=endpoint, name__in=[model["name"] for model in models]).update(seen_at=Now())
    for model in sorted(models, key=lambda model: str(model["name"])):
        row = rows.get(model["name"])
        if locked.origin == Origin.OPERATOR:
            if row is not None:
                _judge(row, model)
        elif "context" in model:  # of its own that it cannot use an agent says no more
            _have(endpoint, row, model, full=len(rows) >= MOST_MODELS)


def _judge(row: Model, model: Mapping[str, Any]) -> None:
    """A verdict on a model of an operator's endpoint: of that very build, and the first one stands."""
    if row.digest != model["digest"] or row.dialect:
        return
    trials = model.get("trial", {}).get("trials", [])
    passed = sum(1 for one in trials if one["ok"])
    if trials and passed >= ENOUGH * len(trials):
        _write(row, {field: model[field] for field in _MEASURED})
    elif not trials and "trial" in model and not row.trial:
        _write(row, {"trial": model["trial"]})


def _have(endpoint: int, row: Model | None, model: Mapping[str, Any], *, full: bool) -> None:
    facts = {field: model[field] for field in _FOUND if field in model}
    if row is not None:
        _write(row, {**facts, "installed": True})
    elif not full:
        Model.objects.create(endpoint_id=endpoint, name=model["name"], seen_at=Now(), **facts)


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
        Endpoint.objects.filter(origin=Origin.AGENT, place__startswith=f"{host.machine} ").delete()
        host.delete()


def forget_old(before: datetime, *, used: Collection[int]) -> None:
    """What agents offered once and nobody has spoken of since `before`; of an operator's, only what it has no more.

    And how restarts ended before then.

    `used` are endpoints that agents offer: one that is connected all the time has nothing new to say of them.
    """
    old = Model.objects.filter(Q(endpoint__origin=Origin.AGENT) | Q(installed=False), seen_at__lt=before)
    old.exclude(endpoint__in=used).delete()
    Endpoint.objects.filter(origin=Origin.AGENT, checked_at__lt=before).exclude(pk__in=used).delete()
    Restart.objects.filter(ended_at__lt=before).delete()


def measured(host: int, load: Mapping[str, Any]) -> None:
    """How busy a machine is; the newest word counts, whichever of its agents said it."""
    with transaction.atomic():
        Host.objects.filter(pk=host).update(load=dict(load), measured_at=Now())
        hint("machines")
