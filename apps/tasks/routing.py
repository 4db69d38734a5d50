"""Which executor a task needs, decided when it enters the queue. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Route:
    """`executor` is what an agent must offer; `reason` is the sentence that the task's page shows."""

    executor: str
    reason: str


def route(*, kind: str, command: str, tier: str) -> Route:
    """A verification is verified, a command is run by the shell, and words need a model, however simple they look."""
    if kind == "verification":
        return Route("verify", "The checks are repeated on a clean checkout.")
    if command:
        return Route("shell", "The task brings its own command, which costs no tokens.")
    return Route("model", f"The task is described in words ({tier}) and needs a model.")
