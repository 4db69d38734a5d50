"""The lifecycles of the ledger are whole."""

from __future__ import annotations

import pytest

from apps.events.lifecycle import Lifecycle
from apps.ledger.lifecycle import ALLOWANCE, CHARGE

each = pytest.mark.parametrize("one", [CHARGE, ALLOWANCE], ids=["charge", "allowance"])


@each
def test_every_status_is_reached_and_leads_to_the_end(one: Lifecycle) -> None:
    reached = {move.target for move in one.moves if move.source is None}
    ends = set(one.final)
    for _ in one.statuses:
        reached |= {move.target for move in one.moves if move.source in reached}
        ends |= {move.source for move in one.moves if move.target in ends and move.source is not None}

    assert set(one.statuses) == reached == ends


@each
def test_what_is_final_stays_and_no_move_is_there_twice(one: Lifecycle) -> None:
    steps = [(move.source, move.target) for move in one.moves]

    assert len(steps) == len(set(steps))
    assert not one.final & {source for source, _ in steps}
