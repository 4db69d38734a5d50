"""One process at a time asks a model about a goal, outside of any transaction: claim, call, write.

A claim lapses, so that a process that was killed holds up nobody; its number is the fence, so that what an older claim
brings back changes nothing. What fails is done again after a pause that doubles, and not for ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.endpoints.completion import NoThinker, ThinkingFailed
from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Refused, Stale
from apps.goals import gate, progress
from apps.goals.actions import watchers
from apps.goals.answers import Fault
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Goal
from apps.ledger.accounts import Exhausted
from apps.ledger.pauses import Paused
from apps.ledger.pricing import Unpriced

logger = structlog.get_logger(__name__)

WAITING_FOR_MEANS = timedelta(minutes=1)
"""So long a goal waits whose budget is used up, or for which no model can be asked, before it is looked at again."""
LONGEST_PAUSE = timedelta(hours=1)
LAPSED = "A call that was begun never ended; the process that made it is gone."


class Unusable(Exception):
    """The model answered, but never with anything that can be used; asking again with the same words is no use."""


@dataclass(frozen=True)
class Claim:
    """The right to ask about `goal` in `status`, and to write what came of it, until it lapses."""

    goal: Goal
    number: int
    status: GoalStatus

    def call_id(self, purpose: str, nth: int) -> str:
        """The ledger's name of the nth call under this claim; no other call ever has it."""
        return f"goal-{self.goal.pk}-{purpose}-{self.number}-{nth}"

    def held(self) -> Goal:
        """The goal's row, locked, if the claim still holds. Raises Stale. Call inside a transaction."""
        now = Goal.objects.select_for_update(of=("self",)).select_related("repo").get(pk=self.goal.pk)
        if now.claim != self.number or now.status != self.status:
            raise Stale("claim_lost", "Another process goes on with this goal, or somebody ended it.")
        return now


def take(goal: int, status: GoalStatus, *, now: datetime | None = None) -> Claim | None:
    """Claim it, or None when there is nothing to ask: moved on, claimed, resting, or the hub is paused."""
    at = now or timezone.now()
    with transaction.atomic():
        found = Goal.objects.select_for_update(of=("self",)).select_related("repo").filter(pk=goal).first()
        if found is None or found.status != status or gate.is_closed() or not _is_free(found, at):
            return None
        if found.repo.paused:
            _wait(found, f"{found.repo.slug} is paused.")
            return None
        if found.claim_until is not None and _once_more(found, LAPSED, at):
            return None
        found.claim, found.claim_until = found.claim + 1, at + settings.CLAIM
        found.save(update_fields=["claim", "claim_until"])
    return Claim(found, found.claim, status)


def _is_free(goal: Goal, at: datetime) -> bool:
    claimed = goal.claim_until is not None and goal.claim_until > at
    resting = goal.not_before is not None and goal.not_before > at
    return not claimed and not resting and not goal.awaits_approval


@contextlib.contextmanager
def answering(claim: Claim) -> Iterator[None]:
    """Whatever goes wrong becomes of the goal: it waits for means, is asked about again, or needs a person."""
    try:
        yield
    except Stale as lost:
        logger.info("a claim was lost", goal=claim.goal.pk, code=lost.code)
    except Fault as fault:
        _failed(claim, fault.message)
    except Unusable as useless:
        _written(claim, partial(progress.want_review, reason=str(useless)))
    except (Exhausted, Paused, Unpriced, NoThinker) as short:
        _written(claim, partial(_wait, why=short.message))
    except ThinkingFailed as failure:
        _unanswered(claim, failure)
    except Refused as refused:
        _failed(claim, refused.message)
    except Exception as failed:
        _failed(claim, f"{type(failed).__name__}: {failed}")
        raise


def _unanswered(claim: Claim, failure: ThinkingFailed) -> None:
    """A model that could not be asked is a want of means; one that can never answer this needs a person, at once."""
    if not failure.transient:
        _written(claim, partial(progress.want_review, reason=failure.message))
    elif not failure.worked:
        _written(claim, partial(_wait, why=failure.message))
    else:
        _failed(claim, failure.message)


def _failed(claim: Claim, why: str) -> None:
    logger.warning("a call about a goal came to nothing", goal=claim.goal.pk, reason=why)
    _written(claim, partial(_once_more, why=why, at=timezone.now()))


def _written(claim: Claim, write: Callable[[Goal], object]) -> None:
    with contextlib.suppress(Stale), transaction.atomic():
        write(claim.held())


def _wait(goal: Goal, why: str) -> None:
    """Not its fault: it is looked at again, and nothing is counted."""
    Goal.objects.filter(pk=goal.pk).update(
        claim_until=None, not_before=timezone.now() + WAITING_FOR_MEANS, hold=why[:500]
    )
    if goal.hold != why[:500]:
        record(Kind.GOAL_CHANGED, goal, tell=watchers(goal), hold=why[:500])


def _once_more(goal: Goal, why: str, at: datetime) -> bool:
    """Count a failed call and let the goal rest; True also when a person has to look now, which is for good."""
    tries = goal.tries + 1
    if tries >= settings.THINKING_TRIES:
        return progress.want_review(goal, f"{tries} model calls failed. The last error: {why}")
    pause = min(settings.THINKING_BACKOFF * 2 ** min(tries - 1, 20), LONGEST_PAUSE)
    Goal.objects.filter(pk=goal.pk).update(tries=tries, claim_until=None, not_before=at + pause, hold=why[:500])
    record(Kind.GOAL_RETRIED, goal, tell=watchers(goal), tries=tries, reason=why[:500])
    return True
