"""The server of the scripted players: an Ollama without a model, who plays a part by the end of the task's title."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from apps.demo import player as demo
from apps.demo.acting import next_act, seen_in
from apps.demo.loopback import listening
from apps.demo.ollama import NAME, Answer, Asked, OllamaServer
from tests.eval.acting import Part
from tests.eval.casts import CASTS
from tests.eval.tasks import TAG, every

MODEL = NAME
ORACLE = "oracle"


def play(asked: Asked) -> Answer:
    """The next answer of whoever plays here; the trial of a sidecar is passed as the demonstration's player does."""
    first = next(str(message["content"]) for message in asked.messages if message["role"] == "user")
    part = part_of(first)
    if part is None:
        return demo.play(asked)
    act = next_act(part(first), seen_in(asked.messages))
    return Answer(text=act.words, calls=[{"name": act.tool, "arguments": dict(act.arguments)}], piece=200)


def part_of(task: str) -> Part | None:
    """Who plays: the one whom the title's end names, or the oracle of the task of that title; None for no task here."""
    title = task.partition("\n")[0]
    if found := TAG.search(title):
        return named(found[1], found[2])
    known = {f"# {one.title}": one.name for one in every()}
    return CASTS[known[title]].oracle if title in known else None


def named(task: str, player: str) -> Part:
    """`oracle`, or the number of a cheat, counted from 1."""
    cast = CASTS[task]
    return cast.oracle if player == ORACLE else cast.cheats[int(player) - 1].part


@contextmanager
def players() -> Iterator[OllamaServer]:
    """The server, in a thread of its own, until the block ends; AssertionError when it was sent what it must not be."""
    server = OllamaServer(player=play)
    loop = asyncio.new_event_loop()
    up: Future[None] = Future()
    over = asyncio.Event()

    async def serve() -> None:
        async with listening(server):
            up.set_result(None)
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except Exception as problem:  # the one who waits for `up` has to hear of it
            if up.done():
                raise
            up.set_exception(problem)
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="players", daemon=True)
    thread.start()
    up.result(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
    wrong = sorted({re.sub(r"\d+", "n", one) for one in server.violations})
    assert not wrong, f"a sidecar sent what it must not: {wrong}"
