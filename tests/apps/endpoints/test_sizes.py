from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apps.endpoints.sizes import LEAST_ANSWER, SMALLEST_CONTEXT, SPARE, Room, room, tokens
from apps.goals.prompts import LEAST_BUDGET


@pytest.mark.parametrize(
    ("context", "answer"), [(4_704, 2_048), (8_192, 2_048), (16_384, 4_096), (32_768, 8_192), (200_000, 8_192)]
)
def test_an_answer_has_a_quarter_of_the_context_within_bounds_and_the_question_the_rest(context, answer):
    assert Room(context - answer - SPARE, answer) == room(context)


def test_the_smallest_context_holds_the_smallest_question_and_its_answer():
    assert Room(LEAST_BUDGET, LEAST_ANSWER) == room(SMALLEST_CONTEXT)


@given(some.text())
def test_a_text_has_no_more_tokens_than_bytes_and_no_fewer_than_a_third_of_them(text):
    size = len(text.encode("utf-8", "replace"))

    assert size / 3 <= tokens(text) <= size


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("word " * 60, 100), ("1234567890", 10), ("a b c d", 4), ("{}" * 10, 10), ("é€𓂀", 9)]
)
def test_letters_are_counted_by_length_or_words_and_digits_and_foreign_bytes_one_by_one(text, count):
    assert count == tokens(text)
