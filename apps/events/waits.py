"""Rows that wait for rows, whatever room they are of: never in a circle, and changed by one process at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from django.db import connection


def reaches(start: int, end: int, before: Callable[[Collection[int]], Iterable[int]]) -> bool:
    """Whether `start` waits, directly or not, for `end`; `before` gives what any of some rows wait for."""
    seen: set[int] = set()
    front = {start}
    while front:
        seen |= front
        front = set(before(front)) - seen
        if end in front:
            return True
    return False


def one_at_a_time(lock: int) -> None:
    """Until this transaction ends nobody else passes the same lock. SQLite has one writer anyway.

    Two edges added at once could close a circle that neither sees.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [lock])
