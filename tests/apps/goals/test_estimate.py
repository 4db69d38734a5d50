from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from apps.goals import history
from apps.goals.estimate import LEAST, Estimate, Past, Piece, Spread, estimate, spread
from apps.goals.models import Slice
from apps.ledger.models import Charge, Price
from apps.tasks.models import Task
from tests.apps.goals import planning


def expect(pieces: Sequence[Piece], past: Sequence[Past]) -> Estimate:
    found = estimate(pieces, past)
    assert found is not None
    return found


SAME = [Past("standard", 100, 60.0)] * LEAST


def test_too_few_finished_slices_say_nothing():
    assert estimate([Piece(1, "standard")], SAME[:-1]) is None
    assert estimate([], SAME) is None


def test_costs_add_up_over_the_slices_and_time_along_the_longest_chain():
    diamond = [Piece(1, "standard"), Piece(2, "standard", (1,)), Piece(3, "standard", (1,)), Piece(4, "", (2, 3))]

    assert Estimate(Spread(400, 400, 400), Spread(180, 180, 180), LEAST) == estimate(diamond, SAME)


def test_a_chain_is_as_long_whichever_way_it_is_numbered():
    forward = [Piece(1, "standard", (2,)), Piece(2, "standard", (3,)), Piece(3, "standard")]
    backward = [Piece(1, "standard"), Piece(2, "standard", (1,)), Piece(3, "standard", (2,))]

    assert Spread(180, 180, 180) == expect(forward, SAME).seconds == expect(backward, SAME).seconds


def test_a_slice_is_like_those_of_its_tier_where_there_are_enough():
    dear = [Past("complex", 1_000, 600.0)] * LEAST

    assert Spread(1_000, 1_000, 1_000) == expect([Piece(1, "complex")], [*SAME, *dear]).micro
    assert 550 == expect([Piece(1, "trivial")], [*SAME, *dear]).micro.middle


def test_the_spread_goes_from_the_tenth_to_the_ninetieth_percentile():
    assert Spread(10, 50, 90) == spread(list(range(101)))


def planned(rows: Sequence[set[int]], *, turned: bool) -> list[Piece]:
    """Slices of which each waits for some before it; or numbered the other way round, so that they come after it."""
    numbers = [len(rows) - at if turned else at + 1 for at in range(len(rows))]
    return [
        Piece(numbers[at], "standard", tuple(numbers[one] for one in after if one < at))
        for at, after in enumerate(rows)
    ]


pieces = st.builds(planned, st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=8), turned=st.booleans())
pasts = st.lists(
    st.builds(Past, st.sampled_from(["standard", ""]), st.integers(0, 10**9), st.floats(0, 10**6)),
    min_size=LEAST,
    max_size=60,
)


@given(pieces, pasts)
def test_whatever_happened_the_middle_lies_between_the_ends(pieces, past):
    found = expect(pieces, past)

    assert found.micro.low <= found.micro.middle <= found.micro.high
    assert 0 <= found.seconds.low <= found.seconds.middle <= found.seconds.high


def finished(count: int, *, micro: int = 2_000, seconds: int = 90) -> list[Slice]:
    goal = planning.goal(status="executing")
    price = Price.objects.create(model="m", input=1)
    slices = [planning.merged(one) for one in planning.plan(goal, {number: [] for number in range(1, count + 1)})]
    for one in slices:
        assert one.task is not None
        assert one.merged_at is not None
        Task.objects.filter(pk=one.task.pk).update(created_at=one.merged_at - timedelta(seconds=seconds))
        Charge.objects.create(
            call_id=f"{one.pk}", status="uncertain", model="m", task=str(one.task_id), started_at=timezone.now(),
            resolved_at=timezone.now(), cost_micro=micro, price=price,
        )  # fmt: skip
    return slices


def test_the_history_is_that_of_merged_slices(db):
    slices = finished(LEAST)
    waiting = planning.plan(planning.goal(), {1: []})

    found = history.expected(waiting)

    assert LEAST == found["slices"] == len(slices)
    assert 90 == pytest.approx(found["seconds"]["middle"])
    assert {"low": 2_000, "middle": 2_000, "high": 2_000} == found["micro"]


def test_without_a_history_nothing_is_expected(db):
    finished(LEAST - 1)

    assert {} == history.expected(planning.plan(planning.goal(), {1: []}))


@pytest.mark.parametrize("slices", [LEAST, 3 * LEAST])
def test_the_history_costs_three_queries_however_long_it_is(db, slices, django_assert_num_queries):
    finished(slices)

    with django_assert_num_queries(3):
        history.past()


def test_work_that_came_back_from_a_merge_is_part_of_what_a_slice_cost(db):
    slices = finished(LEAST, micro=2_000, seconds=90)
    for one in slices:
        assert one.merged_at is not None
        earlier = Task.objects.create(
            title="Earlier", repo=one.goal.repo, goal=one.goal_id, metadata={"slice": one.number}, status="completed",
            finished_at=timezone.now(), created_at=one.merged_at - timedelta(seconds=600),
        )  # fmt: skip
        Charge.objects.create(
            call_id=f"earlier-{one.pk}", status="uncertain", model="m", task=str(earlier.pk),
            started_at=timezone.now(), resolved_at=timezone.now(), cost_micro=500, price=Price.objects.get(model="m"),
        )  # fmt: skip

    found = history.expected(planning.plan(planning.goal(), {1: []}))

    assert 600 == pytest.approx(found["seconds"]["middle"])
    assert 2_500 == found["micro"]["middle"]
