"""Where an agent works, and with what: plain values that every attempt is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidecar import executors
from sidecar.callbook import CallBook
from sidecar.config import Bounds
from sidecar.executors import Executor, Sandbox
from sidecar.sandbox import Limits, Policy


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where this machine works, and with what: the sidecar's root, its hub, and how commands are confined."""

    root: Path
    hub: str
    token: str = field(repr=False)
    policy: Policy
    bounds: Bounds
    executors: Mapping[str, Executor] = field(default_factory=lambda: executors.EXECUTORS)
    book: CallBook | None = None

    @property
    def sandbox(self) -> Sandbox:
        """The operator's policy and limits, for executors and checks."""
        limits = Limits(
            memory_bytes=self.bounds.memory_bytes,
            processes=self.bounds.processes,
            file_bytes=self.bounds.file_bytes,
            tree_bytes=self.bounds.tree_bytes,
            free_bytes=self.bounds.free_bytes,
        )
        return Sandbox(policy=self.policy, limits=limits)


@dataclass(frozen=True)
class Room:
    """An empty directory, for a task without a repository."""

    tree: Path

    async def snapshot_diff(self) -> str:
        """Nothing to compare with."""
        return ""
