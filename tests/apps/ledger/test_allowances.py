"""An allowance: an attempt works against it offline, and every call it reports is recorded, within it or beyond."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from apps.events.models import Event
from apps.events.refused import Invalid
from apps.ledger import actions, allowances, prices
from apps.ledger.accounts import Exhausted
from apps.ledger.actions import CallTaken
from apps.ledger.allowances import UnknownAllowance
from apps.ledger.jobs import reap
from apps.ledger.limits import NOTHING, Amount, Scope
from apps.ledger.models import Allowance, Charge
from apps.ledger.pricing import LONGEST_MODEL, Unpriced, Usage
from tests.apps.ledger import till
from tests.apps.ledger.till import LATER, NOW, USAGE, USED, granted, held, part, spent, status

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("ledger")]
GRANTED = Amount(micro=100_000, tokens=10_000, calls=10)


def left() -> Amount:
    return Allowance.objects.get().left


def test_it_is_set_aside_at_once_and_granting_again_is_once() -> None:
    assert granted().pk == granted().pk
    assert (GRANTED, NOTHING) == (held(), spent())


def test_calls_are_taken_from_it_and_the_rest_goes_back_in_the_end() -> None:
    granted()
    charges = [part() for _ in range(2)]
    assert (GRANTED - USED - USED, USED + USED) == (held(), spent())
    for _ in range(2):
        allowances.release("attempt/1", now=LATER)

    assert (NOTHING, USED + USED, NOTHING) == (held(), spent(), left())
    assert {"task": "42", "goal": "7", "repo": "sample", "agent": "ada"} == charges[0].scopes
    assert ["allowance.granted", "charge.settled", "charge.settled", "allowance.released"] == list(
        Event.objects.order_by("id").values_list("kind", flat=True)
    )


def test_a_call_reported_twice_is_once() -> None:
    granted()

    assert part("one").pk == part("one").pk
    assert USED == spent()


def test_what_goes_beyond_it_is_recorded_all_the_same() -> None:
    granted()
    part(usage=Usage(input=1_000, output=8_000))
    assert (Amount(micro=0, tokens=1_000, calls=9), 164_000) == (left(), spent().micro)
    part()

    assert (178_000, Amount(micro=0, tokens=0, calls=8)) == (spent().micro, held())


def test_a_call_reported_after_the_end_is_recorded() -> None:
    granted()
    allowances.release("attempt/1", now=NOW)
    part(now=LATER)

    assert (USED, NOTHING) == (spent(), held())


def test_when_nobody_reports_the_rest_counts_as_spent_until_somebody_does() -> None:
    granted()
    part()
    assert (1, 0) == (reap(LATER), reap(LATER))
    assert (NOTHING, GRANTED) == (held(), spent())
    part(now=LATER)
    assert (GRANTED, GRANTED - USED - USED) == (spent(), left())
    allowances.release("attempt/1", now=LATER)

    assert (USED + USED, NOTHING) == (spent(), held())


def test_what_cannot_be_reaped_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that waited longest comes first, so that those that come after it are what is seen."""
    done: list[str] = []

    def broken(deed: Callable[..., object]) -> Callable[..., object]:
        def fails_once(name: str, **facts: object) -> object:
            done.append(name)
            if name in ("first", "attempt/1"):
                raise ZeroDivisionError
            return deed(name, **facts)

        return fails_once

    till.reserved("second", ttl=timedelta(minutes=2))
    till.reserved("first", ttl=timedelta(minutes=1))
    granted("attempt/2", ttl=timedelta(minutes=2))
    granted("attempt/1", ttl=timedelta(minutes=1))
    monkeypatch.setattr(actions, "mark_uncertain", broken(actions.mark_uncertain))
    monkeypatch.setattr(allowances, "lapse", broken(allowances.lapse))

    assert 2 == reap(LATER)
    assert ["first", "second", "attempt/1", "attempt/2"] == done
    assert ["lapsed", "open"] == list(Allowance.objects.order_by("pk").values_list("status", flat=True))


def test_it_does_not_lapse_before_its_time() -> None:
    granted()

    assert 0 == reap(NOW + timedelta(minutes=29))


def test_it_is_refused_as_a_whole_when_any_account_has_too_little_left() -> None:
    till.allow(Scope.AGENT, "ada", calls=9)

    with pytest.raises(Exhausted) as refused:
        granted()
    assert ("agent", "calls", 9) == tuple(refused.value.facts[name] for name in ("scope", "measure", "left"))
    assert not Allowance.objects.exists()


def test_less_is_granted_where_less_is_left_and_the_same_again_is_the_same() -> None:
    till.allow(Scope.AGENT, "ada", calls=9)
    till.allow(Scope.HUB, micro=30_000)
    least = Amount(micro=10_000, tokens=1_000, calls=1)
    first, again = granted(least=least), granted(least=least)

    assert Amount(micro=30_000, tokens=10_000, calls=9) == first.granted == again.granted == held() == left()
    with pytest.raises(Exhausted):
        granted("attempt/2", least=least)
    assert [first] == list(Allowance.objects.all())


def test_the_model_that_it_is_for_has_a_price() -> None:
    with pytest.raises(Unpriced):
        granted(model="mystery")


def test_a_model_whose_calls_could_not_be_written_down_is_not_begun_with() -> None:
    longest = "ollama:" + "m" * (LONGEST_MODEL - 7)
    granted(model=longest)
    assert longest == part(model=longest).model

    with pytest.raises(Unpriced):
        granted("attempt/2", model=longest + "m")


def test_it_is_never_less_than_nothing() -> None:
    with pytest.raises(Invalid):
        granted(amount=Amount(micro=-1))


def test_a_call_of_a_model_without_a_price_is_neither_lost_nor_free() -> None:
    granted()
    charge = part("one", model="mystery")
    assert ("uncertain", None) == (status(charge), charge.cost_micro)
    prices.set_price("mystery", date(2026, 1, 1), by="ann", rates={"output": 2_000_000})
    actions.settle("one", USAGE, now=LATER)

    assert ("settled", 1_000) == (status(charge), spent().micro)


@pytest.mark.parametrize(("certain", "then"), [(True, ("settled", 1_000)), (False, ("uncertain", 1_000))])
def test_a_price_that_is_entered_late_prices_what_waited_for_it(certain: bool, then: tuple[str, int]) -> None:
    granted()
    charge = part("one", model="mystery", certain=certain)
    assert 0 == reap(NOW)
    prices.set_price("mystery", date(2026, 11, 21), by="ann", rates={"output": 2_000_000})

    assert (1, 0) == (reap(NOW), reap(NOW))
    charge.refresh_from_db()
    assert then == (charge.status, charge.cost_micro)
    assert 1_000 == spent().micro


def test_a_price_from_a_later_day_on_is_not_that_of_a_call_before_it() -> None:
    granted()
    charge = part("one", model="mystery")
    prices.set_price("mystery", date(2026, 11, 22), by="ann", rates={"output": 2_000_000})

    assert 0 == reap(NOW)
    assert ("uncertain", 0) == (status(charge), spent().micro)


def test_a_pattern_prices_late_as_well() -> None:
    granted()
    charge = part("one", model="house:mystery")
    part("two", model="other:mystery")
    prices.set_price("house:*", date(2026, 11, 21), by="ann", rates={"output": 2_000_000})

    assert (1, "settled") == (reap(NOW), status(charge))


def test_its_calls_cost_what_the_model_cost_when_it_was_granted() -> None:
    """Whatever has come into effect since: the sidecar looks at the same rates before each call."""
    allowance = granted(model=till.LOCAL)
    assert 0 == allowance.granted_micro
    prices.set_price("ollama:*", date(2026, 11, 22), by="ann", rates={"output": 10**9})
    midnight = datetime(2026, 11, 22, 0, 1, tzinfo=UTC)
    charge = part(model=till.LOCAL, started_at=midnight, now=midnight)

    assert ("settled", 0, allowance.price_id) == (charge.status, charge.cost_micro, charge.price_id)
    assert 0 == spent().micro


def test_what_was_granted_before_prices_were_kept_with_it_goes_by_the_day() -> None:
    granted()
    Allowance.objects.update(price=None)

    assert USED.micro == part().cost_micro


def test_it_stays_uncertain_when_reported_again_without_a_price() -> None:
    granted()
    part("one", model="mystery")

    assert "uncertain" == status(part("one", model="mystery"))


def test_a_report_that_is_certain_settles_one_that_was_not_and_not_the_other_way_round() -> None:
    granted()
    charge = part("one", Usage(input=5), certain=False)
    assert "uncertain" == status(charge)
    part("one")
    part("one", Usage(input=5), certain=False)

    assert ("settled", USED) == (status(charge), spent())


def test_a_call_that_is_not_certain_counts_as_the_most_that_it_can_have_cost() -> None:
    """Its prompt may have been written to a cache, and be longer than was guessed: Haiku is dearer for long ones."""
    granted(model=till.HAIKU)
    charge = part("one", model=till.HAIKU, certain=False)
    assert ("uncertain", 2_250, False) == (status(charge), charge.cost_micro, charge.certain)
    assert 2_250 == spent().micro
    part("one", model=till.HAIKU)

    assert ("settled", 350) == (status(charge), spent().micro)


def exceeded() -> list[tuple[str, str]]:
    return [(data["agent"], data["call_id"]) for data in facts_of("allowance.exceeded")]


def facts_of(kind: str) -> list[dict[str, str]]:
    return list(Event.objects.filter(kind=kind).order_by("pk").values_list("data", flat=True))


@pytest.mark.parametrize("released", [False, True])
def test_more_calls_than_were_granted_are_posted_and_not_believed(released: bool) -> None:
    granted(amount=Amount(micro=100_000, tokens=10_000, calls=2))
    if released:
        allowances.release("attempt/1", now=NOW)
    charges = [part(f"call-{number}") for number in range(4)]
    part("call-3")

    assert ["settled", "settled", "uncertain", "uncertain"] == [status(charge) for charge in charges]
    assert ["", allowances.BEYOND] == [charges[0].note, charges[3].note]
    assert [("ada", "call-2")] == exceeded()
    assert 14_000 * 2 + 18_000 * 2 == spent().micro


def test_far_more_tokens_than_were_granted_are_posted_and_not_believed() -> None:
    granted()
    part("one", Usage(output=9_000))
    believed = part("two", Usage(output=11_000))
    charge = part("three", Usage(output=1))

    assert ("settled", "uncertain") == (status(believed), status(charge))
    assert [("ada", "three")] == exceeded()


def test_one_report_of_far_more_tokens_than_were_granted_is_not_believed() -> None:
    granted()

    assert "uncertain" == status(part("one", Usage(output=20_001)))
    assert [("ada", "one")] == exceeded()


def test_a_call_that_no_model_can_make_is_not_posted() -> None:
    granted()

    with pytest.raises(Invalid):
        part(usage=Usage(input=allowances.MOST_REPORTED + 1))
    assert not Charge.objects.exists()


def test_nobody_reports_the_call_of_somebody_else() -> None:
    granted()
    granted("attempt/2")
    part("one")

    with pytest.raises(CallTaken):
        part("one", key="attempt/2")


def test_what_a_sidecar_says_beside_the_usage_never_stops_the_report() -> None:
    granted()
    charge = part(duration_ms=-5, request_id="x" * 500)

    assert (0, 120) == (charge.duration_ms, len(charge.request_id))
    with pytest.raises(Invalid):
        part(model="m" * (LONGEST_MODEL + 1))


def test_without_an_allowance_nothing_is_reported() -> None:
    with pytest.raises(UnknownAllowance):
        part()


def test_a_machine_whose_clock_is_wrong_gets_no_cheaper_day() -> None:
    granted(model="claude-sonnet-5-5")
    usage = Usage(cache_read=1_000_000)
    for started in (datetime(2026, 8, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)):
        charge = part(usage=usage, model="claude-sonnet-5-5", started_at=started)

        assert (100_000, NOW) == (charge.cost_micro, charge.started_at)


def test_a_call_under_it_can_be_corrected() -> None:
    granted()
    part("one")
    actions.correct("one", 0, correction_id="c", by="ann", reason="refund", now=LATER)

    assert 0 == spent().micro == sum(filter(None, Charge.objects.values_list("cost_micro", flat=True)))
