"""The statuses of a pull request and of its verification, and every move between them. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class PullStatus(StrEnum):
    OPEN = "open"
    CHANGES_REQUESTED = "changes_requested"
    MERGED = "merged"
    CLOSED = "closed"


P = PullStatus

PULL = Lifecycle(
    PullStatus,
    final=[P.MERGED, P.CLOSED],
    moves=[
        Move(None, P.OPEN, "A task's work was pushed."),
        Move(P.OPEN, P.CHANGES_REQUESTED, "A person asked for changes; a follow-up task works on the same branch."),
        Move(P.CHANGES_REQUESTED, P.OPEN, "The follow-up pushed, or ended without a result."),
        Move(P.OPEN, P.MERGED, "A person merged it."),
        Move(P.OPEN, P.CLOSED, "Closed without merging."),
        Move(P.CHANGES_REQUESTED, P.CLOSED, "Closed without merging."),
    ],
)


class VerificationStatus(StrEnum):
    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    STALE = "stale"


V = VerificationStatus

VERIFICATION = Lifecycle(
    VerificationStatus,
    final=[V.STALE],
    moves=[
        Move(None, V.PENDING, "The checks are to be repeated on a clean checkout of exactly this tree."),
        Move(V.PENDING, V.PASSED, "Every check passed."),
        Move(V.PENDING, V.FAILED, "A check did not pass, or no agent could run them."),
        Move(V.PENDING, V.STALE, "The branch or its base moved before the checks were through."),
        Move(V.PASSED, V.STALE, "The branch or its base moved; the evidence speaks of another tree."),
        Move(V.FAILED, V.STALE, "The branch or its base moved; the evidence speaks of another tree."),
    ],
)
