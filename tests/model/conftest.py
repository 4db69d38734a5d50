"""Many small commits, each of which would wait for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db.backends.signals import connection_created


@pytest.fixture(autouse=True)
def quick_commits(transactional_db: None) -> Iterator[None]:
    """PostgreSQL answers before the disk does: no server is killed here, and order and visibility stay as they are."""

    def relax(connection: Any, **_: Any) -> None:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit TO off")

    connection_created.connect(relax)
    relax(connection)
    yield
    connection_created.disconnect(relax)
    if connection.vendor == "postgresql":
        connection.close()
