"""Price, Budget, Account, Allowance, Charge: what thinking costs, what it may cost, and what it did cost.

Money is in whole micro-USD. What a call is for is plain text: this room knows no tasks, goals, repositories or agents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.ledger import lifecycle
from apps.ledger.limits import EACH, GIVEN, LONGEST_STATE, NOTHING, Amount, Limits, Scope, named
from apps.ledger.pricing import CLASSES, LONGEST_MODEL, LONGEST_MS, Row, Usage, dollars

MODEL = RegexValidator(r"\A[^\s*]+\Z|\A[^\s*]+:\*\Z", "A model's id, or the beginning of some that ends in :*.")
_UNPOSTED = ("reserved", "voided")
_ALL_ZERO = Q(**dict.fromkeys(CLASSES, 0))


class Price(models.Model):
    """What one model costs from a day on, for prompts of more than `prompt_over` tokens; rates are per million tokens.

    A row that a charge or an allowance was priced by is never changed; a new day gets a new row.
    """

    model = models.CharField(
        max_length=LONGEST_MODEL, validators=[MODEL], help_text="Its id; or the beginning of many ids, such as ollama:*"
    )
    effective_from = models.DateField(default=timezone.localdate)
    prompt_over = models.PositiveBigIntegerField(
        default=0, help_text="Only for prompts of more tokens than this, cached ones included."
    )
    input = models.PositiveBigIntegerField(default=0)
    output = models.PositiveBigIntegerField(default=0)
    cache_write_5m = models.PositiveBigIntegerField(default=0)
    cache_write_1h = models.PositiveBigIntegerField(default=0)
    cache_read = models.PositiveBigIntegerField(default=0)
    free = models.BooleanField(default=False, help_text="Declares that calls of this model cost no money.")
    source = models.CharField(max_length=300, blank=True, default="")
    verified_on = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["model", "-effective_from", "prompt_over"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["model", "effective_from", "prompt_over"], name="one_price_per_model_day_and_band"
            ),
            models.CheckConstraint(
                condition=(Q(free=True) & _ALL_ZERO) | (Q(free=False) & ~_ALL_ZERO),
                name="a_price_is_zero_exactly_when_declared_free",
            ),
        ]

    def __str__(self) -> str:
        band = f", prompts over {self.prompt_over:,}" if self.prompt_over else ""
        return f"{self.model} from {self.effective_from}{band}"

    @property
    def row(self) -> Row:
        """The same as a plain value."""
        return Row(
            id=self.pk,
            model=self.model,
            effective_from=self.effective_from,
            prompt_over=self.prompt_over,
            input=self.input,
            output=self.output,
            cache_write_5m=self.cache_write_5m,
            cache_write_1h=self.cache_write_1h,
            cache_read=self.cache_read,
        )


class Budget(models.Model):
    """The most that an operator allows: for one account, or with the key `*` for each of its scope.

    A budget for one account takes the place of the one for each; one with the key `healing *` is for each period of
    that state. Without any limit it only says so.
    """

    scope = models.CharField(max_length=10, choices=[(scope.value, scope.value) for scope in Scope])
    key = models.CharField(max_length=120, default=EACH, help_text="One of them, such as 2026-12-24; or * for each.")
    limit_micro = models.PositiveBigIntegerField(null=True, blank=True)
    limit_tokens = models.PositiveBigIntegerField(null=True, blank=True)
    limit_calls = models.PositiveBigIntegerField(null=True, blank=True)
    enforce = models.BooleanField(default=True, help_text="Refuse what does not fit; otherwise only warn.")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar[list[str]] = ["scope", "key"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["scope", "key"], name="one_budget_per_scope_and_key"),
            models.CheckConstraint(
                condition=Q(scope__in=[scope.value for scope in Scope]), name="budget_scope_is_known"
            ),
        ]

    def __str__(self) -> str:
        return named(self.scope, self.key)

    @property
    def limits(self) -> Limits:
        """The same as a plain value."""
        return Limits(micro=self.limit_micro, tokens=self.limit_tokens, calls=self.limit_calls, enforce=self.enforce)


class Account(models.Model):
    """What one task, goal, repository, agent, purpose, state, period or the hub has spent, and holds for open calls.

    There is one for everything that a call was ever for, with or without a budget, so a budget may be set at any time.
    """

    scope = models.CharField(max_length=10)
    key = models.CharField(max_length=120, blank=True)
    spent_micro = models.BigIntegerField(default=0)
    spent_tokens = models.BigIntegerField(default=0)
    spent_calls = models.BigIntegerField(default=0)
    reserved_micro = models.BigIntegerField(default=0)
    reserved_tokens = models.BigIntegerField(default=0)
    reserved_calls = models.BigIntegerField(default=0)
    warned_at = models.DateTimeField(null=True, blank=True)
    exhausted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["scope", "-key"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["scope", "key"], name="one_account_per_scope_and_key"),
            models.CheckConstraint(
                condition=Q(spent_micro__gte=0, spent_tokens__gte=0, spent_calls__gte=0),
                name="no_account_has_spent_less_than_nothing",
            ),
            models.CheckConstraint(
                condition=Q(reserved_micro__gte=0, reserved_tokens__gte=0, reserved_calls__gte=0),
                name="no_account_holds_less_than_nothing",
            ),
        ]

    def __str__(self) -> str:
        return named(self.scope, self.key)

    @property
    def spent(self) -> Amount:
        return Amount(micro=self.spent_micro, tokens=self.spent_tokens, calls=self.spent_calls)

    @property
    def reserved(self) -> Amount:
        return Amount(micro=self.reserved_micro, tokens=self.reserved_tokens, calls=self.reserved_calls)


class Pause(models.Model):
    """Nothing that costs money is begun, from `since` until a person has lifted it. There is one, or none yet."""

    since = models.DateTimeField()
    reason = models.CharField(max_length=300)
    lifted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(pk=1), name="there_is_one_pause_of_spending"),
            models.CheckConstraint(
                condition=Q(lifted_at__isnull=True) | Q(lifted_at__gte=models.F("since")),
                name="a_pause_is_not_lifted_before_it_began",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} {'Lifted.' if self.lifted_at else ''}".strip()


class Caused(models.Model):
    """What calls are for; with a `state`, the hub itself thinks, and what it does then pays for it.

    `accounts` are those that were held from, and so those that are posted to in the end.
    """

    purpose = models.CharField(max_length=40)
    task = models.CharField(max_length=120, blank=True, default="")
    goal = models.CharField(max_length=120, blank=True, default="")
    repo = models.CharField(max_length=120, blank=True, default="")
    agent = models.CharField(max_length=120, blank=True, default="")
    state = models.CharField(max_length=LONGEST_STATE, blank=True, default="")
    accounts = models.JSONField(default=list)

    class Meta:
        abstract = True

    @property
    def scopes(self) -> Mapping[str, str]:
        """Who and what it is for."""
        return {scope.value: key for scope in GIVEN if (key := getattr(self, scope.value))}


class Allowance(Caused):
    """Set aside for an attempt that calls models by itself and reports each call later, perhaps much later."""

    LIFECYCLE: ClassVar = lifecycle.ALLOWANCE

    key = models.CharField(max_length=100, unique=True)
    price = models.ForeignKey(
        Price,
        null=True,  # those of before there was this field have none
        blank=True,
        on_delete=models.PROTECT,
        related_name="allowances",
        help_text="What its calls are priced by, whatever comes into effect meanwhile; the band for short prompts.",
    )
    status = models.CharField(
        max_length=10, choices=lifecycle.ALLOWANCE.choices, default=lifecycle.AllowanceStatus.OPEN
    )
    granted_micro = models.PositiveBigIntegerField()
    granted_tokens = models.PositiveBigIntegerField()
    granted_calls = models.PositiveBigIntegerField()
    left_micro = models.PositiveBigIntegerField()
    left_tokens = models.PositiveBigIntegerField()
    left_calls = models.PositiveBigIntegerField()
    granted_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=Q(status__in=lifecycle.ALLOWANCE.values), name="allowance_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(status="released", released_at__isnull=False)
                | (~Q(status="released") & Q(released_at__isnull=True)),
                name="allowance_released_at_exactly_when_released",
            ),
            models.CheckConstraint(
                condition=~Q(status="released") | Q(left_micro=0, left_tokens=0, left_calls=0),
                name="a_released_allowance_has_nothing_left",
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["expires_at"], name="allowance_expiry", condition=Q(status="open")),
            models.Index(fields=["id"], name="allowance_not_released", condition=Q(released_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"allowance {self.key}"

    @property
    def granted(self) -> Amount:
        return Amount(micro=self.granted_micro, tokens=self.granted_tokens, calls=self.granted_calls)

    @property
    def left(self) -> Amount:
        return Amount(micro=self.left_micro, tokens=self.left_tokens, calls=self.left_calls)


class Charge(Caused):
    """One call of a model: set aside before it is made, posted when it has ended. A settled one is never changed.

    What was wrong with it is put right by another charge that `corrects` it and may cost less than nothing.
    """

    LIFECYCLE: ClassVar = lifecycle.CHARGE

    call_id = models.CharField(max_length=100, unique=True)
    status = models.CharField(max_length=10, choices=lifecycle.CHARGE.choices, default=lifecycle.ChargeStatus.RESERVED)
    model = models.CharField(max_length=LONGEST_MODEL)
    allowance = models.ForeignKey(Allowance, null=True, blank=True, on_delete=models.PROTECT, related_name="charges")
    corrects = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="corrections")
    price = models.ForeignKey(Price, null=True, blank=True, on_delete=models.PROTECT, related_name="charges")
    estimated_prompt = models.PositiveBigIntegerField(default=0)
    estimated_output = models.PositiveBigIntegerField(default=0)
    estimated_micro = models.PositiveBigIntegerField(default=0)
    input = models.PositiveBigIntegerField(default=0)
    output = models.PositiveBigIntegerField(default=0)
    cache_write_5m = models.PositiveBigIntegerField(default=0)
    cache_write_1h = models.PositiveBigIntegerField(default=0)
    cache_read = models.PositiveBigIntegerField(default=0)
    cost_micro = models.BigIntegerField(null=True, blank=True)
    certain = models.BooleanField(default=False, help_text="The tokens are those that the provider counted.")
    duration_ms = models.PositiveBigIntegerField(default=0)
    request_id = models.CharField(max_length=120, blank=True, default="", help_text="The provider's name of the call.")
    note = models.CharField(max_length=300, blank=True, default="")
    started_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(status__in=lifecycle.CHARGE.values), name="charge_status_is_known"),
            models.CheckConstraint(
                condition=Q(status="reserved", resolved_at__isnull=True, expires_at__isnull=False)
                | (~Q(status="reserved") & Q(resolved_at__isnull=False)),
                name="charge_resolved_at_exactly_when_not_reserved",
            ),
            models.CheckConstraint(
                condition=~Q(status="settled") | Q(cost_micro__isnull=False, price__isnull=False),
                name="a_settled_charge_has_a_cost_and_a_price",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=_UNPOSTED) | Q(cost_micro__isnull=True),
                name="a_reserved_or_voided_charge_has_no_cost",
            ),
            models.CheckConstraint(
                condition=~Q(status="uncertain")
                | Q(cost_micro__isnull=False, price__isnull=False)
                | Q(cost_micro__isnull=True, price__isnull=True),
                name="an_uncertain_charge_has_a_cost_exactly_when_it_has_a_price",
            ),
            models.CheckConstraint(
                condition=Q(cost_micro__isnull=True) | Q(cost_micro__gte=0) | Q(corrects__isnull=False),
                name="only_a_correction_costs_less_than_nothing",
            ),
            models.CheckConstraint(condition=Q(duration_ms__lte=LONGEST_MS), name="no_call_takes_more_than_a_week"),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["expires_at"], name="charge_expiry", condition=Q(status="reserved")),
            models.Index(fields=["started_at"], name="charge_started"),
            models.Index(fields=["resolved_at"], name="charge_resolved"),
            models.Index(fields=["task", "id"], name="charge_task"),
            models.Index(fields=["goal", "id"], name="charge_goal"),
        ]

    def __str__(self) -> str:
        return f"{self.call_id}: {self.shown_cost}"

    @property
    def shown_cost(self) -> str:
        """For people."""
        return "unknown" if self.cost_micro is None else dollars(self.cost_micro)

    @property
    def usage(self) -> Usage:
        return Usage(
            input=self.input,
            output=self.output,
            cache_write_5m=self.cache_write_5m,
            cache_write_1h=self.cache_write_1h,
            cache_read=self.cache_read,
        )

    @property
    def estimate(self) -> Amount:
        """The most that it was said to come to; nothing for a call that an allowance pays for."""
        if self.allowance_id or self.corrects_id:
            return NOTHING
        return Amount(micro=self.estimated_micro, tokens=self.estimated_prompt + self.estimated_output, calls=1)

    @property
    def held(self) -> Amount:
        """What it holds of each of its accounts now."""
        return self.estimate if self.status == lifecycle.ChargeStatus.RESERVED else NOTHING

    @property
    def posted(self) -> Amount:
        """What it adds to the spending of each of its accounts now."""
        if self.status in _UNPOSTED:
            return NOTHING
        return Amount(micro=self.cost_micro or 0, tokens=self.usage.tokens, calls=0 if self.corrects_id else 1)
