"""What agents are told of operators' endpoints: read once for all sockets of a process, and again and again."""

from __future__ import annotations

from django.db.models import Prefetch

from apps.endpoints.models import Endpoint, Model
from sidecar.wire import messages, nouns

MOST_ENDPOINTS, MOST_MODELS = 50, 100
_current: messages.EndpointsKnown | None = None


def current() -> messages.EndpointsKnown:
    """The frame as it was when it was last read."""
    return _current or refresh()


def refresh() -> messages.EndpointsKnown:
    """Read it anew."""
    global _current  # noqa: PLW0603  one for all sockets of a process
    _current = _read()
    return _current


def _read() -> messages.EndpointsKnown:
    """Each with the models that are wanted, also one that does not answer now."""
    wanted = Model.objects.filter(wanted=True, installed=True).order_by("pk")
    rows = Endpoint.objects.ours().prefetch_related(Prefetch("models", wanted)).order_by("pk")
    ours = rows[:MOST_ENDPOINTS]
    return messages.EndpointsKnown(endpoints=[_told(endpoint) for endpoint in ours])


def _told(endpoint: Endpoint) -> nouns.KnownEndpoint:
    return nouns.KnownEndpoint(
        kind=endpoint.kind,
        url=endpoint.url,
        grade=endpoint.grade,
        models=[
            nouns.KnownModel(
                name=model.name,
                digest=model.digest,
                dialect=model.dialect,
                tokens_per_second=model.tokens_per_second,
                unfit=str(model.trial.get("unfit", ""))[:500],
            )
            for model in list(endpoint.models.all())[:MOST_MODELS]
        ],
    )
