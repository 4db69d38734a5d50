"""The scripted Ollama server of `apps.demo`, with everything that can go wrong, by name, and a strict end.

A turn of its script may be a `Fault`. What no client of ours may send is in `violations`: `serving` fails on those.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from apps.demo.loopback import Wire, listening
from apps.demo.ollama import (
    NAME,
    NDJSON,
    Answer,
    Asked,
    Known,
    OllamaServer,
    bill,
    line_of,
    said,
    words,
)

__all__ = ["NAME", "Answer", "Asked", "Fault", "Known", "OllamaServer", "bill", "serving"]

FaultName = Literal[
    "status",  # `status` with `error` as JSON, before any other byte
    "error_line",  # `error` in the stream, after a good status
    "no_done",  # the stream ends well, but without `done`
    "reset",  # the connection breaks in the middle
    "no_answer",  # it breaks before the first byte
    "half_line",  # the stream ends within a line
    "no_http",  # it answers, but not in HTTP
    "silent",  # nothing comes at all
    "silent_after_headers",
    "silent_midway",
    "raw",  # `raw` as it is, after what comes first, then the end
    "wrong_type",  # a page for people
    "redirect",
    "long_line",  # a line without an end
    "endless",  # lines without an end, all different
    "looping",  # the same line without an end
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, after `first` has been said (without its end)."""

    name: FaultName
    first: Answer = field(default_factory=Answer)
    status: int = 500
    error: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""

    async def play(self, server: OllamaServer, asked: Asked, wire: Wire) -> bool:
        await _FAULTS[self.name](server, self, asked, wire)
        return self.name == "status"


@asynccontextmanager
async def serving(server: OllamaServer):
    """`server` on a port of its own; fails at the end when it was asked what it must not be asked."""
    async with listening(server):
        yield server
    assert not server.violations, server.violations


# --- faults, by name --------------------------------------------------------------------------------------------------


async def _status(_server: OllamaServer, fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.json(fault.status, {"error": fault.error}, headers=fault.headers)


async def _begin(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    server.billed.append(bill(fault.first, asked))
    await wire.start(200, NDJSON)
    for line in words(fault.first, asked):
        await wire.chunk(line, fault.first.chunk)


async def _error_line(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.chunk(line_of({"error": fault.error}))
    await wire.finish()


async def _no_done(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.finish()


async def _reset(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)


async def _no_answer(_server: OllamaServer, _fault: Fault, _asked: Asked, _wire: Wire) -> None:
    return


async def _half_line(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.chunk(said(asked, content="the other half")[:-20])
    await wire.finish()


async def _no_http(_server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.send(b"220 mail.example.org ready for mail\r\n\r\n")


async def _silent(server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await _wait_for_the_end(server, wire)


async def _silent_after_headers(server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.start(200, NDJSON)
    await _wait_for_the_end(server, wire)


async def _silent_midway(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await _wait_for_the_end(server, wire)


async def _wait_for_the_end(server: OllamaServer, wire: Wire) -> None:
    server.said.set()
    await wire.until_hung_up()
    server.hung_up.set()


async def _raw(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.chunk(fault.raw)
    await wire.finish()


async def _wrong_type(_server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(200, b"<html>Please log in.</html>", kind="text/html")


async def _redirect(_server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(307, b"", headers={"Location": "/api/elsewhere"})


async def _long_line(_server: OllamaServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.start(200, NDJSON)
    while True:
        await wire.chunk(b" " * 500_000)


async def _endless(_server: OllamaServer, _fault: Fault, asked: Asked, wire: Wire) -> None:
    await wire.start(200, NDJSON)
    number = 0
    while True:
        words = " ".join(str(number + more) for more in range(50_000))
        await wire.chunk(said(asked, content=words))
        number += 50_000


async def _looping(server: OllamaServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    while True:
        await wire.chunk(said(asked, content="I will look at the file once more.\n"))


_FAULTS: Mapping[FaultName, Callable[[OllamaServer, Fault, Asked, Wire], Awaitable[None]]] = {
    "status": _status,
    "error_line": _error_line,
    "no_done": _no_done,
    "reset": _reset,
    "no_answer": _no_answer,
    "half_line": _half_line,
    "no_http": _no_http,
    "silent": _silent,
    "silent_after_headers": _silent_after_headers,
    "silent_midway": _silent_midway,
    "raw": _raw,
    "wrong_type": _wrong_type,
    "redirect": _redirect,
    "long_line": _long_line,
    "endless": _endless,
    "looping": _looping,
}
