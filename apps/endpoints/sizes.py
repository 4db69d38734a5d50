"""How large a text is for a model, and how much fits into its context: a question, and room for the answer. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil

CHARACTERS_PER_TOKEN = 3.0
"""Of English and code; measured are 3.3 and more."""
_LETTERS = re.compile(r"[A-Za-z]+")
_SIGNS = re.compile(r"[!-/:-@\[-`{-~]")

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


def tokens(text: str) -> int:
    """How many tokens the text has at most, as far as can be said without the model's own count.

    Words of one letter and rows of signs cost more than their length says. A digit is counted as one, and what is not
    ASCII by the bytes that it takes: models spell what they do not know.
    """
    plain = len(text.encode("ascii", "ignore"))
    digits = sum(map(text.count, "0123456789"))
    foreign = len(text.encode("utf-8", "replace")) - plain
    by_length = (plain - digits) / CHARACTERS_PER_TOKEN
    by_pieces = len(_LETTERS.findall(text)) + len(_SIGNS.findall(text)) / 2
    return ceil(max(by_length, by_pieces)) + digits + foreign
