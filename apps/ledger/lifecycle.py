"""The statuses of a charge and of an allowance, and every move between them. Pure."""

from __future__ import annotations

from enum import StrEnum

from apps.events.lifecycle import Lifecycle, Move


class ChargeStatus(StrEnum):
    RESERVED = "reserved"
    UNCERTAIN = "uncertain"
    VOIDED = "voided"
    SETTLED = "settled"


C = ChargeStatus

CHARGE = Lifecycle(
    ChargeStatus,
    final=[C.SETTLED],
    moves=[
        Move(None, C.RESERVED, "The most that the call can cost was set aside before it is made."),
        Move(None, C.SETTLED, "A call that an allowance paid for was reported, or a settled one corrected."),
        Move(None, C.UNCERTAIN, "A call under an allowance was reported without its true usage, or without a price."),
        Move(C.RESERVED, C.SETTLED, "The provider said what was used."),
        Move(C.RESERVED, C.VOIDED, "The provider certainly did no work."),
        Move(C.RESERVED, C.UNCERTAIN, "Nobody knows what was used; the estimate was posted."),
        Move(C.UNCERTAIN, C.UNCERTAIN, "The price that was missing was entered; what was used is still not known."),
        Move(C.UNCERTAIN, C.SETTLED, "What was used became known after all."),
        Move(C.UNCERTAIN, C.VOIDED, "The provider did no work after all."),
        Move(C.VOIDED, C.SETTLED, "The provider had worked after all."),
    ],
)


class AllowanceStatus(StrEnum):
    OPEN = "open"
    LAPSED = "lapsed"
    RELEASED = "released"


A = AllowanceStatus

ALLOWANCE = Lifecycle(
    AllowanceStatus,
    final=[A.RELEASED],
    moves=[
        Move(None, A.OPEN, "Set aside for calls that are reported later."),
        Move(A.OPEN, A.RELEASED, "The work ended; what was left went back."),
        Move(A.OPEN, A.LAPSED, "Nobody reported in time; what was left counts as spent until somebody does."),
        Move(A.LAPSED, A.RELEASED, "The work ended late; what was left went back."),
    ],
)
