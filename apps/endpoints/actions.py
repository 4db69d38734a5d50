"""What operators do with endpoints: add, change, drain, remove, have restarted."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import structlog
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django_q.tasks import async_task

from apps.endpoints import restarting
from apps.endpoints.guard import checked
from apps.endpoints.health import Health
from apps.endpoints.models import GRADE, Ending, Endpoint, Host, Model, Origin, Restart
from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid, Refused

logger = structlog.get_logger(__name__)
TELL = ("dashboard",)
_SAID = ("name", "grade", "url", "host")


class Kept(Enum):
    """Stands for what is not given where None means something."""

    KEPT = "kept"


class Known(Refused):
    """There is an endpoint at {url} already."""


class Gone(Refused):
    """The endpoint was removed already."""


class NotOurs(Refused):
    """{name} is offered by an agent, out of its own settings; drain it here, or remove it there."""


class NobodyCan(Refused):
    """No agent has a command that restarts {name}; `restarts` in the config.json of one on its machine can name it."""


@transaction.atomic
def add(url: str, *, by: str, name: str = "", grade: str = "local", host: Host | None = None) -> Endpoint:
    """Take an Ollama into the registry; its first look is queued. Raises Invalid for a field, and Known.

    An address that agents offer out of their settings is taken over from them.
    """
    where = _allowed(url)
    # One that agents offer there becomes an operator's, the same row: it is what their offers are tied to.
    theirs = Endpoint.objects.select_for_update().filter(place=where, origin=Origin.AGENT).first()
    endpoint = Endpoint(
        pk=theirs.pk if theirs else None,
        place=where,
        url=where,
        name=name.strip(),
        grade=_grade(grade),
        host=host,
        draining=bool(theirs and theirs.draining),
    )
    _fits(endpoint)
    if theirs:
        Model.objects.filter(endpoint=theirs).delete()
    try:
        with transaction.atomic():
            endpoint.save(force_insert=theirs is None, force_update=theirs is not None)
    except IntegrityError as taken:
        raise Known("endpoint_known", url=where) from taken
    record(Kind.ENDPOINT_ADDED, endpoint, tell=TELL, actor=by, url=where)
    return endpoint


@transaction.atomic
def change(
    endpoint: Endpoint,
    *,
    by: str,
    name: str | None = None,
    grade: str | None = None,
    url: str | None = None,
    host: Host | Literal[Kept.KEPT] | None = Kept.KEPT,
) -> None:
    """Only what is given changes; `host` None takes it off its machine. Raises Invalid, Known and NotOurs.

    At another address it is looked at anew, and its models with it.
    """
    before = _locked(endpoint)
    if grade is not None or url is not None:
        _ours(before)
    changes = _changes(before, name=name, grade=grade, url=url)
    if host is not Kept.KEPT and host != before.host:
        changes["host"] = host
    if not changes:
        return
    for field, value in changes.items():
        setattr(endpoint, field, value)
    _fits(endpoint)
    _write(endpoint, changes)
    said = {field: str(value) if value is not None else None for field, value in changes.items() if field in _SAID}
    record(Kind.ENDPOINT_CHANGED, endpoint, tell=TELL, actor=by, **said)


def _changes(before: Endpoint, *, name: str | None, grade: str | None, url: str | None) -> dict[str, Any]:
    """What differs of what is given. At another address nothing is known of it."""
    changes: dict[str, Any] = {}
    if name is not None and name.strip() != before.name:
        changes["name"] = name.strip()
    if grade is not None and _grade(grade) != before.grade:
        changes["grade"] = grade
    if url is not None and (where := _allowed(url)) != before.place:
        changes |= {"place": where, "url": where, "health": Health.UNKNOWN, "misses": 0, "trouble": "", "version": ""}
    return changes


def _write(endpoint: Endpoint, changes: dict[str, Any]) -> None:
    try:
        with transaction.atomic():
            Endpoint.objects.filter(pk=endpoint.pk).update(**changes)
    except IntegrityError as taken:
        raise Known("endpoint_known", url=changes["url"]) from taken
    if "place" in changes:
        Model.objects.filter(endpoint=endpoint).delete()


@transaction.atomic
def drain(endpoint: Endpoint, *, by: str) -> None:
    """No new work for it, whoever it belongs to; what is running goes on."""
    if Endpoint.objects.filter(pk=endpoint.pk, draining=False).update(draining=True):
        record(Kind.ENDPOINT_DRAINED, endpoint, tell=TELL, actor=by)


@transaction.atomic
def resume(endpoint: Endpoint, *, by: str) -> None:
    """Work for it again."""
    if Endpoint.objects.filter(pk=endpoint.pk, draining=True).update(draining=False):
        record(Kind.ENDPOINT_RESUMED, endpoint, tell=TELL, actor=by)


@transaction.atomic
def remove(endpoint: Endpoint, *, by: str) -> None:
    """Out of the registry. Attempts that run there go on: their agents have its address. Raises NotOurs."""
    locked = _locked(endpoint)  # an assignment that is under way ends first, or finds it gone
    _ours(locked)
    record(Kind.ENDPOINT_REMOVED, locked, tell=TELL, actor=by, url=locked.url)
    locked.delete()


def look_soon(endpoint: Endpoint, *, by: str) -> None:
    """Have the hub look at it as soon as a job can. Raises NotOurs: it never calls an address that an agent named."""
    _ours(endpoint)
    async_task("apps.endpoints.jobs.look", endpoint.pk, group=f"endpoint/{endpoint.pk}")
    logger.info("a look was asked for", endpoint=endpoint.pk, by=by)


@transaction.atomic
def ask_restart(endpoint: Endpoint, *, by: str) -> Restart:
    """Have an agent restart it that has a command for it. Raises Gone and NobodyCan.

    While one wish is open, asking again is the same wish.
    """
    locked = _locked(endpoint)
    restarting.lapse(locked)
    if standing := Restart.objects.filter(endpoint=locked, outcome=Ending.OPEN).first():
        return standing
    if not restarting.able([locked])[locked.pk]:
        raise NobodyCan("endpoint_not_restartable", name=str(locked))
    made = Restart.objects.create(endpoint=locked, asked_by=by[:150])
    record(Kind.ENDPOINT_RESTART_ASKED, locked, tell=TELL, actor=by, restart=made.pk)
    return made


@transaction.atomic
def want(model: Model, wanted: bool, *, by: str) -> None:
    """Whether agents may work with one model of an operator's endpoint. Raises NotOurs.

    One that was not wanted and is again is tried anew, whatever was found before.
    """
    _ours(model.endpoint)
    anew: dict[str, Any] = {"dialect": "", "tokens_per_second": 0.0, "trial": {}} if wanted else {}
    if Model.objects.filter(pk=model.pk).exclude(wanted=wanted).update(wanted=wanted, **anew):
        record(Kind.ENDPOINT_CHANGED, model.endpoint, tell=TELL, actor=by, model=model.name, wanted=wanted)


def check(*, url: str, grade: str | None, known: int | None = None) -> None:
    """Whether `add`, or `change` of the endpoint with the id `known`, would take these. Raises as they do."""
    if known is not None and Endpoint.objects.filter(pk=known, origin=Origin.AGENT).exists():
        return
    where = _allowed(url)
    if grade is not None:
        _grade(grade)
    there = Endpoint.objects.filter(place=where).exclude(pk=known or 0)
    if (there.ours() if known is None else there).exists():  # what agents offer there is only taken over by `add`
        raise Known("endpoint_known", url=where)


def _locked(endpoint: Endpoint) -> Endpoint:
    """The row, held. Raises Gone."""
    found = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
    if found is None:
        raise Gone("endpoint_gone")
    return found


def _ours(endpoint: Endpoint) -> None:
    if endpoint.origin != Origin.OPERATOR:
        raise NotOurs("endpoint_of_an_agent", name=str(endpoint))


def _allowed(url: str) -> str:
    try:
        return checked(url.strip(), networks=settings.ENDPOINT_NETWORKS, ports=settings.ENDPOINT_PORTS)
    except ValueError as wrong:
        raise Invalid("url", str(wrong)) from wrong


def _grade(grade: str) -> str:
    try:
        GRADE(grade)
    except ValidationError as wrong:
        raise Invalid("grade", " ".join(wrong.messages)) from wrong
    return grade


def _fits(endpoint: Endpoint) -> None:
    if len(endpoint.name) > 100 or not endpoint.name.isprintable():
        raise Invalid("name", "A name has at most 100 characters, and none that cannot be printed.")
