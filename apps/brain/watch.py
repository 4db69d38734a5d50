"""What the rest of the hub knows of its health."""

from __future__ import annotations

import structlog

from apps.brain.lifecycle import State
from apps.ops import alerts, health
from apps.ops.models import Severity

logger = structlog.get_logger(__name__)
ALARM = "brain.watchdog:"
"""With the state in which the hub hung: each has an alert of its own, which only its own progress ends."""


def critical() -> int:
    """How many critical problems there are that can be mended; none when the report fails, or no goal would begin."""
    try:
        return health.critical()
    except Exception:
        logger.exception("the health report failed")
        return 0


def alarm(state: State, message: str) -> None:
    """A watchdog moved the hub out of `state`."""
    logger.error("the hub hung", state=state.value, reason=message)
    alerts.raise_(f"{ALARM}{state.value}", Severity.CRITICAL, message, state=state.value)


def all_clear(state: State) -> None:
    """It does not hang there any more."""
    alerts.clear(f"{ALARM}{state.value}")
