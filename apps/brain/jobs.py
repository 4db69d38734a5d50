"""What the clusters run for this room."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from apps.brain import actions, cycles
from apps.brain.decide import Outcome
from apps.brain.lifecycle import State
from apps.brain.models import Stay
from apps.goals import gate

MOST_STAYS = 10_000


def think(_subject: int | None = None) -> None:
    """Something happened that the hub may have to turn to; and each minute, in case that was lost."""
    actions.think()


def goal_moved(_goal: int) -> None:
    """A goal went on: nothing hangs."""
    actions.progressed()
    actions.think()


def goal_ended(_goal: int) -> None:
    """A goal ended, or its pull request did: there may be room for another, and something new to find."""
    actions.progressed()
    actions.stirred()
    actions.think()


def stirred(_subject: int) -> None:
    """A push or a merge may have brought something to look at."""
    actions.stirred()
    actions.think()


def improve(cycle: int) -> None:
    """What the hub does while it improves."""
    _run(State.IMPROVING, cycle)


def contemplate(cycle: int) -> None:
    """What the hub does while it contemplates."""
    _run(State.CONTEMPLATING, cycle)


def heal(cycle: int) -> None:
    """What the hub does while it heals."""
    _run(State.HEALING, cycle)


def _run(state: State, cycle: int) -> None:
    """Nobody waits for a cycle that the hub has left; and one from before a pause ends without work."""
    if actions.is_wanted(state, cycle):
        actions.cycle_ended(cycle, Outcome.NOTHING if gate.is_closed() else cycles.run(state))


def prune() -> None:
    """Forget stays of long ago, and of the others all but the newest; never the one that lasts."""
    ended = Stay.objects.filter(left_at__isnull=False)
    ended.filter(left_at__lt=timezone.now() - min(settings.RETENTION, timedelta(days=3650))).delete()
    newest = Stay.objects.order_by("-move").values_list("move", flat=True).first()
    if newest is not None:
        ended.filter(move__lte=newest - MOST_STAYS).delete()
