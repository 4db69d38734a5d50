"""The table of prices: loaded from dated data, looked up by day, changed by operators."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, Subquery

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid, Refused
from apps.ledger import pricing
from apps.ledger.models import MODEL, Allowance, Charge, Price
from apps.ledger.pricing import ANY, CLASSES, LONGEST_MODEL, MILLION, MOST_RATE, Row, Unpriced

DATA = Path(__file__).with_name("prices.json")
LOCAL = {
    "model": "ollama:*",
    "effective_from": date(2000, 1, 1),
    "prompt_over": 0,
    "free": True,
    "source": "Runs on machines of our own; declared free.",
}
TELL = ("dashboard",)


def bands(model: str, on: date) -> tuple[Row, ...]:
    """The price of `model` in effect on that day, all its bands; raises Unpriced."""
    rows = Price.objects.filter(Q(model=model) | Q(model__endswith=ANY), effective_from__lte=on)
    return pricing.price_for([price.row for price in rows], model, on)


def bands_to_charge(model: str, on: date) -> tuple[Row, ...]:
    """The same, and until this transaction ends nobody changes them. Take no account's lock before."""
    found = bands(model, on)
    # no_key: rows that name the price need its key only, and must not wait
    return bands_beside(Price.objects.select_for_update(no_key=True).get(pk=found[0].id))


def bands_beside(price: Price) -> tuple[Row, ...]:
    """The bands of the price that this row belongs to, whatever has come into effect since."""
    rows = Price.objects.filter(model=price.model, effective_from=price.effective_from)
    return pricing.bands_of([one.row for one in rows], price.row)


def priced_since(model: str) -> date | None:
    """The first day on which `model` has any price; None when nobody entered one."""
    rows = Price.objects.filter(Q(model=model) | Q(model__endswith=ANY), prompt_over=0)
    return min((price.effective_from for price in rows if pricing.fits(price.model, model)), default=None)


def unverified(models: Iterable[str], on: date) -> list[str]:
    """Those of `models` whose price nobody has compared with the provider's for too long; not free ones. One query."""
    found = {price.pk: price for price in Price.objects.filter(effective_from__lte=on)}
    rows = [price.row for price in found.values()]
    old = []
    for model in sorted(set(models)):
        with suppress(Unpriced):
            bands = [found[row.id] for row in pricing.price_for(rows, model, on)]
            if any(pricing.is_stale(band.verified_on, on) for band in bands if not band.free):
                old.append(model)
    return old


def load(model: type[Price] = Price, text: str | None = None) -> int:
    """Add the rows of the data file that are not there yet; how many. What operators changed is left as it is."""
    added = 0
    for values in [LOCAL, *rows_of(DATA.read_text(encoding="utf-8") if text is None else text)]:
        key = {name: values[name] for name in ("model", "effective_from", "prompt_over")}
        added += model.objects.get_or_create(**key, defaults=values)[1]
    return added


def rows_of(text: str) -> Iterator[dict[str, Any]]:
    """The fields of each price in a data file, whose rates are in dollars per million tokens."""
    data = json.loads(text, parse_float=Decimal)
    for row in data["prices"]:
        yield {
            "model": row["model"],
            "effective_from": date.fromisoformat(row["effective_from"]),
            "prompt_over": row["prompt_over"],
            **{name: micro_of(row[name]) for name in CLASSES},
            "source": "; ".join(data["sources"])[:300],
            "verified_on": date.fromisoformat(data["verified_on"]),
        }


def micro_of(dollars: Decimal | int) -> int:
    """Dollars in micro-USD; ValueError for less than nothing, or for more than six decimals."""
    micro = Decimal(dollars) * MILLION
    if micro < 0 or micro != int(micro):
        raise ValueError(f"{dollars} dollars are no whole number of micro-USD")
    return int(micro)


@transaction.atomic
def set_price(
    model: str,
    effective_from: date,
    *,
    by: str,
    rates: Mapping[str, int],
    prompt_over: int = 0,
    free: bool = False,
    source: str = "",
    verified_on: date | None = None,
) -> Price:
    """Enter a price, or put right one that nothing was priced by yet; `rates` are micro-USD per million tokens.

    Raises Invalid for a field that cannot be used, and Refused when a call or an allowance was priced by this model's
    price of that day, in any of its bands: all of them stand, and no band joins them. A new price takes over the bands
    for longer prompts that the one before it had, until they are entered.
    """
    check(model, rates, free=free)
    key: dict[str, Any] = {"model": model, "effective_from": effective_from, "prompt_over": prompt_over}
    asked = {name: rates.get(name, 0) for name in CLASSES}
    beside = Price.objects.select_for_update().filter(model=model, effective_from=effective_from).order_by("pk")
    found = next((one for one in beside if one.prompt_over == prompt_over), None)
    check_band(model, effective_from, prompt_over)
    check_unused(model, effective_from, prompt_over, asked)
    price = found or Price(**key)
    _write(price, asked, by, free=free, source=source, verified_on=verified_on)
    if found is None and not prompt_over and not free:
        _take_over_bands(price, by)
    return price


def taken_over(price: Price) -> list[int]:
    """From how many tokens on the bands begin that the price before had, and that a new price without them keeps."""
    before = Price.objects.filter(model=price.model, effective_from__lt=price.effective_from)
    newest = before.order_by("-effective_from").values("effective_from")[:1]
    missing = before.filter(effective_from=Subquery(newest), prompt_over__gt=0)
    return list(missing.order_by("prompt_over").values_list("prompt_over", flat=True))


def _take_over_bands(price: Price, by: str) -> None:
    """Or long prompts would cost what short ones do, until somebody thinks of them; never less than before or now."""
    for over in taken_over(price):
        before = Price.objects.filter(model=price.model, effective_from__lt=price.effective_from, prompt_over=over)
        dearer = before.order_by("-effective_from")[0]
        rates = {name: max(getattr(dearer, name), getattr(price, name)) for name in CLASSES}
        band = Price(model=price.model, effective_from=price.effective_from, prompt_over=over)
        _write(band, rates, by, source=f"Taken over from {dearer.effective_from}.")


def _write(
    price: Price, rates: Mapping[str, int], by: str, *, free: bool = False, source: str, verified_on: date | None = None
) -> None:
    before = {name: getattr(price, name) for name in CLASSES}
    for name, value in {**rates, "free": free, "source": source, "verified_on": verified_on}.items():
        setattr(price, name, value)
    price.save()
    record(Kind.PRICE_SET, price, tell=TELL, actor=by, price=str(price), free=free, before=before, now=dict(rates))


def check_band(model: str, effective_from: date, prompt_over: int) -> None:
    """Raises Invalid for the band of a price that has no lowest one: no call of its model could be priced."""
    if prompt_over and not Price.objects.filter(model=model, effective_from=effective_from, prompt_over=0).exists():
        raise Invalid("prompt_over", f"Enter the price of {model} from {effective_from} for prompts over 0 first.")


def check_unused(model: str, effective_from: date, prompt_over: int, rates: Mapping[str, int]) -> None:
    """Raises Refused when these rates would change what something was priced by already."""
    beside = Price.objects.filter(model=model, effective_from=effective_from)
    found = beside.filter(prompt_over=prompt_over).first()
    if found is not None and all(rates.get(name, 0) == getattr(found, name) for name in CLASSES):
        return
    if Charge.objects.filter(price__in=beside).exists() or Allowance.objects.filter(price__in=beside).exists():
        raise Refused(
            "price_used",
            f"Calls were charged by the price of {model} from {effective_from}; enter a new one from a later day.",
        )


def check(model: str, rates: Mapping[str, int], *, free: bool) -> None:
    """Raises Invalid, with the field at fault, when no such price can be."""
    try:
        MODEL(model)
    except ValidationError as error:
        raise Invalid("model", error.messages[0]) from error
    if len(model) > LONGEST_MODEL:
        raise Invalid("model", f"The id of a model has at most {LONGEST_MODEL} characters.")
    if unknown := set(rates) - set(CLASSES):
        raise Invalid("rates", f"There are no tokens of class {', '.join(sorted(unknown))}.")
    if any(type(rate) is not int or not 0 <= rate <= MOST_RATE for rate in rates.values()):
        raise Invalid("rates", f"A rate is a whole number of micro-USD for a million tokens, from 0 to {MOST_RATE}.")
    if free and any(rates.values()):
        raise Invalid("free", "What is free has no rates.")
    if not free and not any(rates.values()):
        raise Invalid("free", "Without any rate the model has to be declared free.")
