"""The load: raw HTTP posts and simulated sidecars, cheap enough that the hub is what is measured.

Everything stays on loopback and ends by itself: so many tasks, so many agents, so many seconds at most.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect

HELLO = json.dumps(
    {
        "type": "hello",
        "version": 1,
        "software": "bench",
        "executors": ["shell"],
        "capabilities": [],
        "sandbox": {"level": "bubblewrap"},
    }
)


class Poster:
    """One kept-alive HTTP/1.1 connection that posts tasks; a general client would cost as much as the hub."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._at = (host, port)
        self._head = (
            f"POST /api/tasks HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    async def open(self) -> Poster:
        self._reader, self._writer = await asyncio.open_connection(*self._at)
        return self

    async def post(self, **task: object) -> int:
        """Submit one task; its id."""
        body = json.dumps({"title": "bench", "command": "true", **task}).encode()
        self._writer.write(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)
        status = await self._reader.readline()
        length = 0
        while (line := await self._reader.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answer = await self._reader.readexactly(length)
        if b" 201 " not in status:
            raise RuntimeError(f"{status!r} {answer[:300]!r}")
        return int(json.loads(answer)["id"])

    def close(self) -> None:
        self._writer.close()


@dataclass
class Tally:
    """What the simulated sidecars saw: when each task was pushed (monotonic seconds), and how many were settled."""

    pushed: dict[int, float] = field(default_factory=dict)
    settled: set[int] = field(default_factory=set)
    by_agent: dict[str, int] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


async def sidecar(url: str, name: str, token: str, tally: Tally) -> None:
    """Accept and complete whatever comes, at once, until cancelled."""
    async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as socket:
        await socket.send(HELLO)
        async for raw in socket:
            await _react(socket, name, json.loads(raw), tally)


async def _react(socket: ClientConnection, name: str, frame: dict[str, object], tally: Tally) -> None:
    about = f'"task":{frame.get("task")},"attempt":{frame.get("attempt")}'
    if frame["type"] == "task.assign":
        tally.pushed[int(str(frame["task"]))] = time.perf_counter()
        await socket.send(f'{{"type":"task.accepted",{about}}}')
        await socket.send(f'{{"type":"task.completed",{about},"result":{{}},"reports":[]}}')
    elif frame["type"] == "task.settled":
        tally.settled.add(int(str(frame["task"])))
        tally.by_agent[name] = tally.by_agent.get(name, 0) + 1
    tally.changed.set()


async def until(tally: Tally, tasks: set[int], seconds: float) -> None:
    """Wait until these tasks are settled; TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not tasks <= tally.settled:
            tally.changed.clear()
            await tally.changed.wait()


async def lifecycles(
    host: str, ports: Sequence[int], agents: dict[str, str], token: str, tasks: int, *, posters: int = 4, lane: str
) -> float:
    """Tasks submitted, assigned, accepted, completed and settled per second, submitting and working at once.

    With a backlog behind them the agents also take from it whenever they are ahead of the posts; that counts too.
    """
    tally = Tally()
    urls = [f"ws://{host}:{port}/agent" for port in ports]
    crew = [
        asyncio.create_task(sidecar(urls[n % len(urls)], name, secret, tally))
        for n, (name, secret) in enumerate(agents.items())
    ]
    try:
        await asyncio.sleep(2)
        posts = [await Poster(host, ports[n % len(ports)], token).open() for n in range(posters)]
        before, started = len(tally.settled), time.perf_counter()
        posted = await asyncio.gather(*[_post_many(poster, tasks // posters, lane) for poster in posts])
        await until(tally, set().union(*posted), 300)
        return (len(tally.settled) - before) / (time.perf_counter() - started)
    finally:
        for one in crew:
            one.cancel()
        await asyncio.gather(*crew, return_exceptions=True)


async def _post_many(poster: Poster, count: int, lane: str) -> set[int]:
    ids = {await poster.post(priority=lane) for _ in range(count)}
    poster.close()
    return ids


async def latencies(host: str, port: int, agent: tuple[str, str], token: str, tasks: int) -> list[float]:
    """Milliseconds from just before the POST until `task.assign` is at an idle agent, one task at a time."""
    tally = Tally()
    worker = asyncio.create_task(sidecar(f"ws://{host}:{port}/agent", *agent, tally))
    try:
        await asyncio.sleep(1.5)
        poster = await Poster(host, port, token).open()
        found: list[float] = []
        for _ in range(tasks):
            started = time.perf_counter()
            pk = await poster.post(priority="urgent")
            await until(tally, {pk}, 30)
            found.append((tally.pushed[pk] - started) * 1000)
        poster.close()
        return found
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def idle(host: str, port: int, agents: dict[str, str], seconds: float) -> None:
    """That many connected sidecars that do nothing but heartbeat when asked to."""

    async def quiet(secret: str) -> None:
        target = f"ws://{host}:{port}/agent"
        async with connect(target, additional_headers={"Authorization": f"Bearer {secret}"}, proxy=None) as socket:
            await socket.send(HELLO)
            every = json.loads(await socket.recv())["idle_seconds"]
            while True:
                with_timeout = asyncio.wait_for(socket.recv(), every)
                try:
                    await with_timeout
                except TimeoutError:
                    await socket.send('{"type":"heartbeat"}')

    crew = [asyncio.create_task(quiet(secret)) for secret in agents.values()]
    try:
        await asyncio.sleep(seconds)
    finally:
        for one in crew:
            one.cancel()
        await asyncio.gather(*crew, return_exceptions=True)
