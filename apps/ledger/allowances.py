"""An allowance: set aside for an attempt, spent by its sidecar, which may be offline and reports each call later.

A reported call is always recorded, also when the allowance is used up, has lapsed or was released: it has happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Count, Sum
from django.utils import timezone

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Invalid, Refused
from apps.ledger import accounts, actions, prices, pricing
from apps.ledger.actions import CallTaken, utc_day
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.limits import MEASURES, NOTHING, Amount, keys_of
from apps.ledger.models import Allowance, Charge
from apps.ledger.pricing import CLASSES, LONGEST_MODEL, Row, Unpriced, Usage

TELL = ("dashboard",)
MOST_REPORTED = 10_000_000
"""Tokens of one class in one call that a machine may report; more than any model can read or write."""
FACTOR = 2
"""A sidecar keeps to its tokens but for what it estimated; beyond twice as many it is not believed."""
BEYOND = "More than its allowance can have paid for."


class UnknownAllowance(Refused):
    """There is no allowance {key}."""

    status = 404


@transaction.atomic
def grant(
    key: str,
    scopes: Mapping[str, str],
    *,
    purpose: str,
    amount: Amount,
    least: Amount | None = None,
    model: str,
    ttl: timedelta,
    own: bool = False,
    now: datetime | None = None,
) -> Allowance:
    """Set `amount` aside for calls of `model`, priced as they are today; the same key again returns it.

    With `least`, as much of it as the budgets have room for, but not less than that. All of it counts in the hour, day
    and month of the grant; what the hub wants of itself (`own`) also in that day of its own goals. Where the price is
    free no money is set aside. Raises Unpriced and accounts.Exhausted.
    """
    at = now or timezone.now()
    if found := Allowance.objects.filter(key=key).first():
        return found
    if min(asdict(amount).values()) < 0:
        raise Invalid("amount", "An allowance is never less than nothing.")
    if len(model) > LONGEST_MODEL:  # its calls could not be written down
        raise Unpriced(model)
    bands = prices.bands_to_charge(model, utc_day(at))
    if pricing.is_free(bands):
        amount = replace(amount, micro=0)
    allowance = Allowance(
        key=key,
        price_id=bands[0].id,
        purpose=purpose,
        **scopes,
        accounts=accounts.opened(keys_of(scopes, purpose, at, own=own)),
        **_granted(amount),
        **_left(amount),
        granted_at=at,
        expires_at=at + ttl,
    )
    try:
        with transaction.atomic():
            allowance.save(force_insert=True)
    except IntegrityError:
        return Allowance.objects.get(key=key)
    given = accounts.hold(allowance.accounts, amount, least=least)
    if given != amount:
        for field, much in {**_granted(given), **_left(given)}.items():
            setattr(allowance, field, much)
        allowance.save()
    record(Kind.ALLOWANCE_GRANTED, allowance, tell=TELL, key=key, **asdict(given))
    return allowance


@transaction.atomic
def settle_part(
    key: str,
    call_id: str,
    usage: Usage,
    *,
    model: str,
    started_at: datetime,
    certain: bool = True,
    duration_ms: int = 0,
    request_id: str = "",
    note: str = "",
    now: datetime | None = None,
) -> Charge:
    """A call was made under the allowance: record it and take it from what is left; the rest of it is spent beyond.

    The same again changes nothing, but that a report which is `certain` settles one that was not. A call without a
    price is recorded as uncertain with an unknown cost, until an operator has entered the price (`jobs.reap`). One that
    no honest sidecar would have made, beyond the allowance's calls or far beyond its tokens, is uncertain as well.

    Raises UnknownAllowance, Invalid for impossible tokens, and CallTaken when the call is somebody else's.
    """
    at = now or timezone.now()
    if max(asdict(usage).values()) > MOST_REPORTED:
        raise Invalid("usage", f"No call has more than {MOST_REPORTED:,} tokens of one class.")
    allowance = _locked(key)
    if found := Charge.objects.filter(call_id=call_id).first():
        return _again(found, allowance, usage, certain=certain, now=at)
    # A machine's clock may be wrong, and a wrong day may be a cheaper one: nothing began before the grant.
    began = max(allowance.granted_at, min(started_at, at))
    exceeded, first = _exceeded(allowance, usage)
    if exceeded:
        certain, note = False, BEYOND
    cost, row = _priced(allowance, model, usage, began, certain=certain) or (None, None)
    charge = Charge(
        call_id=call_id,
        allowance=allowance,
        purpose=allowance.purpose,
        **allowance.scopes,
        accounts=allowance.accounts,
        status=ChargeStatus.SETTLED if certain and row is not None else ChargeStatus.UNCERTAIN,
        model=model,
        price_id=None if row is None else row.id,
        **asdict(usage),
        certain=certain,
        cost_micro=cost,
        duration_ms=pricing.milliseconds(duration_ms),
        request_id=request_id[:120],
        note=note[:300] or (actions.NO_PRICE if row is None else ""),
        started_at=began,
        resolved_at=at,
    )
    if not actions.insert(charge):
        return _again(Charge.objects.get(call_id=call_id), allowance, usage, certain=certain, now=at)
    _take(allowance, charge.posted)
    if first:
        record(Kind.ALLOWANCE_EXCEEDED, allowance, tell=TELL, key=key, agent=allowance.agent, call_id=call_id)
    kind = Kind.CHARGE_SETTLED if charge.status == ChargeStatus.SETTLED else Kind.CHARGE_UNCERTAIN
    record(kind, charge, tell=TELL, call_id=call_id, model=model, purpose=charge.purpose, micro=charge.cost_micro)
    return charge


@transaction.atomic
def release(key: str, *, by: str = "", now: datetime | None = None) -> Allowance:
    """The work has ended: what is left goes back. Twice is once. `by` is the person who says so, if it is one."""
    allowance = _locked(key)
    if allowance.status == AllowanceStatus.RELEASED:
        return allowance
    held, left = allowance.status == AllowanceStatus.OPEN, allowance.left
    transition(
        allowance,
        AllowanceStatus.RELEASED,
        Kind.ALLOWANCE_RELEASED,
        tell=TELL,
        actor=by,
        set={**_left(NOTHING), "released_at": now or timezone.now()},
        key=key,
        **asdict(left),
    )
    accounts.post(allowance.accounts, reserved=-left if held else NOTHING, spent=NOTHING if held else -left)
    return allowance


@transaction.atomic
def lapse(key: str) -> Allowance:
    """Nobody reported in time: what is left counts as spent, until calls are reported or the rest is released."""
    allowance = _locked(key)
    if allowance.status != AllowanceStatus.OPEN:
        return allowance
    left = allowance.left
    transition(allowance, AllowanceStatus.LAPSED, Kind.ALLOWANCE_LAPSED, tell=TELL, key=key, **asdict(left))
    accounts.post(allowance.accounts, reserved=-left, spent=left)
    return allowance


def _exceeded(allowance: Allowance, usage: Usage) -> tuple[bool, bool]:
    """Whether a call of `usage` is beyond what a sidecar that keeps to its allowance makes, and is the first such."""
    more = Amount(tokens=usage.tokens, calls=1)
    if allowance.status != AllowanceStatus.RELEASED and more.at_most(allowance.left) == more:
        return False, False
    sums = allowance.charges.aggregate(calls=Count("pk"), **{name: Sum(name, default=0) for name in CLASSES})
    before = Amount(tokens=sum(sums[name] for name in CLASSES), calls=sums["calls"])
    exceeded = _is_beyond(before + more, allowance.granted)
    return exceeded, exceeded and not _is_beyond(before, allowance.granted)


def _is_beyond(reported: Amount, granted: Amount) -> bool:
    return reported.calls > granted.calls or reported.tokens > FACTOR * granted.tokens


def _take(allowance: Allowance, cost: Amount) -> None:
    """Post the cost of a call, out of what the allowance has left as far as that goes."""
    covered = cost.at_most(allowance.left)
    Allowance.objects.filter(pk=allowance.pk).update(**_left(allowance.left - covered))
    if allowance.status == AllowanceStatus.OPEN:
        accounts.post(allowance.accounts, reserved=-covered, spent=cost)
    else:  # what a lapsed one has left is spent already, and a released one has nothing left
        accounts.post(allowance.accounts, reserved=NOTHING, spent=cost - covered)


def _again(found: Charge, allowance: Allowance, usage: Usage, *, certain: bool, now: datetime) -> Charge:
    if found.allowance_id != allowance.pk:
        raise CallTaken("call_taken", call_id=found.call_id)
    if not certain or found.status != ChargeStatus.UNCERTAIN or found.note == BEYOND:
        return found  # what is beyond the allowance does not become true by being said again
    if found.price_id is None and _priced(allowance, found.model, usage, found.started_at, certain=True) is None:
        return found
    return actions.settle(found.call_id, usage, now=now)


def bands_of(allowance: Allowance, model: str, at: datetime) -> tuple[Row, ...]:
    """What calls of `model` under the allowance are priced by: the price that it was granted on.

    For another model, and for allowances of before prices were kept with them, the price of that day; Unpriced when
    there is none.
    """
    if allowance.price is not None and pricing.fits(allowance.price.model, model):
        return prices.bands_beside(allowance.price)
    return prices.bands_to_charge(model, utc_day(at))


def _priced(allowance: Allowance, model: str, usage: Usage, at: datetime, *, certain: bool) -> tuple[int, Row] | None:
    """What a call cost, or if nobody knows, the most that it can have cost, and the price that says so."""
    try:
        bands = bands_of(allowance, model, at)
    except Unpriced:
        return None
    if not certain:
        return pricing.worst(bands, usage)
    row = pricing.band(bands, usage.prompt)
    return pricing.cost(row, usage), row


def _granted(amount: Amount) -> dict[str, int]:
    return {f"granted_{measure}": getattr(amount, measure) for measure in MEASURES}


def _left(amount: Amount) -> dict[str, int]:
    return {f"left_{measure}": getattr(amount, measure) for measure in MEASURES}


def _locked(key: str) -> Allowance:
    allowance = Allowance.objects.select_for_update().filter(key=key).first()
    if allowance is None:
        raise UnknownAllowance("allowance_unknown", key=key)
    return allowance
