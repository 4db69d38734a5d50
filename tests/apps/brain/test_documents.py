"""The hub's state machine as a document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.brain import actions
from apps.brain.documents import SNAPSHOT
from apps.brain.lifecycle import State
from apps.events.documents import UNWRITABLE, Unreadable, read, write
from tests import rest

STATES = st.sampled_from(list(map(str, State)))
COUNTS = st.integers(0, 2**63 - 1)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # they are of UTC
SECONDS = st.floats(0, 10**9)


def line() -> Any:
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(alphabet, min_size=1, max_size=40).filter(lambda given: not UNWRITABLE.search(given))


BUDGETS = st.fixed_dictionaries(
    {"period": line(), "measure": line(), "used": COUNTS, "limit": COUNTS},
    optional={"state": STATES, "enforced": st.booleans()},
)
MOVES = st.fixed_dictionaries(
    {"number": COUNTS, "to": STATES, "at": MOMENTS},
    optional={"came_from": STATES, "seconds": SECONDS, "alarm": st.booleans(), "reason": line()},
)
SNAPSHOTS = st.fixed_dictionaries(
    {"state": STATES, "since": MOMENTS, "snapshot_at": MOMENTS},
    optional={
        "reason": line(),
        "next": STATES,
        "holds": st.lists(line(), min_size=1, max_size=3),
        "budgets": st.lists(BUDGETS, min_size=1, max_size=3),
        "transition_history": st.lists(MOVES, min_size=1, max_size=3),
        "pause": st.fixed_dictionaries({"since": MOMENTS}, optional={"by": line(), "reason": line()}),
        **dict.fromkeys(["cycle_count", "transition_count", "pending", "active", "waiting", "critical"], COUNTS),
    },
)


@given(SNAPSHOTS)
def test_a_snapshot_comes_back_as_it_was_written(snapshot):
    assert snapshot == read(write(snapshot, SNAPSHOT), SNAPSHOT)


@pytest.mark.parametrize(
    "document",
    [
        b"<fsm-snapshot/>",
        b'<fsm-snapshot state="dreaming" since="2026-01-01T00:00:00Z" snapshot-at="2026-01-01T00:00:00Z"/>',
        b'<fsm-snapshot state="resting" since="yesterday" snapshot-at="2026-01-01T00:00:00Z"/>',
        b'<!DOCTYPE x><fsm-snapshot state="resting" since="2026-01-01T00:00:00Z" snapshot-at="2026-01-01T00:00:00Z"/>',
    ],
)
def test_what_is_no_snapshot_is_refused(document):
    with pytest.raises(Unreadable):
        read(document, SNAPSHOT)


def test_the_hub_as_it_is_is_a_document(db):
    actions.pause(by="ann", reason="Holiday.")

    answer = rest.integration("brain:read").get("/api/brain/snapshot.xml")

    assert (200, "application/xml") == (answer.status_code, answer["Content-Type"])
    found = read(answer.content, SNAPSHOT)
    assert ("resting", 0, 0) == (found["state"], found["transition_count"], found["pending"])
    assert ("ann", "Holiday.") == (found["pause"]["by"], found["pause"]["reason"])
    assert ["resting"] == [move["to"] for move in found["transition_history"]]
    assert {"executing", "improving", "contemplating", "healing"} <= {
        budget.get("state") for budget in found["budgets"]
    }
