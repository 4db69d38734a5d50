"""What an agent can think with, joined to the registry of endpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from apps.endpoints import reports
from apps.endpoints.models import Host, Origin
from apps.endpoints.place import canonical, is_here, place_of

Said = Mapping[str, Any]
"""What a frame says of one offer, endpoint or machine, field by field."""
_OF_THE_TRIAL = ("trials", "context_measured")
LARGEST = 2**31 - 1
"""What a column of ours holds; a frame may say more."""


def take(host: Host, offers: Sequence[Said], endpoints: Sequence[Said], *, by: str) -> list[dict[str, Any]]:
    """The offers of the agent called `by`, as they are kept with it: each with the id of its `endpoint`, if it has one.

    How a model did when it was tried is kept with the model. An address that cannot be one is none.
    """
    states = [{**state, "place": place} for state in endpoints if (place := _place(state, host.machine))]
    ours = reports.ours_at(offer["url"] for offer in offers if offer.get("url"))
    known = {**ours, **reports.told(host, states, by=by)}
    gone = {state["url"] for state in states if not state.get("own", True)} - known.keys()
    kept: list[dict[str, Any]] = []
    tried: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for offer in offers:
        if offer.get("url") in gone:
            continue
        short = {field: value for field, value in offer.items() if field not in _OF_THE_TRIAL}
        endpoint = known.get(offer.get("url", ""))
        if endpoint is not None and endpoint.kind == offer["executor"]:
            short["endpoint"] = endpoint.pk
            short["shared"] = endpoint.origin == Origin.OPERATOR
            tried[endpoint.pk].append(_found(offer))
        kept.append(short)
    for state in states:
        if (endpoint := known.get(state["url"])) is not None:
            tried[endpoint.pk] += [_unfit(model) for model in state["unfit"]]
    for number in sorted(tried):
        reports.tried(number, tried[number])
    return kept


def in_use(offers: Sequence[Said]) -> set[int]:
    """The endpoints that an agent with these kept `offers` works with."""
    return {offer["endpoint"] for offer in offers if offer.get("endpoint")}


def _place(state: Said, machine: str) -> str:
    """What the agent means by an address; one of "this machine" is the hub's only when the hub has told of it."""
    try:
        whole = canonical(state["url"])
    except ValueError:
        return ""
    own = state.get("own", True) or not is_here(urlsplit(whole).hostname or "")
    return place_of(whole, machine) if own else whole


def _unfit(model: Said) -> dict[str, Any]:
    return {"name": model["model"], "digest": model["digest"], "trial": {"unfit": model["reason"]}}


def _found(offer: Said) -> dict[str, Any]:
    """An agent that took over another's verdict has no trial of its own to tell of."""
    trial = {field: offer[field] for field in _OF_THE_TRIAL} if offer.get("trials") else None
    fields = ("grade", "digest", "warm", "dialect", "tokens_per_second")
    found = {"name": offer["model"], "context": min(offer["context"], LARGEST)}
    found |= {field: offer[field] for field in fields}
    return {**found, "trial": trial} if trial else found
