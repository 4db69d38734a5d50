"""The processes that make a hub, and what there can be only one of: a data directory's owner, and a port's."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from apps.ops.child import Child
from apps.ops.pulse import DIRECTORY_VARIABLE, Pulse
from apps.ops.valkey import Plan

DEFAULT_PORT = 8000
PORTS_TRIED = 20
CLUSTERS = ("default", "thinking")
MANAGE = str(Path(__file__).resolve().parent.parent.parent / "manage.py")


class Occupied(Exception):
    """Another process has what this one needs; the message says which."""


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Own this data directory until the block ends, or the process does. Raises Occupied."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "run.lock").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise Occupied(
                f"A hub already runs on {data_dir} (process {owner}). Stop it, or set AGENTCOM_DATA_DIR to another."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def port_number(text: str) -> int:
    """A port that can be listened on. Raises ValueError."""
    number = int(text)
    if not 0 < number < 65_536:
        raise ValueError(text)
    return number


def is_free(bind: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise Occupied(f"Nothing can listen on {bind}: {error.strerror}.") from error
    return True


def choose_port(bind: str, wanted: int | None) -> int:
    """The wanted port, or the default one or the next free one after it. Raises Occupied."""
    if wanted is not None:
        if not is_free(bind, wanted):
            raise Occupied(f"Port {wanted} on {bind} is taken, or not open to this user.")
        return wanted
    for port in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        if is_free(bind, port):
            return port
    raise Occupied(
        f"Ports {DEFAULT_PORT} to {DEFAULT_PORT + PORTS_TRIED - 1} on {bind} are all taken; give one with --port."
    )


def local_url(bind: str, port: int) -> str:
    """How a browser on this machine reaches a server that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(bind, f"[{bind}]" if ":" in bind else bind)  # noqa: S104
    return f"http://{host}:{port}"


async def answers_http(url: str) -> bool:
    """Whether a web server answers anything at `url` (http://host:port)."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return (await reader.read(5)) == b"HTTP/"
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


class Answers:
    """Watches a web server: stuck when it has answered nothing for `silent_seconds`."""

    def __init__(
        self,
        url: str,
        *,
        ask_seconds: float = 10.0,
        silent_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url` as for `answers_http`."""
        self._url = url
        self._ask_seconds = ask_seconds
        self._silent_seconds = silent_seconds
        self._clock = clock
        self.started()

    def started(self) -> None:
        """The server is up: its silence counts from here."""
        self._asked = self._answered = self._clock()

    async def is_stuck(self) -> bool:
        """Ask when it is time."""
        now = self._clock()
        if now - self._asked < self._ask_seconds:
            return False
        self._asked = now
        if await answers_http(self._url):
            self._answered = now
        return now - self._answered > self._silent_seconds


def manage(*arguments: str) -> tuple[str, ...]:
    """The command line of one of our management commands."""
    return (sys.executable, MANAGE, *arguments)


def valkey_child(plan: Plan) -> Child:
    """The embedded Valkey; it comes first and goes last."""

    async def ready() -> bool:
        return await asyncio.to_thread(plan.answers)

    return Child("valkey", plan.command, stage=0, quiet=True, ready=ready)


def web_child(bind: str, port: int, *, redis_url: str, data_dir: Path) -> Child:
    """The web process: pages, API, sockets and git."""
    url = local_url(bind, port)

    async def ready() -> bool:
        return await answers_http(url)

    env = {"REDIS_URL": redis_url, "AGENTCOM_DATA_DIR": str(data_dir)}
    return Child(
        "web", manage("web", "--bind", bind, "--port", str(port)), stage=1, env=env, ready=ready, watch=Answers(url)
    )


def cluster_child(name: str, *, redis_url: str, data_dir: Path, ring: Callable[[str], object]) -> Child:
    """One job cluster, watched by its pulse; `ring(name)` queues a beat for it. It starts when the web is up."""
    directory = data_dir / "pulse" / name
    env = {
        "Q_CLUSTER_NAME": name,
        "REDIS_URL": redis_url,
        "AGENTCOM_DATA_DIR": str(data_dir),
        DIRECTORY_VARIABLE: str(directory),
    }
    watch = Pulse(directory, lambda: ring(name))
    return Child(f"jobs.{name}", manage("qcluster"), stage=2, env=env, watch=watch)


def hub_children(
    *, bind: str, port: int, data_dir: Path, redis_url: str, embedded: Plan | None, ring: Callable[[str], object]
) -> list[Child]:
    """Everything a hub consists of. `embedded` is the Valkey to start when `redis_url` is its URL."""
    first = [valkey_child(embedded)] if embedded else []
    clusters = [cluster_child(name, redis_url=redis_url, data_dir=data_dir, ring=ring) for name in CLUSTERS]
    return [*first, web_child(bind, port, redis_url=redis_url, data_dir=data_dir), *clusters]
