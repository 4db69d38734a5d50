"""The only door to status and events: transition(), record(), hint().

A change, the memory of it and the jobs that follow from it are one commit. After the commit a hint goes out, which may
be lost: whoever hears it reads the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Protocol

from django.conf import settings
from django.db import connection, models, transaction
from django.utils.module_loading import import_string
from django_q.tasks import async_task

from apps.events import hints, statements
from apps.events.kinds import Kind
from apps.events.lifecycle import Lifecycle
from apps.events.models import Event
from apps.events.refused import Stale


class Living(Protocol):
    """A row with a status that follows a lifecycle."""

    LIFECYCLE: Lifecycle
    pk: Any
    status: str


def subject_of(row: models.Model) -> str:
    """The name under which events of `row` are filed: `task/42`."""
    return f"{row._meta.model_name}/{row.pk}"


def transition(
    row: Any,
    to: Any,
    kind: Kind,
    *,
    tell: Iterable[str] = (),
    set: Mapping[str, Any] | None = None,  # noqa: A002  as in UPDATE ... SET
    where: Mapping[str, Any] | None = None,
    actor: str = "",
    **data: Any,
) -> None:
    """Move `row` to `to` if its lifecycle allows it from where it stands now, and remember that it did.

    `set` is written in the same statement; `where` narrows it further (a fence). Raises Stale when another worker moved
    the row first; the caller usually has nothing left to do.
    """
    allowed = [source.value for source in row.LIFECYCLE.sources(to)]
    changes = {**(set or {}), "status": to.value}
    if not statements.update(type(row), {"pk": row.pk, "status__in": allowed, **(where or {})}, changes):
        raise Stale(
            f"{row._meta.model_name}_moved", f"This {row._meta.verbose_name} cannot become {to.value} any more."
        )
    for field, value in changes.items():
        if not hasattr(value, "resolve_expression"):
            setattr(row, field, value)
    record(kind, row, tell=tell, actor=actor, **data)


def record(kind: Kind, subject: models.Model, *, tell: Iterable[str] = (), actor: str = "", **data: Any) -> None:
    """Remember that `kind` happened to `subject`, queue what follows from it, and hint to `tell` after the commit.

    Must be called inside a transaction: no event without the change it tells of.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("An event is recorded in the transaction that makes it true.")
    statements.insert(Event, {"kind": kind.value, "subject": subject_of(subject), "actor": actor, "data": data})
    for reaction in reactions().get(kind, ()):
        if reaction.wanted(data):
            async_task(reaction.job, subject.pk, group=subject_of(subject), cluster=reaction.cluster)
    for group in tell:
        hint(group)


def hint(group: str) -> None:
    """Wake whoever listens to `group` once this transaction is committed. May be lost; carries nothing."""
    transaction.on_commit(lambda: hints.send(group), robust=True)


@cache
def reactions() -> Mapping[Kind, tuple[Any, ...]]:
    """The table of agentcom/reactions.py; looked up by name, since this room lies below everything it names."""
    table: Mapping[Kind, tuple[Any, ...]] = import_string(settings.REACTIONS)
    return table
