"""What may be asked of the sandbox and what it answers: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Overflow = Literal["tree_too_large", "disk_full"]
Ended = Literal["exited", "timeout", "stopped", "tree_too_large", "disk_full"]
LevelName = Literal["bubblewrap", "off", "none"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much one command may take. Seconds and bytes; `processes` counts threads too, as the kernel does.

    `grace_seconds` is how long a stopped command may tidy up between SIGTERM and SIGKILL. Output is kept as its first
    `output_head` and its last `output_tail` bytes. `tree_bytes` is what the whole tree may take of the disk, and
    `free_bytes` what must stay free of it (of a small disk, a twentieth of its size at most).
    """

    timeout_seconds: float = 600.0
    grace_seconds: float = 1.5
    memory_bytes: int = 4 * GIB
    processes: int = 512
    file_bytes: int = 2 * GIB
    temporary_bytes: int = 1 * GIB
    tree_bytes: int = 16 * GIB
    free_bytes: int = 1 * GIB
    open_files: int = 4096
    cpu_seconds: int = 7200
    output_head: int = 20_000
    output_tail: int = 20_000


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How commands are confined on this machine; the operator's word, never the repository's.

    `read_only` are toolchains to show at their own paths (their `bin` goes on the PATH); `hidden` are directories that
    stay empty inside even where a toolchain would show them, such as the sidecar's own root. `network` shares this
    machine's whole network, its loopback included: for a program that the operator chose, never for what a task brings.
    """

    sandbox: Literal["bubblewrap", "off"] = "bubblewrap"
    read_only: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = False


@dataclass(frozen=True, kw_only=True)
class Level:
    """What holds on this machine: its name, a sentence why, how to get more, and which limits are really in force."""

    name: LevelName
    reason: str
    hint: str = ""
    enforced: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended.

    `exit_code` is the shell's: 128 + n when signal n ended it. `output` is stdout and stderr as they came, invalid
    UTF-8 replaced, with a line in the middle saying how many bytes were left out (`elided`). `problem` is a sentence
    when there was no room on the disk: the command was ended, or not started, or its tree is too large at its end.
    """

    exit_code: int
    ended: Ended
    output: str
    elided: int
    duration_ms: int
    level: LevelName
    enforced: tuple[str, ...]
    problem: str = ""

    @property
    def succeeded(self) -> bool:
        """It ended by itself and said so with exit code 0."""
        return self.ended == "exited" and self.exit_code == 0


class Unavailable(Exception):
    """The policy demands a sandbox and this machine has none; the text says why and what to install."""
