"""What a session asks for, in the order in which it must happen. Plain values; `daemon.py` carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sidecar.wire.messages import Frame, TaskAssign, Terminal


class Why(StrEnum):
    """Why work is being stopped."""

    CANCELLED = "cancelled"
    """Somebody cancelled the task."""
    DROPPED = "dropped"
    """The attempt is not ours any more."""
    FENCED = "lease_lost"
    """We could not renew the lease in time, so the hub may give the task to somebody else."""
    DRAINED = "drained"
    """This sidecar is about to leave."""


class Mode(StrEnum):
    """How the hub wants this agent to run."""

    NORMAL = "normal"
    DRAINING = "draining"
    """It gets no new work; what it has goes on."""
    RESTARTING = "restarting"
    """It takes no new work, and a new process takes its place when what it has is over."""


@dataclass(frozen=True)
class Send:
    """Say this to the hub on the connection there is; lost when it breaks, and said again if it matters."""

    frame: Frame


@dataclass(frozen=True)
class Keep:
    """Write the assignment to disk. Nothing after it may happen if that fails."""

    assign: TaskAssign


@dataclass(frozen=True)
class KeepReport:
    """Write the terminal report to disk in place of the assignment."""

    report: Terminal


@dataclass(frozen=True)
class Forget:
    """The hub has settled the attempt or taken it away: remove it from disk."""

    attempt: int


@dataclass(frozen=True)
class Start:
    """Begin the work. Its end comes back as `Session.finished`."""

    assign: TaskAssign


@dataclass(frozen=True)
class Stop:
    """End the running work, with everything it started; what it changed is salvaged. Its end comes back as well."""

    attempt: int
    why: Why


@dataclass(frozen=True)
class Hangup:
    """Close the connection; the link comes back by itself."""

    reason: str


@dataclass(frozen=True)
class Enter:
    """The hub wants another mode: let the people of this machine see it."""

    mode: Mode


@dataclass(frozen=True)
class Restart:
    """End this process in order, so that a new one takes its place. There is no way back from it."""


Effect = Send | Keep | KeepReport | Forget | Start | Stop | Hangup | Enter | Restart
