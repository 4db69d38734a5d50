"""A model server's socket: HTTP/1.1 on loopback, as little of it as one honest client needs, and faults on purpose."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

JSON = "application/json; charset=utf-8"

Headers = Mapping[str, str]


@dataclass(frozen=True)
class HttpRequest:
    """One request; the names of `headers` are in lower case."""

    method: str
    path: str
    headers: Headers
    content: bytes

    def json(self) -> Any:
        """The body; None when there is none."""
        return json.loads(self.content) if self.content else None


class LoopbackServer(ABC):
    """Speaks at `url` while `listening` holds it; `hung_up` is set when a client has gone before the answer's end."""

    def __init__(self) -> None:
        self.url = ""
        self.hung_up = asyncio.Event()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @abstractmethod
    async def answer(self, asked: HttpRequest, wire: Wire) -> bool:
        """True when the connection can be used again."""

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes on one connection until its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        wire = Wire(reader, writer)
        try:
            while (asked := await wire.request()) is not None:
                if not await self.answer(asked, wire):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        except asyncio.CancelledError:  # by hang_up; asyncio would log a connection that ends cancelled
            return
        finally:
            writer.close()

    async def hang_up(self) -> None:
        """Close every connection, whatever is still being thought about, and raise what went wrong in a player."""
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        for ended in await asyncio.gather(*self._connections, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended


Server = TypeVar("Server", bound=LoopbackServer)


@asynccontextmanager
async def listening(server: Server, port: int = 0) -> AsyncIterator[Server]:
    """`server` at `server.url`, on this port, or on one of its own."""
    listener = await asyncio.start_server(server.connected, "127.0.0.1", port)
    host, port = listener.sockets[0].getsockname()
    server.url = f"http://{host}:{port}"
    try:
        yield server
    finally:
        listener.close()
        await server.hang_up()


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> HttpRequest | None:
        """The next request on this connection, None when there is none."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        first, *rest = head.decode("latin-1").strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        content = await self._reader.readexactly(int(headers.get("content-length", "0")))
        return HttpRequest(method, path, headers, content)

    async def json(
        self, status: int, value: Mapping[str, Any], *, kind: str = JSON, headers: Headers | None = None
    ) -> None:
        """A whole answer, as JSON."""
        await self.whole(status, json.dumps(value).encode(), kind=kind, headers=headers)

    async def whole(self, status: int, content: bytes, *, kind: str = JSON, headers: Headers | None = None) -> None:
        """An answer of a known length."""
        await self._head(status, {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})})
        await self.send(content)

    async def start(self, status: int, kind: str, headers: Headers | None = None) -> None:
        """The head of an answer that comes in chunks, until `finish`."""
        await self._head(status, {"Content-Type": kind, "Transfer-Encoding": "chunked", **(headers or {})})

    async def chunk(self, content: bytes, size: int | None = None) -> None:
        """One chunk, or chunks of `size` bytes wherever that cuts it."""
        size = size or max(1, len(content))
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            await self.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    async def finish(self) -> None:
        """The end of an answer in chunks."""
        await self.send(b"0\r\n\r\n")

    async def send(self, content: bytes) -> None:
        """These bytes, whatever they are."""
        self._writer.write(content)
        await self._writer.drain()

    async def until_hung_up(self) -> None:
        """Until the client closes the connection."""
        with suppress(ConnectionError):
            while await self._reader.read(4096):
                pass

    async def _head(self, status: int, headers: Headers) -> None:
        lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode("ascii"))
