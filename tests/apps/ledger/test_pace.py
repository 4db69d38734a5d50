"""Money that goes far faster than it usually does is stopped until a person has looked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from apps.events.models import Event
from apps.ledger import actions, pace, pauses
from apps.ledger.jobs import watch_pace
from apps.ledger.models import Charge
from apps.ledger.pauses import Paused
from apps.ledger.pricing import Usage
from tests.apps.ledger import till
from tests.apps.ledger.till import NOW

CENT = 10_000
BUSY = [CENT] * 12


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (BUSY, 500_000, False),
        (BUSY, 500_001, True),
        ([*BUSY, *[0] * 200], 500_001, True),
        (BUSY[1:], 10**9, False),
        ([], 10**9, False),
        ([200_000] * 50, 1_000_000, False),
        ([200_000] * 50, 1_000_001, True),
        ([*[CENT] * 25, *[10**9] * 24], 500_001, True),
    ],
)
def test_far_more_than_usual_is_too_fast(before: list[int], now: int, expected: bool) -> None:
    assert expected is pace.runaway(before, now)


def test_minutes_are_added_up_in_windows_that_end_now() -> None:
    spent = {NOW: 1, NOW - timedelta(minutes=5): 2, NOW - timedelta(minutes=9): 4, NOW - timedelta(days=1): 8}
    found = pace.windows({**spent, NOW + timedelta(minutes=1): 16, NOW - timedelta(hours=23, minutes=59): 32}, NOW)

    assert 288 == len(found)
    assert (1, 6, 32) == (found[0], found[1], found[-1])
    assert 39 == sum(found)


def a_day(last: int) -> None:
    """An hour and more of a cent each five minutes, and then so many micro-USD in the last minutes."""
    for number in range(1, 14):
        spend(CENT, minutes_ago=5 * number + 1)
    spend(last, minutes_ago=1)


def spend(micro: int, minutes_ago: int) -> Charge:
    at = NOW - timedelta(minutes=minutes_ago)
    charge = till.reserved(now=at)
    return actions.settle(charge.call_id, Usage(output=micro // 20), now=at)


def kinds() -> list[str]:
    return list(Event.objects.filter(kind__startswith="spending.").order_by("pk").values_list("kind", flat=True))


@pytest.mark.django_db
@pytest.mark.usefixtures("ledger")
class TestTheBrake:
    def test_a_runaway_is_paused_once_and_a_person_lifts_it(self) -> None:
        a_day(600_000)
        assert (True, False) == (watch_pace(NOW), watch_pace(NOW))
        with pytest.raises(Paused, match="were spent in five minutes"):
            till.reserved()
        with pytest.raises(Paused):
            till.granted()
        pauses.lift(by="ann", now=NOW)
        pauses.lift(by="ann", now=NOW)
        till.reserved()

        assert ["spending.paused", "spending.lifted"] == kinds()
        event = Event.objects.get(kind="spending.paused")
        assert "$0.60 were spent in five minutes; $0.01 are usual." == event.data["reason"]
        assert "ann" == Event.objects.get(kind="spending.lifted").actor

    def test_what_is_free_or_has_begun_goes_on(self) -> None:
        till.granted()
        pauses.begin("Somebody has to look.", now=NOW)
        till.reserved(model=till.LOCAL)
        till.granted("attempt/2", model=till.LOCAL)

        assert "settled" == till.part().status

    def test_what_was_lifted_is_not_judged_again_for_an_hour(self) -> None:
        a_day(600_000)
        watch_pace(NOW)
        pauses.lift(by="ann", now=NOW)
        assert not watch_pace(NOW + timedelta(minutes=1))
        for number in range(1, 14):
            spend(CENT, minutes_ago=5 * number - 61)
        spend(600_000, minutes_ago=-61)

        assert watch_pace(NOW + timedelta(minutes=61))
        assert ["spending.paused", "spending.lifted", "spending.paused"] == kinds()

    @pytest.mark.parametrize("last", [0, CENT, 500_000])
    def test_what_is_usual_or_little_goes_on(self, last: int) -> None:
        a_day(last)

        assert not watch_pace(NOW)

    def test_corrections_are_by_hand_and_not_counted(self) -> None:
        a_day(CENT)
        newest = Charge.objects.latest("pk")
        actions.correct(newest.call_id, 10**7, correction_id="c", by="ann", reason="The bill.", now=NOW)

        assert not watch_pace(NOW)

    def test_to_look_at_the_brake_takes_one_statement(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            pauses.check()
