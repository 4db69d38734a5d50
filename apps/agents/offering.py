"""What an agent can think with, joined to the registry of endpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from apps.endpoints import reports
from apps.endpoints.models import Host
from apps.endpoints.place import place_of

Said = Mapping[str, Any]
"""What a frame says of one offer, endpoint or machine, field by field."""


def take(host: Host, offers: Sequence[Said], endpoints: Sequence[Said]) -> list[dict[str, Any]]:
    """The offers as they are kept with the agent: each with the id of its `endpoint`, when it has one.

    How a model did when it was tried is kept with the model. An address that cannot be one is none.
    """
    states = [{**state, "place": place} for state in endpoints if (place := _place(state["url"], host.machine))]
    known = reports.told(host, states)
    kept: list[dict[str, Any]] = []
    tried: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for offer in offers:
        short = {field: value for field, value in offer.items() if field not in _OF_THE_TRIAL}
        endpoint = known.get((offer["executor"], _place(offer.get("url", ""), host.machine)))
        if endpoint is not None:
            short["endpoint"] = endpoint
            tried[endpoint].append(_found(offer))
        kept.append(short)
    for state in states:
        if (endpoint := known.get((state["kind"], state["place"]))) is not None:
            tried[endpoint] += [_unfit(model) for model in state["unfit"]]
    for endpoint, models in tried.items():
        reports.tried(endpoint, models)
    return kept


_OF_THE_TRIAL = ("trials", "context_measured")


def _place(url: str, machine: str) -> str:
    try:
        return place_of(url, machine) if url else ""
    except ValueError:
        return ""


def _unfit(model: Said) -> dict[str, Any]:
    return {"name": model["model"], "digest": model["digest"], "trial": {"unfit": model["reason"]}}


def _found(offer: Said) -> dict[str, Any]:
    """An agent that took over another's verdict has no trial of its own to tell of."""
    trial = {field: offer[field] for field in _OF_THE_TRIAL} if offer.get("trials") else None
    fields = ("grade", "digest", "context", "warm", "dialect", "tokens_per_second")
    found = {"name": offer["model"], **{field: offer[field] for field in fields}}
    return {**found, "trial": trial} if trial else found
