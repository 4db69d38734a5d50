"""Matching at once, in the process that committed: the quick one of the two speeds of reaction."""

from __future__ import annotations

from django.db import transaction


def match_after_commit() -> None:
    """Match once this transaction is committed. Its failure is logged and never the caller's: the sweep follows."""
    transaction.on_commit(_match, robust=True)


def _match() -> None:
    from apps.tasks.matchmaking import match  # matchmaking stands above the verbs that wake it

    match()
