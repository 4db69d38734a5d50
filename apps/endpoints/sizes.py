"""How much fits into a model's context: what a question may have, and what is kept free for its answer. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_ANSWER = 2_048
LONGEST_ANSWER = 8_192
"""Tokens; an answer that is longer would take longer than a call may take."""
SPARE = 256
"""Tokens of the context that nothing is planned for: what a template adds, and what was counted wrongly."""


@dataclass(frozen=True, slots=True)
class Room:
    """Tokens that a question and its answer may have."""

    question: int
    answer: int


def room(context: int) -> Room:
    """How a context is shared out: a quarter of it for the answer, within bounds."""
    answer = min(max(LEAST_ANSWER, context // 4), LONGEST_ANSWER)
    return Room(max(0, context - answer - SPARE), answer)
