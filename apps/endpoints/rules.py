"""Routing rules, read and changed."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from apps.endpoints.models import THINKING, TIERS, RoutingRule
from apps.events.kinds import Kind
from apps.events.log import record

USUAL = ("local", "claude")
USUAL_THINKING = ("local",)
"""The hub's own thinking costs no money unless an operator says so."""


def rule_of(tier: str) -> RoutingRule:
    """The rule for a tier, or for THINKING; an emptied table does not keep tasks from being taken in."""
    return RoutingRule.objects.filter(tier=tier).first() or _usual(tier)


def every_rule() -> dict[str, RoutingRule]:
    """The rules of all tiers of work, by tier."""
    found = {rule.tier: rule for rule in RoutingRule.objects.all()}
    return {tier: found.get(tier) or _usual(tier) for tier in TIERS}


def _usual(tier: str) -> RoutingRule:
    return RoutingRule(tier=tier, chain=list(USUAL_THINKING if tier == THINKING else USUAL))


@transaction.atomic
def change(tier: str, chain: Sequence[str], wait_seconds: int, *, by: str) -> None:
    """Set the chain of a tier, or of THINKING. Tasks that are in line keep their grades until they have to move on."""
    rule = RoutingRule.objects.get(tier=tier)
    rule.chain, rule.wait_seconds = list(chain), wait_seconds
    rule.full_clean()
    rule.save()
    record(Kind.ROUTING_CHANGED, rule, tell=["dashboard"], actor=by, chain=rule.chain, wait_seconds=wait_seconds)
