"""One statement to the database, with no more of Django around it than its promises need.

Django's cursor costs more than most of our statements: on SQLite it rewrites the placeholders of each one anew and
passes it through five layers; on PostgreSQL it writes values into the text, which the server then plans anew. The few
statements that every step of every task runs go straight to the driver, which lets PostgreSQL prepare them. What must
not be lost is kept: errors are Django's, a broken transaction refuses to go on, and whoever counts queries sees them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import connections
from django.db.utils import DEFAULT_DB_ALIAS

_PLACE = re.compile(r"(?<!%)%s")


def rows(sql: str, params: Sequence[Any], at_most: int | None = None) -> list[tuple[Any, ...]]:
    """All rows of a query, or the first `at_most`; placeholders are `%s` on every database."""
    database = connections[DEFAULT_DB_ALIAS]
    with database.wrap_database_errors:
        found = _run(database, sql, params)
        return list(found.fetchall() if at_most is None else found.fetchmany(at_most))


def update(sql: str, params: Sequence[Any]) -> int:
    """Run an UPDATE; how many rows it changed."""
    database = connections[DEFAULT_DB_ALIAS]
    with database.wrap_database_errors:
        return int(_run(database, sql, params).rowcount)


def insert(sql: str, params: Sequence[Any], key: str) -> int:
    """Run an INSERT of one row; the value of its `key` column (a quoted name), which the database gave."""
    database = connections[DEFAULT_DB_ALIAS]
    with database.wrap_database_errors:
        if database.vendor == "sqlite":
            return int(_run(database, sql, params).lastrowid)
        return int(_run(database, f"{sql} RETURNING {key}", params).fetchone()[0])


def _run(database: Any, sql: str, params: Sequence[Any]) -> Any:
    """The cursor that ran it; `database` is one of Django's connections."""
    if database.execute_wrappers or database.queries_logged:
        counted = database.cursor()
        counted.execute(sql, params)
        return counted
    database.ensure_connection()
    database.validate_no_broken_transaction()
    if database.vendor == "sqlite":
        return database.connection.execute(_qmark(sql), params)
    # psycopg, by the name that Django's connection has for it
    return database.Database.Cursor(database.connection).execute(sql, params)


@lru_cache(maxsize=1_024)
def _qmark(sql: str) -> str:
    return _PLACE.sub("?", sql).replace("%%", "%")
