"""Which grades of model do which tier of work: from the first day, and after somebody changed it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from apps.endpoints.models import LONGEST_WAIT, MOST_GRADES, THINKING, TIERS, RoutingRule, check_chain
from apps.endpoints.rules import change, every_rule, rule_of
from apps.events.models import Event
from apps.tasks.complexity import Tier
from tests import cast

pytestmark = pytest.mark.django_db
NO_CHAINS = [
    None,
    "local",
    7,
    {"local": "claude"},
    [],
    [""],
    [1],
    [None],
    [["local"]],
    ["local", "local"],
    ["Local"],
    ["two words"],
    ["local\n"],
    ["g" * 65],
    [f"grade-{n}" for n in range(MOST_GRADES + 1)],
]


@pytest.mark.parametrize(
    ("tier", "chain"),
    [
        ("trivial", ["local", "claude"]),
        ("standard", ["local", "claude"]),
        ("unknown", ["local", "claude"]),
        ("complex", ["claude", "local"]),
    ],
)
def test_from_the_first_day_simple_work_stays_here_and_complex_work_goes_to_claude(tier: str, chain: list[str]) -> None:
    assert chain == rule_of(tier).chain


def test_every_tier_that_can_be_guessed_has_a_rule() -> None:
    assert {tier.value for tier in Tier} == set(TIERS) == set(every_rule())


def test_an_emptied_table_keeps_no_task_out() -> None:
    RoutingRule.objects.all().delete()

    assert (["local", "claude"], 120) == (rule_of("trivial").chain, rule_of("complex").wait_seconds)
    assert {"trivial", "standard", "complex", "unknown"} == set(every_rule())


def test_the_hub_itself_thinks_at_no_cost_until_an_operator_says_otherwise() -> None:
    assert ["local"] == rule_of(THINKING).chain
    change(THINKING, ["local", "claude"], 120, by="ann")

    assert ["local", "claude"] == rule_of(THINKING).chain
    RoutingRule.objects.all().delete()
    assert ["local"] == rule_of(THINKING).chain


def test_a_change_is_obeyed_by_the_next_task_and_remembered_with_who_made_it() -> None:
    before = cast.queued_task(command="", tier="standard")
    change("standard", ["house-large", "claude"], 5, by="ann")
    after = cast.queued_task(command="", tier="standard")

    assert (["local"], ["house-large"]) == (cast.fresh(before).grades, cast.fresh(after).grades)
    told = Event.objects.get(kind="routing.changed")
    assert ("ann", ["house-large", "claude"], 5) == (told.actor, told.data["chain"], told.data["wait_seconds"])
    assert f"routingrule/{rule_of('standard').pk}" == told.subject


@pytest.mark.parametrize("chain", NO_CHAINS)
def test_a_chain_is_a_list_of_different_grades(chain: object) -> None:
    with pytest.raises(ValidationError):
        check_chain(chain)


def test_a_change_to_what_is_no_chain_changes_nothing() -> None:
    with pytest.raises(ValidationError) as no:
        change("standard", ["local", "local"], 60, by="ann")

    assert ["chain"] == list(no.value.message_dict)
    assert (["local", "claude"], 120) == (rule_of("standard").chain, rule_of("standard").wait_seconds)
    assert not Event.objects.filter(kind="routing.changed").exists()


@pytest.mark.parametrize("seconds", [1, LONGEST_WAIT])
def test_a_wait_lasts_from_a_second_to_a_week(seconds: int) -> None:
    change("standard", ["local"], seconds, by="ann")

    assert seconds == rule_of("standard").wait_seconds


@pytest.mark.parametrize("seconds", [-1, 0, LONGEST_WAIT + 1])
def test_any_other_wait_is_refused(seconds: int) -> None:
    with pytest.raises(ValidationError) as no:
        change("standard", ["local"], seconds, by="ann")

    assert ["wait_seconds"] == list(no.value.message_dict)
