"""Database lanes: the few threads of a web process that talk to the database, each with one lasting connection.

Django under ASGI makes a thread, and so a connection, for every request. SQLite wants one persistent writer; PostgreSQL
wants a handful of persistent connections. So the sidecars' door and REST share the hot lanes, and pages and admin have
one of their own, where a slow page holds up nobody's work.

On SQLite, what comes in numbers is committed together (a group commit): a commit waits for the disk, and one wait is as
good for twenty as for one. Nobody gets an answer before the commit that holds its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections, transaction

P = ParamSpec("P")
T = TypeVar("T")

logger = structlog.get_logger(__name__)
MOST_TOGETHER = 32
CONNECTION_CHECK_SECONDS = 1.0


@dataclass(eq=False)
class _Job:
    """A piece of work, and who waits for it on which loop."""

    work: Callable[[], Any]
    shared: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001  it belongs to whoever waits
            self.error = error

    def answer(self) -> None:
        """On the loop. Whoever waited may have been cancelled; the work is done all the same."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Lane:
    """One thread. `together`: work that may share a transaction does, when more than one piece of it waits."""

    def __init__(self, name: str, *, together: bool) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._together = together
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._looked_after = -math.inf

    def put(self, job: _Job) -> None:
        """Work of one caller that waits for each answer keeps its order; so does everything that does not share."""
        with self._lock:
            self._waiting.append(job)
            first = len(self._waiting) == 1
        if first:  # the others go along with it
            self.thread.submit(self._take)

    def _take(self) -> None:
        with self._lock:
            jobs, self._waiting = self._waiting, []
        try:
            self._look_after_connection()
        except Exception as error:  # noqa: BLE001  whoever waits must hear of it, or would wait for ever
            _fail(jobs, error)
            return
        shared = [job for job in jobs if job.shared] if self._together else []
        if len(shared) > 1:
            jobs = [job for job in jobs if not job.shared]
            for start in range(0, len(shared), MOST_TOGETHER):
                _run_together(shared[start : start + MOST_TOGETHER])
        for job in jobs:
            _run_alone(job)

    def _look_after_connection(self) -> None:
        """Have Django end a connection that is old or broken. To ask the server itself costs as much as a statement."""
        now = time.monotonic()
        broken = connections[DEFAULT_DB_ALIAS].errors_occurred
        if broken or now - self._looked_after > CONNECTION_CHECK_SECONDS:
            self._looked_after = now
            close_old_connections()


def _logged(work: Callable[[], object]) -> None:
    try:
        work()
    except Exception:
        logger.exception("work on a lane failed")


def _run_alone(job: _Job) -> None:
    job.run()
    _answer([job])


def _run_together(jobs: Sequence[_Job]) -> None:
    """In one transaction, each behind a savepoint of its own, so that what fails undoes only itself."""
    try:
        with transaction.atomic():
            for job in jobs:
                job.work = partial(_behind_savepoint, job.work)
                job.run()
    except BaseException as error:  # noqa: BLE001  nothing of any of them is there
        _fail(jobs, error)
        return
    _answer(jobs)


def _behind_savepoint(work: Callable[[], T]) -> T:
    with transaction.atomic():
        result = work()
        # If it swallowed an error of the database, this savepoint will be undone and its answer would be a lie.
        transaction.get_connection().validate_no_broken_transaction()
        return result


def _fail(jobs: Sequence[_Job], error: BaseException) -> None:
    for job in jobs:
        job.error = error
    _answer(jobs)


def _answer(jobs: Sequence[_Job]) -> None:
    for loop in {job.future.get_loop() for job in jobs}:
        mine = [job for job in jobs if job.future.get_loop() is loop]
        with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits any more
            loop.call_soon_threadsafe(_answer_on_loop, mine)


def _answer_on_loop(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.answer()


class Lanes:
    """`count` threads; work with the same `key` always runs on the same one."""

    def __init__(self, name: str, count: int, *, together: bool = False) -> None:
        self._lanes = [Lane(f"{name}-{n}", together=together) for n in range(count)]
        self._next = 0

    def in_turn(self) -> int:
        """A key for work that may run on any lane."""
        self._next += 1
        return self._next

    def pick(self, key: int | None = None) -> Lane:
        """The lane of `key`, or the next one in turn."""
        return self._lanes[(self.in_turn() if key is None else key) % len(self._lanes)]

    async def run(self, key: int | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking `work` on a lane. Work that has begun is finished even when the caller is cancelled."""
        return await self._run(key, False, partial(work, *args, **kwargs))

    async def share(self, key: int | None, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for work that comes in numbers, is short, and writes: it may be committed with others."""
        return await self._run(key, True, partial(work, *args, **kwargs))

    def soon(self, work: Callable[[], object]) -> None:
        """Run `work` on a lane when its turn comes, from any thread. Nobody waits for it; its failure is logged."""
        self.pick().thread.submit(_logged, work)

    async def _run(self, key: int | None, shared: bool, work: Callable[[], T]) -> T:
        job = _Job(work, shared, asyncio.get_running_loop().create_future())
        self.pick(key).put(job)
        found: T = await job.future
        return found


_ON_SQLITE = settings.DATABASES["default"]["ENGINE"].endswith("sqlite3")
HOT = Lanes("hot", 1 if _ON_SQLITE else settings.DATABASE_LANES, together=_ON_SQLITE)
PAGES = Lanes("pages", 1)
GIT = Lanes("git", 1)
