"""What migrations make of rows that were written before them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.apps.ledger import till

pytestmark = pytest.mark.django_db(transaction=True)


def migrated(name: str) -> Apps:
    """The models as they were after that migration, which the database stands at."""
    executor = MigrationExecutor(connection)
    executor.migrate([("ledger", name)])
    return executor.loader.project_state([("ledger", name)]).apps


@pytest.fixture
def newest(transactional_db: None) -> Iterator[None]:
    """In the end the tables are as the models say."""
    yield
    executor = MigrationExecutor(connection)
    executor.migrate([node for node in executor.loader.graph.leaf_nodes() if node[0] == "ledger"])


def test_durations_that_could_not_be_added_up_are_shortened(newest: None) -> None:
    old = migrated("0004_kept_allowances").get_model("ledger", "Charge").objects
    facts = {"purpose": "work", "model": "m", "started_at": till.NOW, "expires_at": till.LATER}
    for number, length in enumerate([5, 2**63 - 1]):
        old.create(call_id=f"call-{number}", duration_ms=length, **facts)
    new = migrated("0005_longest_call").get_model("ledger", "Charge").objects

    assert [5, 604_800_000] == list(new.order_by("pk").values_list("duration_ms", flat=True))
    new.all().delete()
