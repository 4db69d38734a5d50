"""What a goal needs next, in every way that its slices can stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.goals.course import MOST_CATCHING_UP, MOST_TRIES, Course, Following, Part, State, plot

S, F = State, Following


def parts(*states: State, after: tuple[tuple[int, ...], ...] = (), tries: int = 0) -> list[Part]:
    waits = after or ((),) * len(states)
    return [
        Part(number=n, state=state, after=waits[n - 1], tries=tries, why="it broke.")
        for n, state in enumerate(states, start=1)
    ]


@pytest.mark.parametrize(
    ("given_parts", "following", "expected"),
    [
        (parts(S.WAITING, S.WAITING), F.UP_TO_DATE, Course(hand_in=(1, 2))),
        (parts(S.WAITING, S.WAITING, after=((), (1,))), F.UP_TO_DATE, Course(hand_in=(1,))),
        (parts(S.MERGED, S.WAITING, after=((), (1,))), F.UP_TO_DATE, Course(hand_in=(2,))),
        (parts(S.RUNNING, S.WAITING, after=((), (1,))), F.UP_TO_DATE, Course()),
        (parts(S.DONE, S.DONE), F.UP_TO_DATE, Course(merge=1)),
        (parts(S.MERGING, S.DONE), F.UP_TO_DATE, Course()),
        (parts(S.DONE, S.RUNNING), F.MERGING, Course()),
        (parts(S.SENT_BACK, S.MERGED), F.UP_TO_DATE, Course(hand_in=(1,))),
        (parts(S.MERGED, S.MERGED), F.BEHIND, Course(merge=0)),
        (parts(S.MERGED), F.MERGING, Course()),
        (parts(S.MERGED), F.REFUSED, Course(catch_up=True)),
        (parts(S.MERGED), F.UP_TO_DATE, Course(verify=True)),
        (parts(S.LOST, S.RUNNING), F.UP_TO_DATE, Course()),
        (parts(S.LOST, S.DONE), F.UP_TO_DATE, Course(merge=2)),
        (parts(S.LOST, S.MERGED), F.UP_TO_DATE, Course(review="Slice 1: it broke.")),
        (parts(S.LOST, S.WAITING, after=((), (1,))), F.BEHIND, Course(review="Slice 1: it broke.")),
        (parts(S.SENT_BACK, tries=MOST_TRIES), F.UP_TO_DATE, Course(review="Slice 1: it broke.")),
    ],
)  # fmt: skip
def test_the_course_follows_from_how_the_slices_stand(
    given_parts: list[Part], following: Following, expected: Course
) -> None:
    assert expected == plot(given_parts, following)


def test_a_branch_that_never_catches_up_waits_for_a_person() -> None:
    assert "up to date" in plot(parts(S.MERGED), F.REFUSED, caught_up=MOST_CATCHING_UP).review


@given(
    st.lists(st.tuples(st.sampled_from(State), st.sets(st.integers(1, 8)), st.integers(0, 4)), min_size=1, max_size=8),
    st.sampled_from(Following),
    st.integers(0, 3),
)
def test_a_goal_always_goes_on_waits_for_somebody_or_says_why_not(
    drawn: list[tuple[State, set[int], int]], following: Following, caught_up: int
) -> None:
    """Never silence: when nothing runs and nothing merges, there is something to do, to judge, or to look at."""
    mine = [
        Part(number=n, state=state, after=tuple(before for before in after if before < n), tries=tries)
        for n, (state, after, tries) in enumerate(drawn, start=1)
    ]

    course = plot(mine, following, caught_up=caught_up)

    somebody_works = following is F.MERGING or any(part.state in (S.RUNNING, S.MERGING) for part in mine)
    does = bool(course.hand_in) + (course.merge is not None) + course.catch_up + course.verify + bool(course.review)
    assert somebody_works or does
    if course.verify:
        assert all(part.state is S.MERGED for part in mine)
        assert following is F.UP_TO_DATE
    if course.review:
        assert not somebody_works
    merged = {part.number for part in mine if part.state is S.MERGED}
    for number in course.hand_in:
        part = mine[number - 1]
        assert part.state in (S.WAITING, S.SENT_BACK)
        assert part.state is S.SENT_BACK or merged.issuperset(part.after)
