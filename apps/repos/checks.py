"""The kinds of checks there are, and whether a list of them can be used. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TYPES = ("file_exists", "command_succeeds", "tests_pass", "git_clean", "diff_contains", "no_secrets")
WITH_A_TARGET = frozenset({"file_exists", "command_succeeds", "diff_contains"})
MOST = 20
LONGEST_TARGET, LONGEST_DESCRIPTION = 2_000, 500
LONGEST_SECONDS = 7 * 24 * 3600
SECONDS = 120.0
"""What a check may take that does not say."""
AROUND = 300.0
"""Seconds for a checkout and a sandbox, beside the checks themselves."""
FIELDS = frozenset({"type", "target", "description", "timeout_seconds"})


def read(value: Any) -> list[dict[str, Any]]:
    """`value` as a list of checks, each with all of its fields. Raises ValueError, whose text says what is wrong."""
    if not isinstance(value, list) or len(value) > MOST:
        raise ValueError(f"This is a list of at most {MOST} checks.")
    return [_one(number, check) for number, check in enumerate(value, start=1)]


def seconds_for(checks: Iterable[Mapping[str, Any]]) -> float:
    """How long a task that repeats them may take: a checkout and a sandbox, then each check for its own time."""
    return AROUND + sum(float(check.get("timeout_seconds", SECONDS)) for check in checks)


def _one(number: int, check: Any) -> dict[str, Any]:
    if not isinstance(check, dict) or check.get("type") not in TYPES:
        raise ValueError(f"Check {number} needs a type, one of {', '.join(TYPES)}.")
    if unknown := sorted(str(name)[:40] for name in check.keys() - FIELDS):
        raise ValueError(f"Check {number} has no {', '.join(unknown)}.")
    target, description = check.get("target", ""), check.get("description", "")
    if not _text(target, LONGEST_TARGET) or (check["type"] in WITH_A_TARGET and not target.strip()):
        raise ValueError(f"The target of check {number} is text of 1 to {LONGEST_TARGET} characters.")
    if not _text(description, LONGEST_DESCRIPTION):
        raise ValueError(f"The description of check {number} is text of at most {LONGEST_DESCRIPTION} characters.")
    seconds = check.get("timeout_seconds", SECONDS)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.1 <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"The time of check {number} is from 0.1 to {LONGEST_SECONDS} seconds.")
    return {"type": check["type"], "target": target, "description": description, "timeout_seconds": float(seconds)}


def _text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and "\0" not in value
