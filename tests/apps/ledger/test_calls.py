"""One call: set aside, settled, voided or uncertain; in any order, any number of times, nothing is lost or doubled."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError

from apps.events.models import Event
from apps.events.refused import Invalid, Refused, Stale
from apps.ledger import accounts, actions, prices
from apps.ledger.accounts import Exhausted
from apps.ledger.actions import CallTaken, UnknownCall
from apps.ledger.jobs import reap
from apps.ledger.limits import NOTHING, Amount, Scope
from apps.ledger.models import Account, Charge
from apps.ledger.pricing import Estimate, Unpriced, Usage
from tests.apps.ledger import till
from tests.apps.ledger.till import ESTIMATE, ESTIMATED, HAIKU, LATER, NOW, USAGE, USED, held, reserved, spent, status

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]


def kinds() -> list[str]:
    return list(Event.objects.order_by("id").values_list("kind", flat=True))


def test_the_most_that_a_call_can_cost_is_set_aside_on_everything_it_is_for() -> None:
    charge = reserved()

    assert {"task", "goal", "repo", "agent", "purpose", "hour", "day", "month", "hub"} == {
        account.scope for account in Account.objects.all() if account.reserved == ESTIMATED
    }
    assert sorted(charge.accounts) == charge.accounts
    assert ["charge.reserved"] == kinds()


def test_what_was_used_is_posted_and_the_rest_goes_back() -> None:
    charge = reserved()
    settled = actions.settle(charge.call_id, USAGE, duration_ms=1_234, request_id="req-1", now=LATER)

    assert ("settled", 14_000, 1_234, "req-1") == (
        status(charge),
        settled.cost_micro,
        settled.duration_ms,
        settled.request_id,
    )
    assert (USED, NOTHING) == (spent(), held())
    assert ["charge.reserved", "charge.settled"] == kinds()


def test_reserving_again_is_the_same_reservation() -> None:
    assert reserved("one").pk == reserved("one").pk
    assert ESTIMATED == held()


@pytest.mark.parametrize("other", [{"model": HAIKU}, {"estimate": Estimate(prompt=1, output=1)}])
def test_an_id_means_one_call(other: dict[str, Any]) -> None:
    reserved("one")

    with pytest.raises(CallTaken):
        reserved("one", **other)


def test_a_call_that_has_ended_is_not_made_again_under_its_id() -> None:
    actions.void(reserved("one").call_id, now=NOW)

    with pytest.raises(CallTaken):
        reserved("one")


def test_settling_twice_is_once_and_the_first_word_stands() -> None:
    charge = reserved()
    for usage in (USAGE, USAGE, Usage(output=9)):
        actions.settle(charge.call_id, usage, now=LATER)

    assert USED == spent()
    assert 1 == kinds().count("charge.settled")


def test_voiding_twice_is_once_and_costs_nothing() -> None:
    charge = reserved()
    for _ in range(2):
        actions.void(charge.call_id, reason="429", now=NOW)

    assert (NOTHING, NOTHING, "voided") == (spent(), held(), status(charge))
    assert 1 == kinds().count("charge.voided")


def test_more_than_was_reserved_is_posted_honestly_and_the_next_call_is_refused() -> None:
    till.allow(micro=30_000)
    actions.settle(reserved().call_id, Usage(output=5_000), now=NOW)

    assert 100_000 == spent().micro
    with pytest.raises(Exhausted):
        reserved(estimate=Estimate(prompt=1, output=0, counted=True))


@pytest.mark.parametrize("before", ["void", "mark_uncertain"])
def test_the_truth_is_posted_even_when_it_comes_late(before: str) -> None:
    charge = reserved()
    getattr(actions, before)(charge.call_id, now=NOW)
    actions.settle(charge.call_id, USAGE, now=LATER)

    assert (USED, NOTHING, "settled") == (spent(), held(), status(charge))


def test_voiding_what_was_settled_takes_nothing_back() -> None:
    charge = reserved()
    actions.settle(charge.call_id, USAGE, now=NOW)

    with pytest.raises(Stale):
        actions.void(charge.call_id, now=LATER)
    assert USED == spent()


def test_a_reservation_that_nobody_came_back_for_is_posted_at_its_estimate() -> None:
    charge = reserved(ttl=timedelta(minutes=15))

    assert 0 == reap(NOW + timedelta(minutes=14))
    assert (1, 0) == (reap(NOW + timedelta(minutes=15)), reap(LATER))
    assert (ESTIMATED, NOTHING, "uncertain") == (spent(), held(), status(charge))


def test_an_uncertain_call_turns_out_to_have_cost_nothing() -> None:
    charge = reserved()
    reap(LATER)
    actions.void(charge.call_id, reason="not in the provider's log", now=LATER)

    assert (NOTHING, NOTHING) == (spent(), held())


def test_of_a_broken_stream_what_was_seen_is_posted() -> None:
    charge = reserved()
    actions.mark_uncertain(charge.call_id, Usage(input=1_000, output=3), now=NOW)

    assert ("uncertain", Amount(micro=4_060, tokens=1_003, calls=1)) == (status(charge), spent())


def test_uncertainty_does_not_undo_what_is_known() -> None:
    charge = reserved()
    actions.settle(charge.call_id, USAGE, now=NOW)
    actions.mark_uncertain(charge.call_id, now=LATER)

    assert ("settled", USED) == (status(charge), spent())


@pytest.mark.parametrize("verb", [lambda: actions.settle("never", USAGE), lambda: actions.void("never")])
def test_a_call_that_nobody_reserved_is_unknown(verb: Any) -> None:
    with pytest.raises(UnknownCall):
        verb()


def test_a_price_that_changes_during_a_call_does_not_change_the_call() -> None:
    charge = reserved()
    prices.set_price(till.OPUS, NOW.date(), by="ann", rates={"input": 1, "output": 1})
    actions.settle(charge.call_id, USAGE, now=LATER)
    after = reserved()
    actions.settle(after.call_id, USAGE, now=LATER)

    assert (14_000, 0) == tuple(Charge.objects.order_by("id").values_list("cost_micro", flat=True))


def test_a_call_across_midnight_has_the_price_of_its_start_and_counts_in_its_day() -> None:
    before = datetime(2026, 10, 6, 23, 59, tzinfo=UTC)
    charge = reserved(model="claude-sonnet-5-5", now=before)
    settled = actions.settle(charge.call_id, Usage(cache_read=1_000_000), now=before + timedelta(minutes=5))

    assert 200_000 == settled.cost_micro
    assert ["2026-10-06"] == list(Account.objects.filter(scope="day").values_list("key", flat=True))


@pytest.mark.parametrize(("prompt", "micro"), [(100_000, 10_000), (100_001, 50_001)])
def test_the_band_is_that_of_the_prompt_that_was_sent(prompt: int, micro: int) -> None:
    charge = reserved(model=HAIKU, estimate=Estimate(prompt=100_000, output=10, counted=True))
    settled = actions.settle(charge.call_id, Usage(input=prompt), now=NOW)

    assert micro == settled.cost_micro
    assert (prompt > 100_000) == bool(settled.price and settled.price.prompt_over)


def test_a_budget_lowered_below_what_is_spent_refuses_the_next_call_and_ends_none() -> None:
    till.allow(micro=100_000)
    running, done = reserved(), reserved()
    actions.settle(done.call_id, USAGE, now=NOW)
    till.allow(micro=10_000)

    with pytest.raises(Exhausted) as refused:
        reserved()
    assert {"scope": "hub", "measure": "micro", "left": 0, "asked": 28_000}.items() <= refused.value.facts.items()
    assert "$0.028 is needed, but the budget for the whole hub has $0.00 left." == refused.value.message
    actions.settle(running.call_id, USAGE, now=NOW)


def test_what_is_refused_leaves_no_trace() -> None:
    till.allow(Scope.TASK, "42", micro=27_999)
    before = kinds()

    with pytest.raises(Exhausted) as refused:
        reserved("one")
    assert ("task", "42", 27_999) == tuple(refused.value.facts[name] for name in ("scope", "key", "left"))
    assert (before, 0, 0) == (kinds(), Charge.objects.count(), Account.objects.count())
    till.allow(Scope.TASK, "42", micro=28_000)
    reserved("one")


@pytest.mark.parametrize(
    ("limits", "calls"), [({"calls": 2}, 2), ({"tokens": 5_999}, 2), ({"micro": 84_000}, 3), ({}, 4)]
)
def test_each_measure_limits(limits: dict[str, Any], calls: int) -> None:
    till.allow(Scope.DAY, **limits)
    made = 0
    for _ in range(4):
        try:
            reserved()
        except Exhausted:
            break
        made += 1

    assert calls == made


def test_a_soft_budget_only_warns_and_does_so_once() -> None:
    till.allow(micro=15_000, enforce=False)
    for _ in range(3):
        actions.settle(reserved().call_id, USAGE, now=NOW)
    assert 1 == kinds().count("budget.warned")
    till.allow(micro=50_000, enforce=False)
    actions.settle(reserved().call_id, USAGE, now=NOW)

    assert 2 == kinds().count("budget.warned")


def test_what_is_set_aside_warns_as_well() -> None:
    """Or the next one is refused though nobody was warned."""
    till.allow(micro=35_000)
    reserved()

    assert ["hub"] == list(Event.objects.filter(kind="budget.warned").values_list("data__scope", flat=True))


def test_what_was_set_aside_is_not_counted_again_when_it_is_spent() -> None:
    till.allow(micro=50_000)
    actions.settle(reserved().call_id, Usage(input=1_000, output=1_000), now=NOW)

    assert 0 == kinds().count("budget.warned")


def test_what_is_free_goes_on_when_the_money_is_gone() -> None:
    till.allow(micro=1)
    actions.settle(reserved(model=till.LOCAL).call_id, USAGE, now=NOW)

    with pytest.raises(Exhausted):
        reserved()


def test_an_unknown_model_is_refused_before_anything_is_written() -> None:
    with pytest.raises(Unpriced):
        reserved(model="claude-opus-9")

    assert 0 == Charge.objects.count() == Account.objects.count()


def test_a_reservation_that_cannot_be_written_is_no_reservation(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(accounts, "hold", fail)

    with pytest.raises(DatabaseError):
        reserved()
    assert 0 == Charge.objects.count()


@pytest.mark.parametrize("call_id", ["", "x" * 101, "a\nb"])
def test_an_id_that_cannot_be_used_is_refused(call_id: str) -> None:
    with pytest.raises(Invalid):
        actions.reserve(call_id, till.FOR, model=till.OPUS, purpose="work", estimate=ESTIMATE, now=NOW)


def test_a_refund_is_an_entry_of_its_own_and_the_charge_stays_as_it_was() -> None:
    charge = reserved()
    actions.settle(charge.call_id, USAGE, now=NOW)
    for _ in range(2):
        actions.correct(charge.call_id, 4_000, correction_id="refund-1", by="ann", reason="overbilled", now=LATER)

    assert [14_000, -10_000] == list(Charge.objects.order_by("id").values_list("cost_micro", flat=True))
    assert Amount(micro=4_000, tokens=1_500, calls=1) == spent()


def test_a_second_correction_starts_from_the_first() -> None:
    charge = reserved()
    actions.settle(charge.call_id, USAGE, now=NOW)
    for number, cost in enumerate([4_000, 9_000, 0]):
        actions.correct(charge.call_id, cost, correction_id=f"c-{number}", by="ann", reason="", now=LATER)

    assert 0 == spent().micro


def test_an_estimate_is_adjusted_by_a_correction_and_no_late_report_adds_to_it() -> None:
    charge = reserved()
    reap(LATER)
    actions.correct(charge.call_id, 5_000, correction_id="c", by="ann", reason="the provider's report", now=LATER)
    actions.settle(charge.call_id, USAGE, now=LATER)

    assert ("settled", 5_000) == (status(charge), spent().micro)


@pytest.mark.parametrize("cost", [-1, 0.5, True])
def test_a_correction_is_whole_and_not_less_than_nothing(cost: Any) -> None:
    with pytest.raises(Invalid):
        actions.correct(reserved().call_id, cost, correction_id="c", by="ann", reason="")


def test_what_has_no_cost_yet_cannot_be_corrected() -> None:
    with pytest.raises(Refused) as refused:
        actions.correct(reserved().call_id, 1, correction_id="c", by="ann", reason="")

    assert "charge_has_no_cost" == refused.value.code


def test_the_sum_of_the_ledger_is_the_sum_of_the_providers_log() -> None:
    log = [Usage(input=n * 37, output=n * 11, cache_write_1h=n, cache_read=n * 101) for n in range(20)]
    for usage in log:
        actions.settle(reserved().call_id, usage, now=NOW)
    bill = [
        u.input * 4_000_000 + u.output * 20_000_000 + u.cache_write_1h * 8_000_000 + u.cache_read * 200_000 for u in log
    ]

    assert sum((line + 500_000) // 1_000_000 for line in bill) == spent().micro
    assert date(2026, 11, 21) == NOW.date()
