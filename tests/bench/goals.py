"""How soon the hub turns to a goal and to its end, and what thinking costs on a hub with a long past.

What is waited for is looked for in the database itself, by a connection of the bench's own, every few milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.load import HELLO
from tests.hub import Hub

_JUDGED = (
    "EXISTS (SELECT 1 FROM goals_merge m JOIN goals_goal g ON g.id = m.goal_id "
    "WHERE m.\"commit\" = '{}' AND g.status = 'verifying')"
)
Say = Callable[..., float]
LOOK_SECONDS = 0.002
PATIENCE_SECONDS = 30.0
VERIFIER = json.dumps({**json.loads(HELLO), "executors": ["verify"]})


class Watch:
    """Looks into the hub's database from outside."""

    def __init__(self, hub: Hub) -> None:
        url = hub.env.get("DATABASE_URL", "")
        self._base: Any = (
            psycopg.connect(url, autocommit=True)
            if url
            else sqlite3.connect(hub.data_dir / "hub.sqlite3", isolation_level=None, timeout=PATIENCE_SECONDS)
        )

    def is_so(self, condition: str) -> bool:
        """Whether the SQL condition holds now."""
        return bool(self._base.execute(f"SELECT 1 WHERE {condition}").fetchone())

    def until(self, condition: str) -> float:
        """Wait for it; the moment, in monotonic seconds."""
        ends = time.perf_counter() + PATIENCE_SECONDS
        while not self.is_so(condition):
            if time.perf_counter() > ends:
                raise TimeoutError(condition)
            time.sleep(LOOK_SECONDS)
        return time.perf_counter()

    def put_to_rest(self) -> None:
        """Let the hub rest, which it does by itself within a minute, and look for nothing to improve."""
        self._base.execute("UPDATE brain_brain SET status = 'resting', next_look_at = '2100-01-01 00:00:00+00:00'")

    def close(self) -> None:
        self._base.close()


def turning_to(say: Say, hub: Hub, *, runs: int, times: int) -> None:
    """From just before the POST of a goal until the hub is executing, from a rest each time."""
    hub.shell("from tests.bench import past; past.repository(); print('ok')")
    watch = Watch(hub)
    _turned(hub, watch)  # the clusters are up
    taken = [sorted(_turned(hub, watch) for _ in range(times)) for _ in range(runs)]
    watch.close()
    say("goal: POST to the hub executing, p50", [run[len(run) // 2] for run in taken], "ms")
    say("goal: POST to the hub executing, the slowest", [run[-1] for run in taken], "ms")


def _turned(hub: Hub, watch: Watch) -> float:
    watch.until("NOT EXISTS (SELECT 1 FROM django_q_ormq)")
    watch.put_to_rest()
    began = time.perf_counter()
    goal = hub.post("/api/goals", {"title": "Measured", "repo": "bench"})["id"]
    ended = watch.until("EXISTS (SELECT 1 FROM brain_brain WHERE status = 'executing')")
    hub.post(f"/api/goals/{goal}/cancel")
    return (ended - began) * 1000


def turning_to_the_end(say: Say, hub: Hub, agent: tuple[str, str], *, runs: int, times: int) -> None:
    """From the report on the last slice's merged tree until the goal is to be judged, one goal after another."""
    taken = []
    for _ in range(runs):
        trees: dict[str, str] = json.loads(hub.shell(f"from tests.bench import past; past.nearly_done({times})"))
        taken.append(sorted(asyncio.run(_ends(hub, agent[1], trees))))
    say("goal: last slice proven to being judged, p50", [run[len(run) // 2] for run in taken], "ms")
    say("goal: last slice proven to being judged, the slowest", [run[-1] for run in taken], "ms")


async def _ends(hub: Hub, secret: str, trees: dict[str, str]) -> list[float]:
    url = f"ws://{hub.host}:{hub.port}/agent"
    watch, taken = Watch(hub), []
    headers = {"Authorization": f"Bearer {secret}"}
    async with asyncio.timeout(PATIENCE_SECONDS * 4), connect(url, additional_headers=headers, proxy=None) as socket:
        await socket.send(VERIFIER)
        async for raw in socket:
            frame = json.loads(raw)
            if frame["type"] == "task.assign":
                began = await _proven(socket, frame, trees[frame["commit"]])
                taken.append((watch.until(_JUDGED.format(frame["commit"])) - began) * 1000)
                if len(taken) == len(trees):
                    break
    watch.close()
    return taken


async def _proven(socket: ClientConnection, frame: dict[str, Any], tree: str) -> float:
    """Say that every check passed on the merged tree; the moment just before."""
    checks = [{"type": check["type"], "target": check["target"], "status": "pass"} for check in frame["checks"]]
    report = {"status": "pass", "checks": checks, "commit": frame["commit"], "tree": tree, "sandbox": "bubblewrap"}
    about = {"task": frame["task"], "attempt": frame["attempt"]}
    await socket.send(json.dumps({"type": "task.accepted", **about}))
    began = time.perf_counter()
    await socket.send(json.dumps({"type": "task.completed", **about, "result": {}, "reports": [report]}))
    return began


def thinking(say: Say, hub: Hub, *, runs: int, times: int, goals: int, events: int) -> None:
    """One `think` of a hub that stays where it is: with nothing behind it, and with a long past."""
    hub.shell("from tests.bench import past; past.repository(); print('ok')")
    empty = say("think, nothing behind it", _thoughts(hub, runs, times), "ms")
    hub.shell(f"from tests.bench import past; past.long({goals}, {events}); print('ok')")
    full = say(f"think, {goals:,} goals and {events:,} events behind it", _thoughts(hub, runs, times), "ms")
    print(f"  {'':<52} {full / empty:8.2f} times slower than with nothing")


def _thoughts(hub: Hub, runs: int, times: int) -> list[float]:
    """The median of each run, in milliseconds."""
    look = f"from tests.bench import past; past.thoughts({times})"
    return [statistics.median(json.loads(hub.shell(look))) for _ in range(runs)]
