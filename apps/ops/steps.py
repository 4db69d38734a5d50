"""One step of healing: what is to be done to what, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from apps.ops.assessment import Category
from apps.ops.models import Healing, Remedy


@dataclass(frozen=True)
class Done:
    """What came of a step; `detail` is a sentence where there is one to say."""

    outcome: Healing
    after: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that healing would do. `do` looks again before it acts, and may raise."""

    category: Category
    subject: str
    action: str
    do: Callable[[], Done]
    about: int | None = None
    before: Mapping[str, Any] = field(default_factory=dict)


def tried(now: datetime, within: timedelta, **about: Any) -> int:
    """How often healing did, or tried, something of this kind so recently."""
    real = Remedy.objects.filter(at__gt=now - within, **about).exclude(outcome=Healing.PLANNED)
    return real.count()
