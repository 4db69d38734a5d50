"""Host, Endpoint, Model: machines, where models answer, and which. RoutingRule: which grades of them do which work."""

from __future__ import annotations

from typing import ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.endpoints.health import Health

TIERS = ("trivial", "standard", "complex", "unknown")
THINKING = "thinking"
"""Stands for what the hub itself asks of models; it is no tier of work."""
RULES = (*TIERS, THINKING)
GRADE = RegexValidator(r"\A[a-z0-9][a-z0-9._-]{0,63}\Z", "Lower-case letters, digits, dots, dashes, underscores.")
MOST_GRADES = 10
LONGEST_WAIT = 7 * 24 * 3600


def check_chain(chain: object) -> None:
    """Raises ValidationError for what is no chain: a list of different grades, at least one."""
    if not isinstance(chain, list) or not all(isinstance(grade, str) for grade in chain):
        raise ValidationError('A chain is a list of grades, such as ["local", "claude"].')
    if not 0 < len(chain) <= MOST_GRADES or len(set(chain)) != len(chain):
        raise ValidationError(f"A chain names at least one grade, each once, at most {MOST_GRADES}.")
    for grade in chain:
        GRADE(grade)


class RoutingRule(models.Model):
    """The chain of one tier: a task begins with its first grade, and moves on when that failed or is not to be had.

    What the hub itself thinks, under `thinking`, goes to the first grade that is to be had, and waits for none.
    """

    tier = models.CharField(max_length=10, unique=True, choices=[(tier, tier) for tier in RULES])
    chain = models.JSONField(
        validators=[check_chain], help_text='Grades of models in the order to try, such as ["local", "claude"].'
    )
    wait_seconds = models.PositiveIntegerField(
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_WAIT)],
        help_text="So long a task waits for a machine that offers the grade, before the next grade may have it too.",
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(tier__in=RULES), name="routing_tier_is_known"),
        ]

    def __str__(self) -> str:
        return (
            "the hub's own thinking" if self.tier == THINKING else f"{self.tier} tasks"
        )  # nothing of the chain: a form shows its row while the chain is refused


class Host(models.Model):
    """A machine, as the agents on it describe it; `machine` is what they all call it.

    `load` is in percent and bytes, and from `measured_at`.
    """

    machine = models.CharField(max_length=64, unique=True)
    hostname = models.CharField(max_length=200, blank=True, default="")
    system = models.CharField(max_length=200, blank=True, default="")
    cpus = models.PositiveIntegerField(default=0)
    memory_bytes = models.PositiveBigIntegerField(default=0)
    load = models.JSONField(default=dict, blank=True)
    measured_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["hostname", "id"]

    def __str__(self) -> str:
        return self.hostname or self.machine


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def ours(self) -> EndpointQuerySet:
        """Those that an operator added: the hub looks at them itself, and tells agents of them."""
        return self.filter(origin=Origin.OPERATOR)


class Origin(models.TextChoices):
    OPERATOR = "operator", "an operator"
    AGENT = "agent", "an agent"


class Endpoint(models.Model):
    """Where models answer. The hub only ever calls those that an operator added; of the others its agents tell.

    `place` is what makes it the same for everybody: its URL, and for a URL that means "this machine" the machine too.
    """

    place = models.CharField(max_length=300, unique=True, editable=False)
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.OPERATOR, editable=False)
    kind = models.CharField(max_length=64, default="ollama")
    name = models.CharField(max_length=100, blank=True, default="", help_text="What people call it; its URL otherwise.")
    url = models.CharField(max_length=200)
    grade = models.CharField(
        max_length=64, default="local", validators=[GRADE], help_text="What routing rules call its models."
    )
    told_by = models.CharField(max_length=40, blank=True, default="", editable=False)
    host = models.ForeignKey(
        Host,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="endpoints",
        help_text="The machine that it runs on, if agents run there too: its load then counts.",
    )
    draining = models.BooleanField(default=False, help_text="Gets no new work; what is running goes on.")
    health = models.CharField(max_length=9, choices=Health.choices(), default=Health.UNKNOWN)
    misses = models.PositiveSmallIntegerField(default=0)
    trouble = models.CharField(max_length=500, blank=True, default="")
    version = models.CharField(max_length=64, blank=True, default="")
    added_at = models.DateTimeField(db_default=Now())
    checked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering: ClassVar[list[str]] = ["name", "url", "id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="endpoint_origin_is_known"),
            models.CheckConstraint(condition=Q(health__in=list(Health)), name="endpoint_health_is_known"),
        ]

    def __str__(self) -> str:
        return self.name or self.url


class Model(models.Model):
    """A model of an endpoint. `trial` is how it did when it was tried; tokens, and tokens a second."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=200)
    wanted = models.BooleanField(default=True, help_text="Agents may try it, and work with it when it passes.")
    installed = models.BooleanField(default=True)
    grade = models.CharField(max_length=64, blank=True, default="")
    digest = models.CharField(max_length=200, blank=True, default="")
    context = models.PositiveIntegerField(default=0)
    capabilities = models.JSONField(default=list, blank=True)
    warm = models.BooleanField(default=False)
    dialect = models.CharField(max_length=64, blank=True, default="")
    tokens_per_second = models.FloatField(default=0.0)
    trial = models.JSONField(default=dict, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["endpoint", "name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["endpoint", "name"], name="one_model_of_a_name_per_endpoint"),
        ]

    def __str__(self) -> str:
        return self.name


class Restarter(models.Model):
    """An agent's word that it has a command for the endpoint at `address`, as it spells it; which, it never says."""

    agent = models.CharField(max_length=40)
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="+")
    address = models.CharField(max_length=200)

    class Meta:
        ordering: ClassVar[list[str]] = ["agent", "address"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["agent", "address"], name="one_restarter_of_an_address_per_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.address} by {self.agent}"


class Ending(models.TextChoices):
    """What came of a wish for a restart."""

    OPEN = "open", "asked for"
    DONE = "done", "restarted"
    FAILED = "failed", "failed"
    LAPSED = "lapsed", "no answer came"


class Restart(models.Model):
    """A wish that an endpoint is restarted, and what came of it. `agent` is who was asked, as soon as somebody was."""

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="restarts")
    asked_at = models.DateTimeField(db_default=Now())
    asked_by = models.CharField(max_length=150)
    agent = models.CharField(max_length=40, blank=True, default="")
    outcome = models.CharField(max_length=6, choices=Ending.choices, default=Ending.OPEN)
    message = models.CharField(max_length=4_000, blank=True, default="")
    seconds = models.FloatField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=["endpoint"], condition=Q(outcome="open"), name="one_open_restart_per_endpoint"
            ),
            models.CheckConstraint(condition=Q(outcome__in=Ending.values), name="restart_outcome_is_known"),
            models.CheckConstraint(
                condition=Q(outcome="open", ended_at__isnull=True) | (~Q(outcome="open") & Q(ended_at__isnull=False)),
                name="restart_ended_exactly_when_it_is_not_open",
            ),
        ]

    def __str__(self) -> str:
        return f"restart {self.pk}"
