"""What may be a call, and how a list of such becomes calls that can be carried out, or one complaint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.agent.repair.arguments import Misfit, fit
from sidecar.agent.repair.names import meant_by
from sidecar.agent.talk import Call, ToolSpec

_LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Found:
    """A possible call, from `start` to `end` of the text it was found in.

    `doubt` says why it must not be carried out if it changes something, `broken` why it must not in any case.
    `literal` is set where a value such as `...` is meant as it stands.
    """

    name: str = ""
    arguments: Any = None
    start: int = 0
    end: int = 0
    id: str = ""
    repairs: frozenset[str] = frozenset()
    doubt: str = ""
    broken: str = ""
    literal: bool = False


@dataclass(frozen=True, kw_only=True)
class Settled:
    """All calls of a reply, or what is wrong with one of them; `spec` is the tool that it meant, if that is known."""

    calls: tuple[Call, ...] = ()
    repairs: tuple[str, ...] = ()
    wrong: str = ""
    spec: ToolSpec | None = None


def settle(found: Sequence[Found], tools: Sequence[ToolSpec], *, cut: bool = False) -> Settled:
    """Make calls of all of `found`, or of none. `cut` when the reply broke off, so that the last may be a fragment."""
    calls: list[Call] = []
    repairs: set[str] = set()
    ids = _ids(found)
    for one, name in zip(found, ids, strict=True):
        meant = meant_by(one.name, one.arguments, tools)
        wrong = one.broken or _unknown(one, meant.spec, tools)
        if wrong or meant.spec is None:
            return Settled(wrong=wrong, spec=meant.spec)
        wrong = one.doubt or ("your answer was cut off at its limit" if cut else "")
        if meant.spec.changes and wrong:
            return Settled(wrong=f"{meant.spec.name}: {wrong}", spec=meant.spec)
        try:
            fitted = fit(meant.spec, meant.arguments, literal=one.literal)
        except Misfit as misfit:
            return Settled(wrong=f"{meant.spec.name}: {misfit}", spec=meant.spec)
        calls.append(Call(name=meant.spec.name, arguments=fitted.arguments, id=name))
        repairs |= one.repairs | fitted.repairs | ({meant.repair} if meant.repair else set())
    return Settled(calls=tuple(calls), repairs=tuple(sorted(repairs)))


def once_each(found: Iterable[Found]) -> list[Found]:
    """Without what only repeats the one before it: a stutter, not a second wish."""
    kept: list[Found] = []
    for one in found:
        if not kept or _said(one) != _said(kept[-1]) or one.broken:
            kept.append(one)
    return kept


def _said(one: Found) -> str:
    return json.dumps([one.name, one.arguments], sort_keys=True, default=str)


def _unknown(one: Found, spec: ToolSpec | None, tools: Sequence[ToolSpec]) -> str:
    if spec is not None:
        return ""
    named = f"there is no tool “{one.name.strip()[:_LONGEST_NAME]}”" if one.name.strip() else "a call names no tool"
    return f"{named}; there are: {', '.join(tool.name for tool in tools)}"


def _ids(found: Sequence[Found]) -> list[str]:
    """The provider's ids where they tell calls apart, our own where they do not."""
    given = [one.id for one in found]
    taken = set(given)
    ids: dict[str, None] = {}
    number = 0
    for name in given:
        while not name or name in ids:
            number += 1
            name = "" if f"call_{number}" in taken else f"call_{number}"  # noqa: PLW2901  the first that is free
        ids[name] = None
    return list(ids)
