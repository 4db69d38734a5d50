"""The ledger in the admin: prices and budgets are set through actions, accounts, allowances and charges only shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from apps.events.admin import Shown
from apps.events.refused import Refused
from apps.ledger import accounts, allowances, budgets, pauses, prices
from apps.ledger import actions as calls
from apps.ledger.forms import KEY, BudgetForm, CorrectionForm, PriceForm
from apps.ledger.lifecycle import AllowanceStatus, ChargeStatus
from apps.ledger.limits import Amount, Limits, key_now, keys_of, percent
from apps.ledger.models import Account, Allowance, Budget, Charge, Pause, Price
from apps.ledger.pricing import CLASSES, dollars, is_stale

Row = TypeVar("Row", bound=Model)


class Acting(admin.ModelAdmin[Row], Generic[Row]):
    """Rows that are written by actions of this room. When one refuses, nothing was changed, and the page says why."""

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **options)
        except Refused as refused:  # out of the transaction that would have said that it was changed
            self.message_user(request, refused.message, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


@admin.register(Price)
class PriceAdmin(Acting[Price]):
    """A new price is a new row from its day on; one that calls were charged by stays as it is."""

    form = PriceForm
    list_display = ["model", "effective_from", "prompt_over", "rates", "free", "verified_on"]
    list_filter = ["free", "model"]
    search_fields = ["model"]
    fields = [*KEY, *CLASSES, "free", "source", "verified_on"]

    @admin.display(description="$ per million tokens: input / output / written 5 min / written 1 h / read")
    def rates(self, price: Price) -> str:
        return " / ".join(dollars(getattr(price, name)) for name in CLASSES)

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> list[str]:
        return [*KEY] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        newest = Price.objects.filter(verified_on__isnull=False).order_by("-verified_on").first()
        if is_stale(newest.verified_on if newest else None, timezone.now().date()):
            self.message_user(request, "Nobody has compared prices with the provider's for 90 days.", messages.WARNING)
        return super().changelist_view(request, extra_context)

    def save_model(self, request: HttpRequest, obj: Price, form: forms.ModelForm[Price], change: bool) -> None:
        saved = prices.set_price(
            obj.model,
            obj.effective_from,
            prompt_over=obj.prompt_over,
            rates={name: getattr(obj, name) for name in CLASSES},
            free=obj.free,
            source=obj.source,
            verified_on=obj.verified_on,
            by=request.user.get_username(),
        )
        obj.pk = saved.pk
        if not change and not obj.prompt_over and not obj.free and (bands := prices.taken_over(saved)):
            over = ", ".join(f"{band:,}" for band in bands)
            said = f"The rates for prompts over {over} tokens were taken over from the price before; look at them."
            self.message_user(request, said, messages.WARNING)


def currents(budgets: Iterable[Budget]) -> dict[int, Account | None]:
    """By its id, the account that each budget is about now: its own, or for each period the one that runs.

    None for each task and the like, of which there are many. One query.
    """
    now = dict(keys_of({}, "", timezone.now(), own=True))
    keys = {budget.pk: (budget.scope, key_now(budget.scope, budget.key, now)) for budget in budgets}
    wanted = Q(scope__in={scope for scope, _ in keys.values()}, key__in={key for _, key in keys.values()} - {None})
    found = {(account.scope, account.key): account for account in Account.objects.filter(wanted)}
    return {pk: found.get((scope, key or "")) if key is not None else None for pk, (scope, key) in keys.items()}


def _current(budget: Budget) -> Account | None:
    """What was read with it; a form for a new one has read nothing."""
    found: Account | None = getattr(budget, "current", None)
    return found


def used(limits: Limits, account: Account) -> str:
    share = percent(limits, account.spent + account.reserved)
    return "no limit" if share is None else f"{share} %"


def written(amount: Amount) -> str:
    return f"{dollars(amount.micro)}, {amount.tokens:,} tokens, {amount.calls:,} calls"


@admin.register(Budget)
class BudgetAdmin(Acting[Budget]):
    """Limits; the next reservation obeys. A budget is lifted by emptying its limits."""

    form = BudgetForm
    list_display = ["__str__", "limit", "limit_tokens", "limit_calls", "enforce", "spent", "reserved", "share"]
    list_filter = ["scope"]
    search_fields = ["key"]
    fields = ["scope", "key", "limit_micro", "limit_tokens", "limit_calls", "enforce", "spent", "reserved", "share"]

    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> list[str]:
        return [*(["scope", "key"] if obj else []), "spent", "reserved", "share"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With the accounts of all budgets that it shows, read once."""
        shown = super().get_changelist_instance(request)
        found = currents(shown.result_list)
        for budget in shown.result_list:
            budget.current = found[budget.pk]
        return shown

    def get_object(self, *args: Any, **options: Any) -> Budget | None:
        if budget := super().get_object(*args, **options):
            budget.current = currents([budget])[budget.pk]  # type: ignore[attr-defined]  # read by `_current`
        return budget

    @admin.display(description="limit")
    def limit(self, budget: Budget) -> str:
        return "" if budget.limit_micro is None else dollars(budget.limit_micro)

    @admin.display
    def spent(self, budget: Budget) -> str:
        account = _current(budget)
        return written(account.spent) if account else ""

    @admin.display
    def reserved(self, budget: Budget) -> str:
        account = _current(budget)
        return written(account.reserved) if account else ""

    @admin.display(description="used, with what is reserved")
    def share(self, budget: Budget) -> str:
        account = _current(budget)
        return used(budget.limits, account) if account else ""

    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        saved = budgets.set_budget(obj.scope, obj.key, limits=form.limits, by=request.user.get_username())
        obj.pk = saved.pk
        if budgets.is_unheard_of(saved):
            said = f"Nothing was ever counted for {saved}. Is it written as it is meant? Until then it limits nothing."
            self.message_user(request, said, messages.WARNING)


@admin.register(Pause)
class PauseAdmin(Shown[Pause]):
    """Whether spending is paused, since when and why."""

    list_display = ["reason", "since", "lifted_at"]
    actions = ["lift"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ledger.change_pause")

    @admin.action(description="Let spending go on", permissions=["act"])
    def lift(self, request: HttpRequest, chosen: QuerySet[Pause]) -> None:
        pauses.lift(by=request.user.get_username())


@admin.register(Account)
class AccountAdmin(Shown[Account]):
    """What everything that calls were for has spent and holds."""

    list_display = ["scope", "key", "spent_in_all", "held", "share"]
    list_filter = ["scope"]
    search_fields = ["=key"]
    fields = ["scope", "key", "spent_in_all", "held", "share", "warned_at", "exhausted_at"]

    @admin.display(description="spent")
    def spent_in_all(self, account: Account) -> str:
        return written(account.spent)

    @admin.display(description="reserved")
    def held(self, account: Account) -> str:
        return written(account.reserved)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With the budgets of all accounts that it shows, read once."""
        shown = super().get_changelist_instance(request)
        found = accounts.budgets_of(shown.result_list)
        for account in shown.result_list:
            account.budget = found.get(account.pk)
        return shown

    def get_object(self, *args: Any, **options: Any) -> Account | None:
        if account := super().get_object(*args, **options):
            account.budget = accounts.budgets_of([account]).get(account.pk)  # type: ignore[attr-defined]  # read by `share`
        return account

    @admin.display(description="used, with what is reserved")
    def share(self, account: Account) -> str:
        budget: Budget | None = getattr(account, "budget", None)
        return used(budget.limits, account) if budget else "no limit"


@admin.register(Allowance)
class AllowanceAdmin(Shown[Allowance]):
    """What was set aside for attempts."""

    list_display = ["key", "status", "purpose", "task", "agent", "granted_in_all", "rest", "granted_at", "expires_at"]
    list_filter = ["status", "purpose"]
    search_fields = ["=key", "=task"]
    actions = ["give_back"]

    def has_act_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("ledger.change_allowance")

    @admin.action(description="Give back what is left (lapsed ones only)", permissions=["act"])
    def give_back(self, request: HttpRequest, chosen: QuerySet[Allowance]) -> None:
        """For machines that never come back. An open one may still be spent, and lapses by itself."""
        lapsed = list(chosen.filter(status=AllowanceStatus.LAPSED).values_list("key", flat=True))
        for key in lapsed:
            allowances.release(key, by=request.user.get_username())
        others = chosen.count() - len(lapsed)
        left_alone = f" {others} not lapsed, left as they are." if others else ""
        self.message_user(request, f"{len(lapsed)} given back.{left_alone}")

    @admin.display(description="granted")
    def granted_in_all(self, allowance: Allowance) -> str:
        return written(allowance.granted)

    @admin.display(description="left")
    def rest(self, allowance: Allowance) -> str:
        return written(allowance.left)


@admin.register(Charge)
class ChargeAdmin(Acting[Charge]):
    """Every call of a model. None is changed: what one cost is put right by an entry of its own."""

    form = CorrectionForm
    list_display = [
        "call_id", "started_at", "status", "purpose", "state", "model", "task", "agent", "shown_cost", "tokens",
    ]  # fmt: skip
    list_filter = ["status", "purpose", "state", "model", "started_at"]
    search_fields = ["=call_id", "=task", "=goal", "=request_id"]
    date_hierarchy = "started_at"
    show_full_result_count = False
    actions = ["price_now"]
    readonly_fields = [field.name for field in Charge._meta.fields if field.name != "id"]

    def get_fieldsets(self, request: HttpRequest, obj: Charge | None = None) -> Any:
        shown = (None, {"fields": self.readonly_fields})
        if obj is None or not self.has_change_permission(request, obj):
            return [shown]
        put_right = {
            "fields": ["cost", "reason", "correction_id"],
            "description": "For a refund, or where the bill says something else. An uncertain call is settled by it.",
        }
        return [("Put right what it cost", put_right), shown]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Charge | None = None) -> bool:
        may = bool(super().has_change_permission(request, obj))
        return may and (obj is None or (obj.cost_micro is not None and obj.corrects_id is None))

    def save_model(self, request: HttpRequest, obj: Charge, form: Any, change: bool) -> None:
        said = form.cleaned_data
        correction, by = str(said["correction_id"]), request.user.get_username()
        calls.correct(obj.call_id, said["cost"], correction_id=correction, by=by, reason=said["reason"])

    @admin.action(description="Post those without a price, now that it is entered", permissions=["change"])
    def price_now(self, request: HttpRequest, chosen: QuerySet[Charge]) -> None:
        """The clock does the same every five minutes."""
        waiting, done = list(chosen.filter(cost_micro=None, status=ChargeStatus.UNCERTAIN)), 0
        for charge in waiting:
            try:
                calls.price_late(charge.call_id)
                done += 1
            except Refused as refused:
                self.message_user(request, f"{charge.call_id}: {refused.message}", messages.ERROR)
        self.message_user(request, f"{done} posted.")

    @admin.display
    def tokens(self, charge: Charge) -> str:
        return f"{charge.usage.prompt:,} in, {charge.output:,} out"
