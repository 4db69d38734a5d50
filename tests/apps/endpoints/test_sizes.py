from __future__ import annotations

import pytest

from apps.endpoints.sizes import LEAST_ANSWER, SMALLEST_CONTEXT, SPARE, Room, room
from apps.goals.prompts import LEAST_BUDGET


@pytest.mark.parametrize(
    ("context", "answer"), [(4_704, 2_048), (8_192, 2_048), (16_384, 4_096), (32_768, 8_192), (200_000, 8_192)]
)
def test_an_answer_has_a_quarter_of_the_context_within_bounds_and_the_question_the_rest(context, answer):
    assert Room(context - answer - SPARE, answer) == room(context)


def test_the_smallest_context_holds_the_smallest_question_and_its_answer():
    assert Room(LEAST_BUDGET, LEAST_ANSWER) == room(SMALLEST_CONTEXT)
