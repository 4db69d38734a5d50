"""Agents, tokens and codes in the admin. A secret is shown once, on the page that answers its making."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.agents import enrolment, presence, restarts, tokens
from apps.agents.authentication import operator_of
from apps.agents.models import Agent, EnrolmentCode, Role, Token
from apps.agents.scopes import SCOPES
from apps.events.refused import Invalid, Refused

FACTS = (
    "paused",
    "restart_asked_at",
    "restart_asked_by",
    "restart_now",
    "executors",
    "capabilities",
    "sandbox",
    "sandbox_detail",
    "software",
    "host",
    "connected_at",
    "seen_at",
    "last_assigned_at",
    "created_at",
    "retired_at",
)
LISTED = ["label", "agent", "user", "created_at", "last_used_at", "expires_at", "revoked_at"]


def shown_once(
    request: HttpRequest, model: type[Model], what: str, secrets: list[tuple[str, str]], problems: list[str]
) -> HttpResponse:
    """A page that is not stored anywhere: neither in a message's cookie nor in the browser's cache."""
    back = reverse(f"admin:agents_{model._meta.model_name}_changelist")
    context = {**admin.site.each_context(request), "title": "Shown once", "what": what}
    context |= {"secrets": secrets, "problems": problems, "back": back}
    answer = TemplateResponse(request, "admin/shown_once.html", context)
    answer["Cache-Control"] = "no-store"
    return answer


@admin.register(Agent)
class AgentAdmin(admin.ModelAdmin[Agent]):
    """Who works. Agents come by enrolment and stay in the history; only where they may work is set here."""

    list_display = ["name", "paused", "restart_asked_at", "sandbox", "connected", "seen_at", "last_assigned_at"]
    list_filter = ["paused", "sandbox"]
    search_fields = ["name"]
    fields = ("name", "restricted", "repos", *FACTS)
    readonly_fields = ("name", *FACTS)
    filter_horizontal = ["repos"]
    actions = ["pause", "resume", "restart", "restart_now", "withdraw_restart", "retire", "revoke_tokens"]

    @admin.display(boolean=True)
    def connected(self, agent: Agent) -> bool:
        """Whether its sidecar is there."""
        return agent.online

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.action(description="Pause (drain)", permissions=["change"])
    def pause(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """No new work."""
        for agent in agents:
            presence.pause(agent, by=request.user.get_username())

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """Work again."""
        for agent in agents:
            presence.resume(agent, by=request.user.get_username())

    @admin.action(description="Restart, each once its work is over", permissions=["change"])
    def restart(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """A new process of the sidecar."""
        self._ask(request, agents, now=False)

    @admin.action(description="Restart now; work in hand is handed back", permissions=["change"])
    def restart_now(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """The same, without waiting."""
        self._ask(request, agents, now=True)

    def _ask(self, request: HttpRequest, agents: QuerySet[Agent], *, now: bool) -> None:
        for agent in agents:
            try:
                restarts.ask(agent, now=now, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, refused.message, messages.ERROR)

    @admin.action(description="Take the restart back", permissions=["change"])
    def withdraw_restart(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """It goes on as it is."""
        for agent in agents:
            restarts.withdraw(agent, by=request.user.get_username())

    @admin.action(description="Retire for good (paused ones only)", permissions=["change"])
    def retire(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """Out of service; the history stays."""
        for agent in agents:
            try:
                presence.retire(agent, by=request.user.get_username())
            except Refused as refused:
                self.message_user(request, refused.message, messages.ERROR)

    @admin.action(description="Revoke all tokens (its sockets close)", permissions=["change"])
    def revoke_tokens(self, request: HttpRequest, agents: QuerySet[Agent]) -> None:
        """It has to enrol anew."""
        for agent in agents:
            for token in tokens.revoke_all(agent, by=request.user.get_username()):
                self.message_user(request, f"{token.masked} of {agent} is revoked.", messages.SUCCESS)


class TokenForm(forms.ModelForm[Token]):
    """A token for an integration or a reader."""

    role = forms.ChoiceField(choices=[(role.value, role.label) for role in Role if role is not Role.AGENT])
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items()],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="For an integration. A reader may read everything.",
    )

    class Meta:
        model = Token
        fields = ["role", "label", "user", "scopes", "expires_at"]

    def clean(self) -> dict[str, Any]:
        """What `mint` would refuse is an error of its field."""
        asked = super().clean() or self.cleaned_data
        try:
            tokens.check(Role(asked["role"]), None, asked.get("user"), asked.get("scopes", []))
        except Invalid as invalid:
            self.add_error(invalid.field, invalid.message)
        return asked


@admin.register(Token)
class TokenAdmin(admin.ModelAdmin[Token]):
    """Integrations' and readers' tokens are made here; agents get theirs by enrolment. Shown masked."""

    form = TokenForm
    list_display = ["masked", "role", *LISTED]
    list_filter = ["role"]
    list_select_related = ["agent", "user"]
    search_fields = ["label", "=key"]
    actions = ["rotate", "revoke"]

    def get_fields(self, request: HttpRequest, obj: Token | None = None) -> Any:
        return ["masked", "role", "scopes", *LISTED] if obj else ["role", "label", "user", "scopes", "expires_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Rotating and revoking need the right to change tokens, though no form does."""
        return request.user.has_perm("agents.change_token")

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Token], change: bool) -> None:
        """Mint it; the answer shows the secret."""
        asked = form.cleaned_data
        made, obj.secret = tokens.mint(
            asked["role"],
            user=asked["user"],
            scopes=asked["scopes"],
            label=asked["label"],
            expires_at=asked["expires_at"],
            by=request.user.get_username(),
        )
        obj.pk, obj.key = made.pk, made.key

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return shown_once(request, Token, "The token has been made.", [(obj.masked, obj.secret)], [])

    @admin.action(description="Rotate (shows the new ones once)", permissions=["act"])
    def rotate(self, request: HttpRequest, chosen: QuerySet[Token]) -> HttpResponse:
        """The old ones work until the overlap is over."""
        made: list[tuple[str, str]] = []
        problems: list[str] = []
        for token in chosen:
            try:
                made.append((f"Instead of {token.masked}", tokens.rotate(token, by=request.user.get_username())[1]))
            except Refused as refused:
                problems.append(f"{token.masked}: {refused.message}")
        return shown_once(request, Token, "Each old token works until the overlap is over.", made, problems)

    @admin.action(description="Revoke", permissions=["act"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Token]) -> None:
        """End them now."""
        for token in chosen:
            tokens.revoke(token, by=request.user.get_username())
            self.message_user(request, f"{token.masked} is revoked.", messages.SUCCESS)


class CodeForm(forms.ModelForm[EnrolmentCode]):
    """A code for one machine."""

    class Meta:
        model = EnrolmentCode
        fields = ["name"]

    def clean_name(self) -> str:
        """A name that nobody has."""
        name: str = self.cleaned_data["name"]
        if name:
            try:
                enrolment.check_free(name)
            except Refused as refused:
                raise forms.ValidationError(refused.message) from refused
        return name


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(admin.ModelAdmin[EnrolmentCode]):
    """Adding one shows the code that makes a machine an agent."""

    form = CodeForm
    list_display = ["id", "name", "minted_by", "created_at", "expires_at", "used_at", "agent"]
    list_select_related = ["minted_by", "agent"]

    def get_fields(self, request: HttpRequest, obj: EnrolmentCode | None = None) -> Any:
        return self.list_display if obj else ["name"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[EnrolmentCode], change: bool) -> None:
        """Mint it; the answer shows the code."""
        made, obj.code = enrolment.mint_code(operator_of(request.user), form.cleaned_data["name"])
        obj.pk = made.pk

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        hub = request.build_absolute_uri("/").rstrip("/")
        name = f" --name {obj.name}" if obj.name else ""
        command = f"agentcom-sidecar join {hub} --code {obj.code}{name}"
        return shown_once(request, EnrolmentCode, "Run this on the machine, within ten minutes.", [("", command)], [])
