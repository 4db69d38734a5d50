"""django-q2's ORM broker with a doorbell: a job starts milliseconds after the commit that queued it.

The row is the truth, written in the caller's transaction. After the commit a bell is rung on Redis, which a waiting
cluster hears at once; a bell that is lost, or a Redis that is away, costs one poll.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

import redis
from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

RING_SECONDS = 0.5
"""The longest a commit waits for Redis; after that the bell stays silent for a while."""
SILENCE_SECONDS = 5.0
LONGEST_QUEUE_OF_BELLS = 100


class Bell:
    """Wakes a cluster that waits for jobs. Never raises: without it there is the poll."""

    def __init__(self, url: str, *, longest_wait: float) -> None:
        """`url` as in REDIS_URL, empty for no bell; `longest_wait` in seconds."""
        self._ringing: redis.Redis | None = None
        self._listening: redis.Redis | None = None
        self._silent_until = 0.0
        if url:
            limits = {"socket_connect_timeout": RING_SECONDS, "retry": Retry(NoBackoff(), 0)}
            self._ringing = redis.Redis.from_url(url, socket_timeout=RING_SECONDS, **limits)
            self._listening = redis.Redis.from_url(url, socket_timeout=longest_wait + RING_SECONDS, **limits)

    def ring(self, queue: str) -> None:
        """Wake one waiting cluster of `queue`."""
        if self._ringing is None or time.monotonic() < self._silent_until:
            return
        try:
            with self._ringing.pipeline(transaction=False) as pipe:
                pipe.lpush(name(queue), 1)
                pipe.ltrim(name(queue), 0, LONGEST_QUEUE_OF_BELLS)
                pipe.execute()
        except redis.RedisError as error:
            self._rest("not rung", error)

    def wait(self, queue: str, seconds: float) -> None:
        """Return when the bell rings, or after `seconds`."""
        ends = time.monotonic() + seconds
        if self._listening is not None and time.monotonic() >= self._silent_until:
            try:
                self._listening.brpop([name(queue)], timeout=seconds)
            except redis.RedisError as error:
                self._rest("not heard", error)
            else:
                return
        time.sleep(max(0.0, ends - time.monotonic()))

    def _rest(self, what: str, error: redis.RedisError) -> None:
        """Leave a Redis that is away alone for a while, so that nobody waits for it at every commit."""
        self._silent_until = time.monotonic() + SILENCE_SECONDS
        logger.warning("the doorbell was %s", what, extra={"action": "doorbell", "error": str(error)})


def name(queue: str) -> str:
    """The Redis key of a queue's bell."""
    return f"agentcom:bell:{Conf.PREFIX}:{queue}"


@functools.cache
def bell(url: str) -> Bell:
    """One bell per process: its connections are kept."""
    return Bell(url, longest_wait=Conf.POLL)


class Doorbell(ORM):  # type: ignore[misc] # django-q2 ships no types
    """The broker named in Q_CLUSTER."""

    def enqueue(self, task: str) -> Any:
        """Write the row in the caller's transaction; ring when it is committed."""
        key = super().enqueue(task)
        queue = self.list_key or Conf.CLUSTER_NAME
        transaction.on_commit(lambda: bell(settings.REDIS_URL).ring(queue), using=Conf.ORM, robust=True)
        return key

    def dequeue(self) -> list[tuple[int, str]] | None:
        """The next due jobs, each locked for `retry` seconds; waits for the bell or one poll when there are none."""
        try:
            claimed = self._claim()
        except OperationalError:  # django-q2 would let its pusher die, and ten seconds pass
            logger.warning("the job queue cannot be read", extra={"action": "dequeue"}, exc_info=True)
            time.sleep(Conf.POLL)
            return None
        if not claimed:
            bell(settings.REDIS_URL).wait(self.list_key, Conf.POLL)
        return claimed

    def _claim(self) -> list[tuple[int, str]]:
        rows = self.get_connection()
        due = rows.filter(key=self.list_key, lock__lt=timezone.now()).order_by("lock", "pk")[: Conf.BULK]
        return [
            (job.pk, job.payload)
            for job in due
            if rows.filter(pk=job.pk, lock=job.lock).update(lock=self.timeout(job))  # zero: another cluster was faster
        ]
