"""Threads with a database connection each, which do what they are given at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

TOGETHER_SECONDS = 30.0


class Crew:
    """`size` threads, as so many web processes and clusters."""

    def __init__(self, size: int) -> None:
        self._threads = [ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"crew-{n}") for n in range(size)]

    def do(self, works: Sequence[Callable[[], object]]) -> None:
        """Run one of `works` on each thread, all starting together; the first error rises when all have ended."""
        barrier = threading.Barrier(len(works))

        def at_once(work: Callable[[], object]) -> None:
            connection.ensure_connection()
            barrier.wait(TOGETHER_SECONDS)
            work()

        pairs = zip(self._threads, works, strict=False)
        ended = [thread.submit(at_once, work) for thread, work in pairs]
        errors = [error for future in ended if (error := future.exception(TOGETHER_SECONDS))]
        if errors:
            raise errors[0]

    def restart(self) -> None:
        """Every thread loses its connection, as when its process is started again."""
        for thread in self._threads:
            thread.submit(_hang_up).result(TOGETHER_SECONDS)

    def dismiss(self) -> None:
        """End the threads and their connections."""
        self.restart()
        for thread in self._threads:
            thread.shutdown()


def _hang_up() -> None:
    """In the thread whose connection it is: each thread has one of its own under this name."""
    connection.close()
