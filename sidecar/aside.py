"""Reading what may hang in the kernel, as a disk that is far away or a driver: in a thread, beside all else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """One such reading, done again and again; never twice at once, for a thread that hangs cannot be ended."""

    def __init__(self, read: Callable[[], T], otherwise: T) -> None:
        """`read` runs in a thread of its own; `otherwise` is the answer while there is none."""
        self._read = read
        self._otherwise = otherwise
        self._reading: asyncio.Future[T] | None = None

    async def get(self, seconds: float) -> T:
        """What `read` gives within `seconds`, or `otherwise`. Raises what `read` raised."""
        if self._reading is None:
            self._reading = asyncio.wrap_future(_begin(self._read))
        await asyncio.wait({self._reading}, timeout=seconds)
        if not self._reading.done():
            return self._otherwise
        done, self._reading = self._reading, None
        return done.result()


def _begin(read: Callable[[], T]) -> Future[T]:
    """Not the loop's own pool: a process that leaves waits for the threads of that one, for ever if they hang."""
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # from here on it cannot be cancelled, so that its end can always be told

    def run() -> None:
        try:
            done.set_result(read())
        except Exception as problem:  # noqa: BLE001  told to whoever waits
            done.set_exception(problem)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return done
