"""Where attacks are tried: a machine in small, with secrets to be found and files to be broken, and what must hold."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.sandbox import Limits

MIB = 1024 * 1024
LIMITS = Limits(
    timeout_seconds=20, grace_seconds=0.2, memory_bytes=300 * MIB, processes=64, file_bytes=2 * MIB,
    temporary_bytes=20 * MIB, tree_bytes=32 * MIB,
)  # fmt: skip
MACHINE = tuple(
    Path(path)
    for path in (
        *("/escape", "/etc/escape", "/etc/profile.d/agentcom-attack.sh", "/usr/local/bin/agentcom-attack"),
        *("/etc/ld.so.preload", "/etc/cron.d/agentcom-attack", "/var/spool/cron/agentcom-attack"),
        *("/tmp/agentcom-attack", "/dev/shm/agentcom-attack"),
    )
)
"""What attacks would make on the machine itself."""


@dataclass(frozen=True)
class Secrets:
    """One of each kind that a sidecar's machine holds, in its usual form or in none."""

    token: str = field(default_factory=lambda: f"act_agent_{secrets.token_hex(4)}_canary{secrets.token_hex(16)}")
    environment: str = field(default_factory=lambda: f"sk-ant-api03-canary{secrets.token_hex(16)}")
    model_key: str = field(default_factory=lambda: f"sk-ant-api03-canary{secrets.token_hex(16)}")
    plain: str = field(default_factory=lambda: f"canary{secrets.token_hex(16)}")

    def found_in(self, text: str) -> list[str]:
        """Names of those that are in `text`, as they are or turned round, in hex or in base64."""
        return [name for name, value in vars(self).items() if any(form in text for form in _forms(value))]


def _forms(value: str) -> tuple[str, ...]:
    content = value.encode()
    whole = len(content) // 3 * 3
    encoded = [base64.b64encode(content[at:whole]).decode()[:-4] for at in range(3)]
    return (value, value[::-1], content.hex(), *encoded)


@dataclass(frozen=True)
class World:
    """A home, a sidecar's root with this attempt and a neighbour, and something outside; each with canaries."""

    base: Path
    secrets: Secrets = field(default_factory=Secrets)
    before: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.base / "home"

    @property
    def root(self) -> Path:
        return self.base / "root"

    @property
    def outside(self) -> Path:
        return self.base / "outside"

    @property
    def hub(self) -> Path:
        """A directory that serves `/git/sample.git` by file address."""
        return self.base / "hub"

    @property
    def repository(self) -> Path:
        return self.hub / "git" / "sample.git"

    @property
    def tree(self) -> Path:
        return self.root / "attempts" / "1" / "tree"

    def furnish(self) -> None:
        """Put everything in its place and remember it."""
        held = {
            self.home / ".ssh" / "id_ed25519": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{self.secrets.plain}\n",
            self.home / "notes.txt": self.secrets.plain,
            self.home / ".bashrc": "# canary\n",
            self.root / "config.json": json.dumps({"token": self.secrets.token, "key": self.secrets.model_key}),
            self.root / "attempts" / "2" / "tree" / "neighbour.txt": "canary\n",
            self.outside / "canary.txt": f"canary {self.secrets.plain}\n",
        }
        for path, content in held.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            path.chmod(0o600)
        (self.root / "attempts").chmod(0o700)  # as the sidecar itself leaves it
        self.before.update(self._state())

    def places(self, port: int = 9) -> Mapping[str, str]:
        """What the names in an attack stand for."""
        places = {"home": self.home, "root": self.root, "outside": self.outside, "tree": self.tree}
        return {name: str(place) for name, place in places.items()} | {
            "hub": str(self.repository),
            "port": str(port),
            "pid": str(os.getpid()),
        }

    def changes(self) -> list[str]:
        """What is not as it was outside the tree, and what is on the machine that must not be."""
        now = self._state()
        changed = [path for path in {**self.before, **now} if self.before.get(path) != now.get(path)]
        return changed + [str(path) for path in MACHINE if os.path.lexists(path)]

    def _state(self) -> dict[str, str]:
        own = {self.root / "attempts" / "1", self.root / "cache"}
        return {
            str(path): _look(path)
            for top in (self.home, self.root, self.outside)
            for path in [top, *top.rglob("*")]
            if path not in own and own.isdisjoint(path.parents)
        }

    def left(self) -> list[str]:
        """Command lines of processes that work in the tree, or name it, or say so in their environment."""
        return [line for pid, line in _processes() if pid != os.getpid() and str(self.tree) in line]

    def git(self, *words: str) -> str:
        """What git says of the hub's repository."""
        return git(*words, cwd=self.repository).decode("utf-8", "replace")

    def published(self) -> str:
        """Everything that is in the hub's repository, whatever leads to it, as text."""
        return self.git("cat-file", "--batch-all-objects", "--unordered", "--batch")

    def kept(self) -> str:
        """Everything that the attempts left on disk beside their trees, as text: what they went through, and git's."""
        files = (self.root / "attempts" / "1").glob("*")
        return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files if path.is_file())


def git(*words: str, cwd: Path) -> bytes:
    """Plain git, as a person would run it."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(["git", *who, *words], cwd=cwd, capture_output=True, check=True, env=own).stdout


def _look(path: Path) -> str:
    about = path.lstat()
    if stat.S_ISREG(about.st_mode):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        content = str(path.readlink()) if path.is_symlink() else ""
    return f"{oct(about.st_mode)} {about.st_uid} {content}"


def _processes() -> list[tuple[int, str]]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile, or is somebody else's
                parts = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
                found.append((int(entry.name), parts.replace(b"\0", b" ").decode("utf-8", "replace")))
    return found


@dataclass
class Heart:
    """A task of the event loop that must not miss a beat while somebody else's work is done."""

    beats: int = 0

    async def beat(self) -> None:
        while True:
            self.beats += 1
            await asyncio.sleep(0.001)


@asynccontextmanager
async def beating() -> AsyncIterator[Heart]:
    """A heart that beats until the block is over."""
    heart = Heart()
    task = asyncio.create_task(heart.beat())
    try:
        yield heart
    finally:
        task.cancel()
