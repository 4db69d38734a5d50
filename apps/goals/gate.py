"""Whether the hub may begin anything by itself: a person closes the gate to pause it, and opens it again."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from apps.goals.models import Gate

ONE = 1


def standing() -> Gate:
    """The gate as it is; open when nobody ever closed it."""
    return Gate.objects.filter(pk=ONE).first() or Gate(pk=ONE)


def is_closed() -> bool:
    """Whether nothing may be begun now."""
    return Gate.objects.filter(pk=ONE, closed=True).exists()


def close(*, by: str, reason: str = "") -> bool:
    """Begin nothing from now on; what agents have in hand goes on. False when it was closed already."""
    return _move(True, by, reason)


def open_(*, by: str) -> bool:
    """Let the hub go on. False when it was open already."""
    return _move(False, by, "")


@transaction.atomic
def _move(closed: bool, by: str, reason: str) -> bool:
    Gate.objects.get_or_create(pk=ONE)
    changes = {"closed": closed, "since": timezone.now(), "by": by[:160], "reason": reason[:300]}
    return bool(Gate.objects.filter(pk=ONE, closed=not closed).update(**changes))
