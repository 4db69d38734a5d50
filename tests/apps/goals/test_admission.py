from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apps.goals.admission import (
    LONGEST,
    MOST_HEALING,
    MOST_OPEN,
    SHORTEST,
    Admitted,
    Answer,
    Own,
    Rejected,
    TurnedAway,
    admit,
    answer,
    interval,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
YES, NO, SILENCE, OPEN = Answer.ACCEPTED, Answer.REJECTED, Answer.IGNORED, Answer.PENDING
WANTED = Own("textkit", "improving", "test_gap:src/words.py")
HEALING = Own("textkit", "healing", "broken_main:textkit")


def ask(wanted: Own = WANTED, **changes: Any) -> Admitted | TurnedAway:
    calm = {"still_open": (), "rejected": (), "answers": (), "last_at": None}
    return admit(wanted, **(calm | changes), now=NOW)


def others(count: int, source: str = "improving") -> list[Own]:
    return [Own(f"repo{number}", source, f"about{number}") for number in range(count)]


def test_the_first_goal_is_admitted():
    assert Admitted() == ask()


@pytest.mark.parametrize(
    ("wanted", "changes", "code"),
    [
        (WANTED, {"still_open": [Own("other", "healing", WANTED.fingerprint)]}, "duplicate"),
        (HEALING, {"still_open": [HEALING]}, "duplicate"),
        (WANTED, {"rejected": [Rejected(WANTED.fingerprint, NOW - 29 * DAY)]}, "rejected"),
        (HEALING, {"rejected": [Rejected(HEALING.fingerprint, NOW - DAY)]}, "rejected"),
        (
            WANTED,
            {"rejected": [Rejected(WANTED.fingerprint, NOW - 99 * DAY), Rejected(WANTED.fingerprint, NOW)]},
            "rejected",
        ),
        (WANTED, {"still_open": others(MOST_OPEN)}, "too_many"),
        (HEALING, {"still_open": others(MOST_HEALING, "healing")}, "too_many_healing"),
        (WANTED, {"still_open": [Own("textkit", "contemplating", "x")]}, "one_per_repo"),
        (WANTED, {"still_open": [HEALING]}, "one_per_repo"),
        (WANTED, {"last_at": NOW - 59 * timedelta(minutes=1)}, "too_soon"),
        (WANTED, {"last_at": NOW - 3 * HOUR, "answers": [NO, SILENCE]}, "too_soon"),
        (WANTED, {"last_at": NOW - 6 * DAY, "answers": [NO] * 10}, "too_soon"),
        (HEALING, {"last_at": NOW - HOUR, "answers": [NO]}, "too_soon"),
    ],
)
def test_the_hub_is_turned_away_with_a_reason(wanted, changes, code):
    turned = ask(wanted, **changes)

    assert isinstance(turned, TurnedAway)
    assert code == turned.code
    assert turned.sentence.endswith(".")


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        (WANTED, {"rejected": [Rejected(WANTED.fingerprint, NOW - 30 * DAY), Rejected("else", NOW)]}),
        (WANTED, {"still_open": others(MOST_OPEN - 1)}),
        (WANTED, {"still_open": others(9, "healing")}),
        (WANTED, {"last_at": NOW - HOUR}),
        (WANTED, {"last_at": NOW - HOUR, "answers": [NO, YES, OPEN]}),
        (WANTED, {"last_at": NOW - HOUR, "answers": [OPEN] * 10 + [NO] * 10}),
        (WANTED, {"last_at": NOW - LONGEST, "answers": [NO] * 10}),
        (HEALING, {"still_open": [*others(MOST_OPEN), WANTED, Own("textkit", "healing", "conflict")]}),
        (HEALING, {"last_at": NOW}),
        (HEALING, {"last_at": NOW - 2 * HOUR, "answers": [NO]}),
    ],
)
def test_the_hub_may_make_a_goal(wanted, changes):
    assert Admitted() == ask(wanted, **changes)


def test_who_comes_too_soon_is_told_when_to_come_again():
    turned = ask(last_at=NOW - HOUR, answers=[NO, SILENCE, NO])

    assert isinstance(turned, TurnedAway)
    assert NOW + 7 * HOUR == turned.until


@pytest.mark.parametrize(
    ("answers", "wait"),
    [
        ([], HOUR),
        ([OPEN], HOUR),
        ([NO], 2 * HOUR),
        ([SILENCE], 2 * HOUR),
        ([NO, SILENCE, NO], 8 * HOUR),
        ([YES, NO, SILENCE, NO], 4 * HOUR),
        ([YES] * 5 + [NO], HOUR),
        ([NO] * 7, 128 * HOUR),
        ([NO] * 8, LONGEST),
        ([NO] * 500, LONGEST),
    ],
)
def test_each_no_doubles_the_wait_and_each_merge_halves_it(answers, wait):
    assert wait == interval(answers)


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"landed": True}, YES),
        ({"rejected": True}, NO),
        ({}, OPEN),
        ({"waiting_since": NOW - 7 * DAY}, OPEN),
        ({"waiting_since": NOW - 8 * DAY}, SILENCE),
        ({"waiting_since": NOW - 30 * DAY, "touched_at": NOW - DAY}, OPEN),
        ({"waiting_since": NOW - 30 * DAY, "touched_at": NOW - 8 * DAY}, SILENCE),
        ({"waiting_since": NOW - DAY, "touched_at": NOW - 30 * DAY}, OPEN),
    ],
)
def test_what_people_did_is_an_answer(facts, wanted):
    calm = {"landed": False, "rejected": False, "waiting_since": None, "touched_at": None}

    assert wanted == answer(**(calm | facts), now=NOW)


_answers = some.lists(some.sampled_from(list(Answer)), max_size=12)
_own = some.builds(
    Own, some.sampled_from("abc"), some.sampled_from(["healing", "improving"]), some.text("xyz", max_size=2)
)


@given(_answers)
def test_the_wait_has_bounds_and_a_no_never_shortens_it(answers):
    assert SHORTEST <= interval(answers) <= LONGEST
    assert interval([NO, *answers[:9]]) >= interval(answers[:9])


@given(some.lists(_own, max_size=60))
def test_however_often_the_hub_asks_little_is_open(asked):
    still_open: list[Own] = []
    for wanted in asked:
        if ask(wanted, still_open=still_open) == Admitted():
            still_open.append(wanted)

    healing = [own for own in still_open if own.source == "healing"]
    assert len(healing) <= MOST_HEALING
    assert len(still_open) - len(healing) <= MOST_OPEN
    assert len({own.fingerprint for own in still_open}) == len(still_open)
