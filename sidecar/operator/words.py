"""What a person typed, as REST takes it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CHECKS = ("file_exists", "command_succeeds", "tests_pass", "git_clean", "diff_contains", "no_secrets")
LONGEST_TITLE = 200


def titled(words: Sequence[str]) -> tuple[str, str]:
    """A title and the rest: the first line; and of one that is too long everything stands in the description."""
    text = " ".join(words).strip()
    first, _, rest = text.partition("\n")
    if len(first) <= LONGEST_TITLE:
        return first.strip(), rest.strip()
    return f"{first[: LONGEST_TITLE - 1].rstrip()}…", text


def check(typed: str) -> dict[str, Any]:
    """`tests_pass`, `file_exists: README.md`; anything else is a command that has to succeed."""
    kind, _, target = (part.strip() for part in typed.partition(":"))
    if kind in CHECKS:
        return {"type": kind, "target": target}
    return {"type": "command_succeeds", "target": typed.strip()}


def stripped(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what was not typed, so that the hub's own defaults hold."""
    return {name: value for name, value in fields.items() if value not in (None, "", [])}
