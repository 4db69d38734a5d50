"""What the rest of the hub knows of its health."""

from __future__ import annotations

import structlog

from apps.ops import alerts, health
from apps.ops.models import Severity

logger = structlog.get_logger(__name__)
ALARM = "brain.watchdog"


def critical() -> int:
    """How many critical problems there are that can be mended; none when the report fails, or no goal would begin."""
    try:
        return health.critical()
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
