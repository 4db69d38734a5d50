"""One call of a model: set aside the most it can cost, then say what came of it. Each step may be said twice.

Whoever calls a model reserves first, in a transaction of its own that is committed before the request is sent; if that
raises anything at all, no call is made. What was reserved and never resolved is posted at its estimate (`jobs.reap`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Invalid, Refused
from apps.ledger import accounts, prices, pricing
from apps.ledger.lifecycle import ChargeStatus
from apps.ledger.limits import NOTHING, keys_of
from apps.ledger.models import Charge, Price
from apps.ledger.pricing import LONGEST_MODEL, Estimate, Row, Usage

RESERVATION_TTL = timedelta(minutes=15)
"""How long a call may take before it is posted at its estimate; its report is taken later, too."""
TELL = ("dashboard",)
NO_USAGE = Usage()
NO_PRICE = "There is no price for this model."


class UnknownCall(Refused):
    """No call {call_id} was ever reserved or reported."""

    status = 404


class CallTaken(Refused):
    """There was another call {call_id}, or it has ended; a new call needs a new id."""


@transaction.atomic
def reserve(
    call_id: str,
    scopes: Mapping[str, str],
    *,
    model: str,
    purpose: str,
    estimate: Estimate,
    own: bool = False,
    ttl: timedelta = RESERVATION_TTL,
    now: datetime | None = None,
) -> Charge:
    """Set aside the most that the call can cost, on every account it is for, or on none.

    `scopes` name the task, goal, repo, agent and state, those there are; `own`: the hub wants it of itself. The same
    again returns what was reserved. Raises Unpriced, accounts.Exhausted, and CallTaken when `call_id` means another
    call or one that has ended.
    """
    at = now or timezone.now()
    if found := Charge.objects.filter(call_id=call_id).first():
        return _same(found, model, estimate)
    micro, row = pricing.most(prices.bands_to_charge(model, utc_day(at)), estimate)
    charge = Charge(
        call_id=call_id,
        purpose=purpose,
        **scopes,
        accounts=accounts.opened(keys_of(scopes, purpose, at, own=own)),
        model=model,
        price_id=row.id,
        estimated_prompt=estimate.prompt,
        estimated_output=estimate.output,
        estimated_micro=micro,
        started_at=at,
        expires_at=at + ttl,
    )
    if not insert(charge):
        return _same(Charge.objects.get(call_id=call_id), model, estimate)
    accounts.hold(charge.accounts, charge.held)
    record(Kind.CHARGE_RESERVED, charge, tell=TELL, **_facts(charge), micro=micro)
    return charge


@transaction.atomic
def settle(
    call_id: str, usage: Usage, *, duration_ms: int = 0, request_id: str = "", now: datetime | None = None
) -> Charge:
    """The provider said what was used: post it, at the price of the call's start, even beyond what was reserved.

    True also after the reservation expired or was voided. Once settled it stays; saying it again changes nothing.
    """
    charge = _locked(call_id)
    if charge.status == ChargeStatus.SETTLED:
        return charge
    row = _price_of(charge, usage)
    _resolve(
        charge,
        ChargeStatus.SETTLED,
        Kind.CHARGE_SETTLED,
        usage=usage,
        cost=pricing.cost(row, usage),
        price_id=row.id,
        certain=True,
        now=now,
        duration_ms=pricing.milliseconds(duration_ms) or charge.duration_ms,
        request_id=request_id[:120] or charge.request_id,
    )
    return charge


@transaction.atomic
def void(call_id: str, *, reason: str = "", now: datetime | None = None) -> Charge:
    """The provider certainly did no work: it could not be reached, or refused. Twice is once.

    Raises Stale for a settled call; what was used has been said, and only a correction changes it.
    """
    charge = _locked(call_id)
    if charge.status == ChargeStatus.VOIDED:
        return charge
    _resolve(charge, ChargeStatus.VOIDED, Kind.CHARGE_VOIDED, usage=NO_USAGE, cost=None, now=now, note=reason[:300])
    return charge


@transaction.atomic
def mark_uncertain(
    call_id: str, usage: Usage | None = None, *, reason: str = "", now: datetime | None = None
) -> Charge:
    """Nobody knows what the provider did: post what was seen of it, or else the whole estimate, until somebody settles.

    Nothing changes for a call that is uncertain or settled already; raises Stale for one that was voided.
    """
    charge = _locked(call_id)
    if charge.status in (ChargeStatus.UNCERTAIN, ChargeStatus.SETTLED):
        return charge
    seen = usage or Usage(input=charge.estimated_prompt, output=charge.estimated_output)
    row = None if usage is None else _price_of(charge, usage)
    _resolve(
        charge,
        ChargeStatus.UNCERTAIN,
        Kind.CHARGE_UNCERTAIN,
        usage=seen,
        cost=charge.estimated_micro if row is None else pricing.cost(row, seen),
        price_id=charge.price_id if row is None else row.id,
        now=now,
        note=reason[:300],
    )
    return charge


@transaction.atomic
def price_late(call_id: str, *, now: datetime | None = None) -> Charge:
    """A price was entered for a call that had none: post what it cost by the price of its day.

    Settled when its tokens are certain, and otherwise still uncertain, at the most that they can cost. Nothing changes
    for a call that has a price. Raises Unpriced while there is none.
    """
    charge = _locked(call_id)
    if charge.status != ChargeStatus.UNCERTAIN or charge.price_id is not None:
        return charge
    usage, bands = charge.usage, prices.bands_to_charge(charge.model, utc_day(charge.started_at))
    if charge.certain:
        return settle(call_id, usage, now=now)
    cost, row = pricing.worst(bands, usage)
    facts: dict[str, Any] = {"cost": cost, "price_id": row.id, "note": charge.note.removeprefix(NO_PRICE)}
    _resolve(charge, ChargeStatus.UNCERTAIN, Kind.CHARGE_UNCERTAIN, usage=usage, now=now, **facts)
    return charge


@transaction.atomic
def correct(
    call_id: str, cost_micro: int, *, correction_id: str, by: str, reason: str, now: datetime | None = None
) -> Charge:
    """All in all the call cost `cost_micro`: a charge of its own makes up the difference, a refund among them.

    An uncertain call is settled as posted by this. The same `correction_id` again changes nothing.
    """
    if type(cost_micro) is not int or cost_micro < 0:
        raise Invalid("cost_micro", "A cost is a whole number of micro-USD, never less than zero.")
    charge = _locked(call_id)
    if found := Charge.objects.filter(call_id=correction_id).first():
        return _same_correction(found, charge)
    if charge.cost_micro is None or charge.corrects_id is not None:
        raise Refused("charge_has_no_cost", "Only a call that has a cost can be corrected; settle this one.")
    at = now or timezone.now()
    if charge.status == ChargeStatus.UNCERTAIN:
        _resolve(
            charge, ChargeStatus.SETTLED, Kind.CHARGE_SETTLED, usage=charge.usage, cost=charge.cost_micro, now=at, by=by
        )
    so_far = charge.cost_micro + sum(one.posted.micro for one in charge.corrections.all())
    correction = Charge(
        call_id=correction_id,
        corrects=charge,
        purpose=charge.purpose,
        **charge.scopes,
        accounts=charge.accounts,
        status=ChargeStatus.SETTLED,
        model=charge.model,
        price_id=charge.price_id,
        cost_micro=cost_micro - so_far,
        note=reason[:300],
        started_at=at,
        resolved_at=at,
    )
    if not insert(correction):
        return _same_correction(Charge.objects.get(call_id=correction_id), charge)
    accounts.post(charge.accounts, reserved=NOTHING, spent=correction.posted)
    record(Kind.CHARGE_CORRECTED, charge, tell=TELL, actor=by, before=so_far, now=cost_micro, reason=reason[:300])
    return correction


def insert(charge: Charge) -> bool:
    """Write a new charge; False when its call id was taken a moment ago. Raises Invalid for an id that cannot be."""
    if not 0 < len(charge.call_id) <= 100 or not charge.call_id.isprintable():
        raise Invalid("call_id", "The id of a call has 1 to 100 characters that can be seen.")
    if not 0 < len(charge.model) <= LONGEST_MODEL:
        raise Invalid("model", f"The id of a model has 1 to {LONGEST_MODEL} characters.")
    try:
        with transaction.atomic():
            charge.save(force_insert=True)
    except IntegrityError:
        if Charge.objects.filter(call_id=charge.call_id).exists():
            return False
        raise
    return True


def utc_day(at: datetime) -> date:
    """The day whose prices are in effect then."""
    return at.astimezone(UTC).date()


def _same(charge: Charge, model: str, estimate: Estimate) -> Charge:
    wanted = (ChargeStatus.RESERVED, model, estimate.prompt, estimate.output)
    if wanted != (charge.status, charge.model, charge.estimated_prompt, charge.estimated_output):
        raise CallTaken("call_taken", call_id=charge.call_id)
    return charge


def _same_correction(found: Charge, charge: Charge) -> Charge:
    if found.corrects_id != charge.pk:
        raise CallTaken("call_taken", call_id=found.call_id)
    return found


def _locked(call_id: str) -> Charge:
    charge = Charge.objects.select_for_update().filter(call_id=call_id).first()
    if charge is None:
        raise UnknownCall("call_unknown", call_id=call_id)
    return charge


def _price_of(charge: Charge, usage: Usage) -> Row:
    """The band of this usage in the price that was in effect when the call began; Unpriced when there was none."""
    if charge.price_id is None:
        return pricing.band(prices.bands_to_charge(charge.model, utc_day(charge.started_at)), usage.prompt)
    return pricing.band(prices.bands_beside(Price.objects.get(pk=charge.price_id)), usage.prompt)


def _resolve(
    charge: Charge,
    to: ChargeStatus,
    kind: Kind,
    *,
    usage: Usage,
    cost: int | None,
    now: datetime | None,
    by: str = "",
    **fields: Any,
) -> None:
    """Move the charge, and on its accounts what it held and posted before to what it posts from now on."""
    held, posted, before = charge.held, charge.posted, charge.cost_micro
    changes = {**asdict(usage), "cost_micro": cost, "resolved_at": now or timezone.now(), **fields}
    transition(charge, to, kind, tell=TELL, set=changes, actor=by, **_facts(charge), before=before, micro=cost)
    accounts.post(charge.accounts, reserved=-held, spent=charge.posted - posted)


def _facts(charge: Charge) -> dict[str, Any]:
    return {"call_id": charge.call_id, "model": charge.model, "purpose": charge.purpose}
