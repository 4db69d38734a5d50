"""Matching after a commit: once for all who committed, one at a time, and nobody is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import transaction

from apps.events.lanes import HOT
from apps.tasks import matchmaking, wake


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A word for every match."""
    found: list[str] = []
    monkeypatch.setattr(matchmaking, "match", lambda: found.append("matched"))
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What was left to a lane."""
    left: list[Callable[[], object]] = []
    monkeypatch.setattr(HOT, "soon", left.append)
    return left


@pytest.mark.django_db(transaction=True)
def test_a_transaction_that_asks_often_is_matched_once_and_after_its_commit(matched: list[str]) -> None:
    with transaction.atomic():
        wake.match_after_commit()
        with transaction.atomic():
            wake.match_after_commit()
        assert [] == matched

    assert ["matched"] == matched


@pytest.mark.django_db(transaction=True)
def test_what_was_asked_for_in_a_savepoint_that_is_undone_is_not_done(matched: list[str]) -> None:
    with transaction.atomic():
        savepoint = transaction.savepoint()
        wake.match_after_commit()
        transaction.savepoint_rollback(savepoint)
        assert [] == matched
        wake.match_after_commit()

    assert ["matched"] == matched


def test_who_commits_during_a_match_is_seen_to_by_another_one_on_a_lane(
    monkeypatch: pytest.MonkeyPatch, later: list[Callable[[], object]]
) -> None:
    found: list[str] = []

    def match() -> None:
        found.append("matched")
        if len(found) == 1:  # two others commit meanwhile; neither waits
            for _ in range(2):
                other = threading.Thread(target=wake._match)
                other.start()
                other.join(10)
                assert not other.is_alive()

    monkeypatch.setattr(matchmaking, "match", match)
    wake._match()

    assert (["matched"], [wake._match]) == (found, later)
    later.pop()()
    assert (["matched", "matched"], []) == (found, later)


def test_a_match_that_fails_leaves_the_place_to_the_next(
    monkeypatch: pytest.MonkeyPatch, matched: list[str], later: list[Callable[[], object]]
) -> None:
    def fail() -> None:
        raise ConnectionError

    with monkeypatch.context() as broken:
        broken.setattr(matchmaking, "match", fail)
        with pytest.raises(ConnectionError):
            wake._match()
    wake._match()

    assert (["matched"], []) == (matched, later)
