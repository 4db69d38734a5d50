"""What operators write in the admin of the ledger: money in dollars, and what an action would refuse as an error."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar
from uuid import uuid4

from django import forms

from apps.events.refused import Invalid, Refused
from apps.ledger import budgets, prices
from apps.ledger.limits import Limits
from apps.ledger.models import Budget, Charge, Price
from apps.ledger.pricing import CLASSES, MILLION

KEY = ("model", "effective_from", "prompt_over")
PER_MILLION = "$ per million tokens"


class Dollars(forms.DecimalField):
    """Money as people write it, with up to six decimals; its value is whole micro-USD, or `empty`."""

    def __init__(self, *, empty: int | None, **options: Any) -> None:
        super().__init__(min_value=0, max_digits=15, decimal_places=6, required=False, **options)
        self.empty = empty

    def clean(self, value: Any) -> Any:
        written: Decimal | None = super().clean(value)
        return self.empty if written is None else prices.micro_of(written)

    def prepare_value(self, value: Any) -> Any:
        """What is stored in dollars; what somebody just wrote as it is."""
        return Decimal(value) / MILLION if isinstance(value, int) else value


class PriceForm(forms.ModelForm[Price]):
    """Rates in dollars per million tokens, as providers write them."""

    input = Dollars(empty=0, help_text=PER_MILLION)
    output = Dollars(empty=0, help_text=PER_MILLION)
    cache_write_5m = Dollars(empty=0, help_text=PER_MILLION)
    cache_write_1h = Dollars(empty=0, help_text=PER_MILLION)
    cache_read = Dollars(empty=0, help_text=PER_MILLION)

    class Meta:
        model = Price
        fields = [*KEY, *CLASSES, "free", "source", "verified_on"]

    def clean(self) -> dict[str, Any]:
        """What `set_price` would refuse is an error of the form."""
        asked = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                self._check(asked)
            except Invalid as invalid:
                self.add_error(invalid.field if invalid.field in self.fields else None, invalid.message)
            except Refused as refused:
                self.add_error(None, refused.message)
        return asked

    def _check(self, asked: dict[str, Any]) -> None:
        model, since, over = (asked.get(name, getattr(self.instance, name)) for name in KEY)
        rates = {name: asked[name] for name in CLASSES}
        prices.check(model, rates, free=asked["free"])
        prices.check_band(model, since, over)
        prices.check_unused(model, since, over, rates)


class CorrectionForm(forms.ModelForm[Charge]):
    """What a call cost all in all, and why that is not what the ledger says."""

    cost = Dollars(
        empty=None,
        label="What it cost",
        help_text="In dollars, all in all; the difference is posted as an entry of its own.",
    )
    reason = forms.CharField(max_length=300)
    correction_id = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)

    class Meta:
        model = Charge
        fields: ClassVar[list[str]] = []

    def clean_cost(self) -> int:
        """Nothing written is not nothing paid."""
        cost: int | None = self.cleaned_data["cost"]
        if cost is None:
            raise forms.ValidationError("Write what it cost; 0 when nothing was paid.")
        return cost


class BudgetForm(forms.ModelForm[Budget]):
    """The limit of money in dollars."""

    limit_micro = Dollars(empty=None, label="Limit in dollars", help_text="Empty for any amount.")

    class Meta:
        model = Budget
        fields = ["scope", "key", "limit_micro", "limit_tokens", "limit_calls", "enforce"]
        help_texts: ClassVar[dict[str, str]] = {
            "key": "The number of a task or goal; the name of a repository, an agent, a purpose or a state; an hour, a "
            "day or a month as 2026-12-24T18, 2026-12-24 or 2026-12, which are those of UTC; of a state, healing * for "
            "each hour or day of it, or one of them as healing 2026-12-24; or * for each. An own day is for what the "
            "hub wants of itself: its thinking and the attempts of agents.",
        }

    @property
    def limits(self) -> Limits:
        """What was asked for."""
        asked = self.cleaned_data
        return Limits(
            micro=asked["limit_micro"],
            tokens=asked["limit_tokens"],
            calls=asked["limit_calls"],
            enforce=asked["enforce"],
        )

    def clean(self) -> dict[str, Any]:
        """What `set_budget` would refuse is an error of its field."""
        asked = super().clean() or self.cleaned_data
        if not self.errors:
            try:
                budgets.check(asked.get("scope", self.instance.scope), asked.get("key", self.instance.key), self.limits)
            except Invalid as invalid:
                field = invalid.field if invalid.field in self.fields else f"limit_{invalid.field}"
                self.add_error(field, invalid.message)
        return asked
