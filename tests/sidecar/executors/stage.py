"""What the tests of executors share: where the work is done, who hears of it, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sidecar.config import Bounds

SMALL = Bounds(tree_bytes=8 * 1024**2)
FILL = "while [ $((n += 1)) -le 300 ]; do head -c 1048576 /dev/zero > fill$n; done"
"""Writes 300 MB, if nobody ends it."""


@dataclass
class Directory:
    """A place to work, without a repository."""

    tree: Path

    async def snapshot_diff(self):
        return ""


class Heard:
    """Progress that remembers what it was told; `there` is set when `until` was said."""

    def __init__(self, until=""):
        self.told = []
        self.facts = []
        self.until = until
        self.there = asyncio.Event()

    def __call__(self, kind, text, **facts):
        self.told.append((kind, text))
        self.facts.append(facts)
        if self.until and self.until in text:
            self.there.set()

    @property
    def notes(self):
        return [text for kind, text in self.told if kind == "note"]


def processes_with(mark):
    """Processes of this machine that have `mark` on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def git(*arguments, cwd):
    """Plain git, as a person would run it."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


def on_the_hub(hub, ref):
    """The value that the hub has on `ref`."""
    return git("show", f"{ref}:value.txt", cwd=hub / "git" / "sample.git")
