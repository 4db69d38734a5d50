"""How much fits into a model's context: what a question may have, and what is kept free for its answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_QUESTION = 2_400
"""Tokens; with fewer too little of what is asked about would be left in it."""
LEAST_ANSWER = 2_048
LONGEST_ANSWER = 8_192
"""Tokens; an answer that is longer would take longer than a call may take."""
SPARE = 256
"""Tokens of the context that nothing is planned for: what a template adds, and what was counted wrongly."""

SMALLEST_CONTEXT = LEAST_QUESTION + LEAST_ANSWER + SPARE
"""Of a model that can plan and judge."""


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens that a question and its answer may have."""

    question: int
    answer: int


def room(context: int) -> Room:
    """How a context, the smallest or a larger one, is shared out: a quarter of it for the answer, within bounds."""
    answer = min(max(LEAST_ANSWER, context // 4), LONGEST_ANSWER)
    return Room(context - answer - SPARE, answer)
