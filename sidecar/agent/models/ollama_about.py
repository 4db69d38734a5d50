"""What an Ollama server tells of itself: its version, and the models that it has, can show and has loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sidecar.agent import faults
from sidecar.agent.models.ollama_read import number, objects, string

_STRICT_SINCE = (0, 12, 6)


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A model that the server has. `size` in bytes."""

    name: str
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a model can do. `capabilities` are such as "tools" and "thinking", none on servers that do not tell.

    `context` is what it was trained for, in tokens, None when unknown; `parser` and `renderer` are empty for models
    that bring only a template.
    """

    capabilities: frozenset[str]
    context: int | None
    template: str
    parser: str
    renderer: str


@dataclass(frozen=True, kw_only=True)
class Running:
    """A model that is loaded. `size` and `size_vram` in bytes: less of the latter means that the processor has to help.

    `context` in tokens is None on servers that do not tell.
    """

    name: str
    context: int | None
    size: int
    size_vram: int
    expires_at: datetime | None


def supports_strict_context(version: str) -> bool:
    """Whether a server of this version can be asked not to cut a conversation silently; not, when in doubt. (pure)"""
    found = re.fullmatch(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})([-+].*)?", version.strip())
    if not found:
        return False
    numbers = tuple(int(part) for part in found.groups()[:3])
    candidate = (found[4] or "").startswith("-")
    return numbers > _STRICT_SINCE or (numbers == _STRICT_SINCE and not candidate)


def installed(told: Mapping[str, Any]) -> list[Installed]:
    """Read the answer of `/api/tags`. Garbled when it makes no sense, as with the next two."""
    return [
        Installed(name=_name(model), digest=string(model, "digest"), size=number(model, "size") or 0)
        for model in objects(told, "models")
    ]


def shown(told: Mapping[str, Any]) -> Shown:
    """Read the answer of `/api/show`."""
    capabilities = told.get("capabilities") or []
    if not _are_strings(capabilities):
        raise faults.Garbled("The server's list of capabilities is none.")
    return Shown(
        capabilities=frozenset(capabilities),
        context=_trained_context(told),
        template=string(told, "template"),
        parser=string(told, "parser"),
        renderer=string(told, "renderer"),
    )


def running(told: Mapping[str, Any]) -> list[Running]:
    """Read the answer of `/api/ps`."""
    return [
        Running(
            name=_name(model),
            context=number(model, "context_length"),
            size=number(model, "size") or 0,
            size_vram=number(model, "size_vram") or 0,
            expires_at=_moment(model, "expires_at"),
        )
        for model in objects(told, "models")
    ]


def _name(model: Mapping[str, Any]) -> str:
    name = string(model, "name") or string(model, "model")
    if not name:
        raise faults.Garbled("A model has no name.")
    return name


def _moment(holder: Mapping[str, Any], field: str) -> datetime | None:
    text = string(holder, field)
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError as problem:
        raise faults.Garbled(f"{field} is not a time.") from problem


def _are_strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _trained_context(told: Mapping[str, Any]) -> int | None:
    """`model_info` names it after the model's architecture: `llama.context_length`."""
    info = told.get("model_info") or {}
    if not isinstance(info, dict):
        raise faults.Garbled("model_info is no object.")
    field = f"{string(info, 'general.architecture')}.context_length"
    return number(info, field if field in info else _first_of(info, ".context_length"))


def _first_of(names: Iterable[str], ending: str) -> str:
    return next((name for name in names if name.endswith(ending)), "")
