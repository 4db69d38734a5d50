"""How an attempt's branch is called: `agentcom/<agent>/<task>-<slug>`. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Protocol

LONGEST_SLUG = 40


class Named(Protocol):
    """A task, as far as its branch goes: a follow-up brings the `branch` of its pull request."""

    pk: int
    title: str
    branch: str


def slug(title: str) -> str:
    """Lower-case ASCII words joined by dashes, at most 40 characters, never empty."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words[:LONGEST_SLUG].strip("-") or "task"


def branch_for(task: Named, agent: str, generation: int) -> str:
    """The one branch that this attempt may push.

    From the second attempt on its generation is part of the name: what an earlier one pushed before it lapsed is never
    in the way, and never taken for this one's.
    """
    again = f"-{generation}" if generation > 1 else ""
    return task.branch or f"agentcom/{agent}/{task.pk}-{slug(task.title)}{again}"
