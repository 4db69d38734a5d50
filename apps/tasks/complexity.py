"""Guess how demanding a task is from its text, when nobody said. Pure; whole words only; an explicit tag wins."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

COMPLEX = re.compile(r"\b(refactor|architect|migrations?|redesign|migrate|security|overhaul|rewrite)\b", re.IGNORECASE)
TRIVIAL = re.compile(
    r"\b(fix typos?|typos?|update readme|bump version|version bump|rename|format|lint)\b", re.IGNORECASE
)


class Tier(StrEnum):
    TRIVIAL = "trivial"
    STANDARD = "standard"
    COMPLEX = "complex"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Guess:
    """A tier, how sure we are (0 to 1), why in one line, and whether a person said so."""

    tier: Tier
    confidence: float
    reason: str
    explicit: bool = False


def classify(text: str, *, files: int = 0, checks: int = 0, tag: str = "") -> Guess:
    """The tier of a task described by `text`, with `files` hinted at and `checks` to pass."""
    if tag:
        return Guess(Tier(tag), 1.0, "tagged by the submitter", explicit=True)
    words = len(text.split())
    if found := COMPLEX.search(text):
        weight = sum((files > 3, checks > 3, words > 50))
        return Guess(Tier.COMPLEX, round(0.7 + 0.1 * weight, 2), f'says "{found.group(0).lower()}"')
    if (found := TRIVIAL.search(text)) and files <= 3 and checks <= 3:
        return Guess(Tier.TRIVIAL, 0.9 if words < 10 else 0.75, f'says "{found.group(0).lower()}"')
    if not (words or files or checks):
        return Guess(Tier.UNKNOWN, 0.0, "nothing to judge by")
    return _vote(words, files, checks)


def _vote(words: int, files: int, checks: int) -> Guess:
    votes = Counter([_by_words(words), _by_count(files), _by_count(checks)])
    order = [Tier.STANDARD, Tier.COMPLEX, Tier.TRIVIAL]
    tier = max(order, key=lambda tier: (votes[tier], -order.index(tier)))
    if tier is Tier.TRIVIAL:  # short is not the same as simple: without a telling word it is at least standard
        tier = Tier.STANDARD
    return Guess(tier, round(votes[tier] / 3, 2), f"{words} words, {files} files, {checks} checks")


def _by_words(words: int) -> Tier:
    return Tier.TRIVIAL if words < 10 else Tier.COMPLEX if words > 50 else Tier.STANDARD


def _by_count(count: int) -> Tier:
    return Tier.TRIVIAL if count == 0 else Tier.COMPLEX if count > 3 else Tier.STANDARD
