"""Routing rules, endpoints, their models and the machines in the admin; every change goes through the room's verbs."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model as AnyModel
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.endpoints import actions, rules
from apps.endpoints.models import THINKING, Endpoint, Host, Model, Origin, Restart, RoutingRule
from apps.events.refused import Invalid, Refused


@admin.register(RoutingRule)
class RoutingRuleAdmin(admin.ModelAdmin[RoutingRule]):
    """Which model does which work; the next assignment obeys."""

    list_display = ["tier", "in_order", "wait_seconds"]
    readonly_fields = ["tier"]

    def get_exclude(self, request: HttpRequest, obj: RoutingRule | None = None) -> list[str]:
        return ["wait_seconds"] if obj is not None and obj.tier == THINKING else []

    @admin.display(description="chain")
    def in_order(self, rule: RoutingRule) -> str:
        """The grades as they are tried."""
        return " → ".join(rule.chain)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Through the one verb that remembers who did it."""
        rules.change(obj.tier, obj.chain, obj.wait_seconds, by=request.user.get_username())


class EndpointForm(forms.ModelForm[Endpoint]):
    """An endpoint of an operator's; of one that an agent offers only the name and the machine are set here."""

    class Meta:
        model = Endpoint
        fields = ["url", "name", "grade", "host"]

    def clean(self) -> dict[str, Any]:
        """What the verb would refuse is an error of its field."""
        asked = super().clean() or self.cleaned_data
        try:
            if "url" in asked:
                actions.check(url=asked["url"], grade=asked.get("grade"), known=self.instance.pk)
        except Invalid as invalid:
            self.add_error(invalid.field, invalid.message)
        except Refused as refused:
            self.add_error("url", refused.message)
        return asked


class ModelsInline(admin.TabularInline[Model, Endpoint]):
    """What it has; an operator says which of them agents may work with."""

    model = Model
    extra = 0
    can_delete = False
    fields = ("wanted", "name", "installed", "warm", "context", "dialect", "tokens_per_second", "how_it_did", "digest")
    readonly_fields = fields[1:]

    @admin.display(description="trial")
    def how_it_did(self, model: Model) -> str:
        """Request by request, when somebody tried it."""
        if reason := model.trial.get("unfit"):
            return str(reason)
        trials = model.trial.get("trials", [])
        wrong = "; ".join(f"{one['name']}: {one.get('what') or 'wrong'}" for one in trials if not one["ok"])
        right = sum(1 for one in trials if one["ok"])
        return f"{right} of {len(trials)} right{f' ({wrong})' if wrong else ''}" if trials else "not tried"

    def has_add_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """Agents' own models are theirs to configure."""
        ours = not isinstance(obj, Endpoint) or obj.origin == Origin.OPERATOR
        return ours and super().has_change_permission(request, None)


SEEN = ("origin", "kind", "health", "trouble", "version", "draining", "added_at", "checked_at", "last_used_at")


@admin.register(Endpoint)
class EndpointAdmin(admin.ModelAdmin[Endpoint]):
    """Where models answer. Those that agents offer come by themselves; the others are added here."""

    form = EndpointForm
    list_display = ["__str__", "url", "kind", "origin", "grade", "health", "draining", "host", "checked_at"]
    list_filter = ["origin", "health", "draining"]
    list_select_related = ["host"]
    search_fields = ["name", "url"]
    actions = ["drain", "resume", "look", "restart"]
    inlines = [ModelsInline]
    fields = ("url", "name", "grade", "host", *SEEN)

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> tuple[str, ...]:
        return ("url", "grade", *SEEN) if obj is not None and obj.origin == Origin.AGENT else SEEN

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        """One at a time, from its own page: the list's own deletion would go past the verb that remembers it."""
        return isinstance(obj, Endpoint) and obj.origin == Origin.OPERATOR and super().has_delete_permission(request)

    def save_model(self, request: HttpRequest, obj: Endpoint, form: forms.ModelForm[Endpoint], change: bool) -> None:
        by = request.user.get_username()
        asked = form.cleaned_data
        if not change:
            added = actions.add(asked["url"], by=by, name=asked["name"], grade=asked["grade"], host=asked["host"])
            obj.pk = added.pk
            return
        facts = {name: asked[name] for name in ("url", "name", "grade", "host") if name in form.changed_data}
        if facts:
            actions.change(Endpoint.objects.get(pk=obj.pk), by=by, **facts)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.save(commit=False):
            model = Model.objects.select_related("endpoint").get(pk=row.pk)
            actions.want(model, row.wanted, by=request.user.get_username())

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        actions.remove(obj, by=request.user.get_username())

    @admin.action(description="Drain: no new work", permissions=["change"])
    def drain(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        """What is running goes on."""
        for endpoint in endpoints:
            actions.drain(endpoint, by=request.user.get_username())

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        """Work again."""
        for endpoint in endpoints:
            actions.resume(endpoint, by=request.user.get_username())

    @admin.action(description="Look at it now", permissions=["change"])
    def look(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        """Rather than within a minute."""
        for endpoint in endpoints:
            try:
                actions.look_soon(endpoint, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, refused.message, messages.ERROR)

    @admin.action(description="Restart it, by an agent's command", permissions=["change"])
    def restart(self, request: HttpRequest, endpoints: QuerySet[Endpoint]) -> None:
        """What comes of it is in the list of restarts."""
        for endpoint in endpoints:
            try:
                actions.ask_restart(endpoint, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, refused.message, messages.ERROR)


@admin.register(Restart)
class RestartAdmin(admin.ModelAdmin[Restart]):
    """Every restart of an endpoint that was asked for, and what came of it."""

    list_display = ["endpoint", "asked_at", "asked_by", "agent", "outcome", "seconds", "message"]
    list_filter = ["outcome"]
    list_select_related = ["endpoint"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False


@admin.register(Host)
class HostAdmin(admin.ModelAdmin[Host]):
    """Machines, as their agents describe them."""

    list_display = ["__str__", "system", "cpus", "memory_bytes", "measured_at"]
    search_fields = ["hostname"]
    readonly_fields = ("hostname", "system", "cpus", "memory_bytes", "load", "measured_at", "machine")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AnyModel | None = None) -> bool:
        return False
