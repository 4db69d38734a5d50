"""Whether a pull request may be merged as things stand, and if not, why. Pure.

The evidence must speak of exactly what a merge would make: the head, on the base as it is now. Fail closed: what is not
known to hold does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from apps.forge.lifecycle import PullStatus, VerificationStatus


@dataclass(frozen=True)
class Standing:
    """What decides. `base` is where the base branch is now; `verification` is the latest one's status, None if none."""

    status: str
    base: str
    head: str
    has_checks: bool
    verification: str | None = None
    verified_base: str = ""
    verified_head: str = ""
    conflict: Sequence[str] = ()
    blocked: bool = False


@dataclass(frozen=True)
class Objection:
    """Why not: a stable code for machines, a sentence for people."""

    code: str
    sentence: str


def objection(at: Standing) -> Objection | None:
    """The first reason against merging, None when there is none."""
    if at.status != PullStatus.OPEN:
        return Objection("not_open", _STATUS.get(at.status, "Only an open pull request can be merged."))
    if at.conflict:
        what = "1 file" if len(at.conflict) == 1 else f"{len(at.conflict)} files"
        return Objection("conflict", f"The work conflicts with its base in {what}; request changes to have it redone.")
    if at.blocked:
        return Objection(
            "blocked", "The change holds something that must not be merged, such as a secret; see the risk."
        )
    return _evidence(at) if at.has_checks else None


def is_stale(at: Standing) -> bool:
    """Whether the latest verification speaks of another tree than a merge would make now."""
    if at.verification is None:
        return False
    moved = (at.verified_base, at.verified_head) != (at.base, at.head)
    return moved or at.verification == VerificationStatus.STALE


def _evidence(at: Standing) -> Objection | None:
    if at.verification is None:
        return Objection("verification_missing", "The checks have not been repeated on a clean checkout yet.")
    if is_stale(at):
        return Objection(
            "verification_stale", "The branch or its base moved since the checks were repeated; they have to run again."
        )
    if at.verification == VerificationStatus.PENDING:
        return Objection("verification_pending", "The checks are being repeated on a clean checkout; wait for them.")
    if at.verification != VerificationStatus.PASSED:
        return Objection("verification_failed", "The checks did not pass on a clean checkout.")
    return None


_STATUS: dict[str, str] = {
    PullStatus.CHANGES_REQUESTED: "Changes were requested; merge what comes of them.",
    PullStatus.MERGED: "It is merged already.",
    PullStatus.CLOSED: "It was closed.",
}
