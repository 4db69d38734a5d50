"""Agent, Token, EnrolmentCode, LoginLink: everybody who may do something, and the secrets that prove it."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from apps.endpoints.models import Host
from apps.events.clock import FromNow
from apps.repos.models import Repo

NAME = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?\Z", "Lower-case letters, digits and inner dashes, at most 40."
)
PRESENCE_TIMEOUT = timedelta(seconds=45)
"""A connection counts as alive while its web process has confirmed it this recently."""


class AgentQuerySet(models.QuerySet["Agent"]):
    def online(self) -> AgentQuerySet:
        return self.filter(connection__isnull=False, seen_at__gt=FromNow(-PRESENCE_TIMEOUT))

    def available(self) -> AgentQuerySet:
        """Connected, neither paused nor about to restart, able to run commands; may hold work."""
        willing = self.online().filter(paused=False, restart_asked_at__isnull=True, retired_at__isnull=True)
        return willing.exclude(sandbox="none")


class Agent(models.Model):
    """A sidecar on some machine, or any client that speaks the protocol. One task at a time."""

    name = models.CharField(max_length=40, unique=True, validators=[NAME])
    repos = models.ManyToManyField(Repo, blank=True, help_text="Only these repositories; none chosen means any.")
    restricted = models.BooleanField(default=False, help_text="Work only in the repositories chosen here.")
    paused = models.BooleanField(default=False, help_text="Gets no new work; what is running goes on.")
    executors = models.JSONField(default=list, blank=True)
    capabilities = models.JSONField(default=list, blank=True)
    offers = models.JSONField(default=list, blank=True)
    sandbox = models.CharField(max_length=20, default="none")
    sandbox_detail = models.CharField(max_length=500, blank=True, default="")
    software = models.CharField(max_length=100, blank=True, default="")
    host = models.ForeignKey(Host, null=True, blank=True, on_delete=models.SET_NULL, related_name="agents")
    connection = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001  NULL is no connection
    process = models.CharField(max_length=64, blank=True, default="", help_text="Which start of its program this is.")
    restart_asked_at = models.DateTimeField(null=True, blank=True)
    restart_asked_by = models.CharField(max_length=150, blank=True, default="")
    restart_of = models.CharField(max_length=64, blank=True, default="", help_text="The process that is to end.")
    restart_now = models.BooleanField(default=False, help_text="It hands back what it has, after its grace.")
    connected_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    last_assigned_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    retired_at = models.DateTimeField(null=True, blank=True)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["last_assigned_at", "id"],
                name="agent_connected",
                condition=models.Q(connection__isnull=False),
            ),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(restart_asked_at=None, restart_asked_by="", restart_of="", restart_now=False)
                | (models.Q(restart_asked_at__isnull=False) & ~models.Q(restart_asked_by="")),
                name="a_restart_is_asked_for_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def group(self) -> str:
        """The channel group that this agent's socket listens to."""
        return f"agent.{self.pk}"

    @property
    def online(self) -> bool:
        return bool(self.connection and self.seen_at and self.seen_at > timezone.now() - PRESENCE_TIMEOUT)


class Role(models.TextChoices):
    AGENT = "agent"
    INTEGRATION = "integration"
    READER = "reader"


class TokenQuerySet(models.QuerySet["Token"]):
    def live(self) -> TokenQuerySet:
        unexpired = models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=Now())
        return self.filter(unexpired, revoked_at__isnull=True)


class Token(models.Model):
    """A secret somebody holds; only its SHA-256 digest is stored. `key` is its public part, shown in lists."""

    key = models.CharField(max_length=8, unique=True)
    digest = models.CharField(max_length=64)
    role = models.CharField(max_length=12, choices=Role.choices)
    label = models.CharField(max_length=100, blank=True, default="")
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.CASCADE, related_name="tokens")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="tokens"
    )
    scopes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(role="agent", agent__isnull=False, user__isnull=True)
                | models.Q(role__in=["integration", "reader"], agent__isnull=True, user__isnull=False),
                name="token_belongs_to_its_agent_or_its_user",
            ),
        ]

    def __str__(self) -> str:
        return self.masked

    @property
    def masked(self) -> str:
        return f"act_{self.role}_{self.key}_…"


class OneTime(models.Model):
    """A secret that works once and not for long; only its digest is stored."""

    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"


class EnrolmentCode(OneTime):
    """Lets one machine become an agent."""

    minted_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=40, blank=True, default="", validators=[NAME])
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.CASCADE, related_name="enrolments")


class LoginLink(OneTime):
    """Logs one operator in."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="login_links")
