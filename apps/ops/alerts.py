"""What is done with alerts: raised, raised again, acknowledged, cleared. Raising and clearing twice is once."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Refused
from apps.ops.models import Alert, Severity

TELL = ("dashboard", "needs-you")


class AlertCleared(Refused):
    """The alert is over already."""


def raise_(key: str, severity: str, message: str, **facts: Any) -> Alert:
    """Tell people of `key`. While it is open, raising it again counts it, and says what is known now.

    One that became critical is news again, whoever had acknowledged the warning.
    """
    try:
        with transaction.atomic():
            return _raise(key, severity, message[:500], facts)
    except IntegrityError:  # somebody else raised the same in this moment
        with transaction.atomic():
            return _raise(key, severity, message[:500], facts)


def _raise(key: str, severity: str, message: str, facts: dict[str, Any]) -> Alert:
    alert = Alert.objects.open().select_for_update().filter(key=key).first()
    if alert is None:
        alert = Alert.objects.create(key=key, severity=severity, message=message, facts=facts)
        _remember(Kind.ALERT_RAISED, alert)
    else:
        worse = severity == Severity.CRITICAL and alert.severity != severity
        fresh: dict[str, Any] = {"acknowledged_at": None, "acknowledged_by": ""} if worse else {}
        known = {"severity": severity, "message": message, "facts": facts}
        Alert.objects.filter(pk=alert.pk).update(times=F("times") + 1, last_seen_at=Now(), **known, **fresh)
        alert.refresh_from_db()
        if worse:
            _remember(Kind.ALERT_RAISED, alert)
    return alert


@transaction.atomic
def clear(key: str) -> bool:
    """It is over; False when there is no open alert of `key`."""
    alert = Alert.objects.open().filter(key=key).first()
    if alert is None or not Alert.objects.open().filter(pk=alert.pk).update(cleared_at=Now()):
        return False
    _remember(Kind.ALERT_CLEARED, alert)
    return True


@transaction.atomic
def acknowledge(alert: Alert, *, by: str) -> None:
    """A person has seen it. Twice is once; raises AlertCleared for one that is over."""
    untouched = Alert.objects.open().filter(pk=alert.pk, acknowledged_at__isnull=True)
    if untouched.update(acknowledged_at=Now(), acknowledged_by=by[:160]):
        _remember(Kind.ALERT_ACKNOWLEDGED, alert, actor=by)
    alert.refresh_from_db()
    if not alert.is_open:
        raise AlertCleared("alert_cleared")


def _remember(kind: Kind, alert: Alert, actor: str = "") -> None:
    facts = {"key": alert.key, "severity": alert.severity, "message": alert.message}
    record(kind, alert, tell=TELL, actor=actor, **facts)
