"""One statement to the database, with no more of Django around it than its promises need.

On SQLite, Django's cursor costs more than most of our statements: it rewrites the placeholders of each one anew and
passes it through five layers. The few statements that every step of every task runs go straight to the driver there.
What must not be lost is kept: errors are Django's, a broken transaction refuses to go on, and whoever counts queries
sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DEFAULT_DB_ALIAS

_PLACE = re.compile(r"(?<!%)%s")


def rows(sql: str, params: Sequence[Any], at_most: int | None = None) -> list[tuple[Any, ...]]:
    """All rows of a query, or the first `at_most`; placeholders are `%s` on every database."""
    database = connections[DEFAULT_DB_ALIAS]
    if _by_django(database):
        with database.cursor() as cursor:
            cursor.execute(sql, params)
            return list(cursor.fetchall() if at_most is None else cursor.fetchmany(at_most))
    with database.wrap_database_errors:
        found = database.connection.execute(_native(sql), params)
        return list(found.fetchall() if at_most is None else found.fetchmany(at_most))


def update(sql: str, params: Sequence[Any]) -> int:
    """Run an UPDATE; how many rows it changed."""
    database = connections[DEFAULT_DB_ALIAS]
    if _by_django(database):
        with database.cursor() as cursor:
            cursor.execute(sql, params)
            return int(cursor.rowcount)
    with database.wrap_database_errors:
        return int(database.connection.execute(_native(sql), params).rowcount)


def insert(sql: str, params: Sequence[Any], key: str) -> int:
    """Run an INSERT of one row; the value of its `key` column (a quoted name), which the database gave."""
    database = connections[DEFAULT_DB_ALIAS]
    if _by_django(database):
        with database.cursor() as cursor:
            if database.vendor == "sqlite":
                cursor.execute(sql, params)
                return int(cursor.lastrowid)
            cursor.execute(f"{sql} RETURNING {key}", params)
            return int(cursor.fetchone()[0])
    with database.wrap_database_errors:
        return int(database.connection.execute(_native(sql), params).lastrowid)


def _by_django(database: BaseDatabaseWrapper) -> bool:
    """Whether the statement goes through Django's cursor; if not, the connection is open and fit for it."""
    if database.vendor != "sqlite" or database.execute_wrappers or database.queries_logged:
        return True
    database.ensure_connection()
    database.validate_no_broken_transaction()
    return False


@lru_cache(maxsize=1_024)
def _native(sql: str) -> str:
    return _PLACE.sub("?", sql).replace("%%", "%")
