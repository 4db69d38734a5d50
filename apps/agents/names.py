"""Names for agents that come without one, in the manner of ships that think. Pure."""

from __future__ import annotations

import secrets
from collections.abc import Container, Sequence
from typing import Protocol

NAMES = (
    "a-second-opinion",
    "absolutely-no-hurry",
    "all-in-good-order",
    "almost-certainly-fine",
    "an-honest-estimate",
    "another-fine-merge",
    "asked-and-answered",
    "before-you-say-no",
    "best-laid-branches",
    "better-than-it-looks",
    "blame-the-weather",
    "borrowed-certainty",
    "bring-a-spare",
    "carry-the-one",
    "clearly-labelled",
    "considered-response",
    "curious-by-profession",
    "do-not-disturb-the-tests",
    "entirely-voluntary",
    "exit-status-zero",
    "exactly-as-instructed",
    "famous-last-commit",
    "for-want-of-a-comma",
    "gentle-persistence",
    "have-you-read-the-log",
    "i-brought-evidence",
    "in-my-defence",
    "it-compiles-therefore",
    "kindly-reconsider",
    "less-is-quite-enough",
    "let-me-check-that",
    "measured-twice",
    "mild-disagreement",
    "minor-adjustment",
    "more-than-a-hunch",
    "never-touched-main",
    "no-further-questions",
    "not-my-first-rebase",
    "nothing-up-my-sleeve",
    "off-by-none",
    "on-reflection",
    "one-careful-owner",
    "only-slightly-smug",
    "open-to-correction",
    "patience-is-a-feature",
    "perfectly-reproducible",
    "please-hold",
    "politely-insistent",
    "probably-the-cache",
    "quietly-confident",
    "reasonable-doubt",
    "reluctant-hero",
    "room-for-improvement",
    "sleep-on-it",
    "small-change-large-smile",
    "so-far-so-good",
    "suspiciously-simple",
    "tactful-silence",
    "terms-and-conditions",
    "the-scenic-route",
    "third-time-charming",
    "trust-but-diff",
    "unreasonably-cheerful",
    "voice-of-moderation",
    "waiting-for-the-punchline",
    "well-within-limits",
    "who-reviews-the-reviewer",
    "with-all-due-diligence",
    "worth-the-detour",
    "yes-and-also",
)


class Choice(Protocol):
    """Picks one of several."""

    def __call__(self, names: Sequence[str], /) -> str: ...


def pick(taken: Container[str], choose: Choice = secrets.choice) -> str:
    """A name that is not `taken`; when all are, one of them with the first free number behind it."""
    if free := [name for name in NAMES if name not in taken]:
        return choose(free)
    name = choose(NAMES)
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
