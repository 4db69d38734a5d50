from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.events import hints
from apps.ledger import prices
from apps.ledger.models import Budget
from tests.apps.ledger import till


@pytest.fixture
def ledger(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The prices of the data file, which a test of real transactions empties, no budget but what a test sets, and in
    the end books that are right."""
    monkeypatch.setattr(hints, "send", lambda _: None)
    prices.load()
    Budget.objects.all().delete()
    yield
    assert [] == till.faults()
