"""The brake: nothing that costs money is begun until a person has looked. What runs keeps to what it was given."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Refused
from apps.ledger.models import Pause

TELL = ("dashboard", "needs-you")
ONE = 1


class Paused(Refused):
    """Spending is paused until a person lets it go on. {why}"""


def standing() -> Pause | None:
    """The pause that nobody has lifted, if there is one."""
    return Pause.objects.filter(pk=ONE, lifted_at__isnull=True).first()


def check() -> None:
    """Raises Paused."""
    if pause := standing():
        raise Paused("spending_paused", why=pause.reason)


@transaction.atomic
def begin(reason: str, *, now: datetime | None = None) -> bool:
    """Pause; False when it is paused already."""
    pause, made = Pause.objects.select_for_update().get_or_create(
        pk=ONE, defaults={"since": now or timezone.now(), "reason": reason[:300]}
    )
    if not made:
        if pause.lifted_at is None:
            return False
        pause.since, pause.reason, pause.lifted_at = now or timezone.now(), reason[:300], None
        pause.save()
    record(Kind.SPENDING_PAUSED, pause, tell=TELL, reason=pause.reason)
    return True


@transaction.atomic
def lift(*, by: str, now: datetime | None = None) -> None:
    """Let spending go on. Twice is once."""
    at = now or timezone.now()
    if Pause.objects.filter(pk=ONE, lifted_at__isnull=True).update(lifted_at=at):
        record(Kind.SPENDING_LIFTED, Pause.objects.get(pk=ONE), tell=TELL, actor=by)
