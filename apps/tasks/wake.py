"""Matching at once, in the process that committed: the quick one of the two speeds of reaction."""

from __future__ import annotations

import threading

from django.db import transaction

from apps.events.lanes import HOT


def match_after_commit() -> None:
    """Match once this transaction is committed. Its failure is logged and never the caller's: the sweep follows.

    Asked for again in the same transaction, once is enough: what a savepoint takes back, it takes back for all in it.
    """
    if not any(hook is _match for _, hook, _ in transaction.get_connection().run_on_commit):
        transaction.on_commit(_match, robust=True)


def _match() -> None:
    """One at a time in this process: two would reach for the same tasks, and one of them in vain."""
    from apps.tasks.matchmaking import match  # matchmaking stands above the verbs that wake it

    _wanted.set()
    if not _matching.acquire(blocking=False):
        return  # whoever has it sees to us
    try:
        _wanted.clear()
        match()
    finally:
        _matching.release()
    if _wanted.is_set():  # somebody committed meanwhile; not on this caller's time, or it might never get its answer
        HOT.soon(_match)


_wanted = threading.Event()
_matching = threading.Lock()
