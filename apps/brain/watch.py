"""What the rest of the hub knows of its health, as far as it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from django.utils.module_loading import import_string

from apps.ops import alerts
from apps.ops.models import Severity

logger = structlog.get_logger(__name__)
ALARM = "brain.watchdog"


def critical() -> int:
    """How many critical problems there are that can be mended; none when the report fails, or no goal would begin."""
    count = _found("apps.ops.health.critical")
    try:
        return int(count()) if count else 0
    except Exception:
        logger.exception("the health report failed")
        return 0


def alarm(message: str) -> None:
    """A watchdog moved the hub."""
    logger.error("the hub hung", reason=message)
    alerts.raise_(ALARM, Severity.CRITICAL, message)


def all_clear() -> None:
    """It does not hang any more."""
    alerts.clear(ALARM)


def _found(path: str) -> Callable[..., Any] | None:
    try:
        found: Callable[..., Any] = import_string(path)
    except ImportError:
        return None
    return found
