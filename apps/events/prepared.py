"""Queries that are asked so often that building their SQL would cost more than running it.

Django builds the SQL of a query set anew each time, which takes several times as long as SQLite takes to answer. Here
it is built once per process from an ordinary query set, so the query still reads, and migrates, like every other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import QuerySet

_NUMBER = 7_000_000_001_000
_TEXT = "\x1eslot"
"""What stands in for a value while the SQL is built; no id is ever this large, and no text begins like this."""


class Prepared:
    """A query set built once. `slots` name what differs from call to call, and its type: `int` or `str`.

    Rows come back as the driver has them: JSON as text, booleans as 0 and 1 on SQLite.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **slots: type) -> None:
        self._build = build
        self._slots = slots
        self._built: dict[str, tuple[str, list[str | None], tuple[Any, ...]]] = {}

    def rows(self, *, at_most: int | None = None, **values: int | str) -> list[tuple[Any, ...]]:
        """Run it with these values in its slots; all rows, or the first `at_most`."""
        sql, places, params = self._sql()
        with connection.cursor() as cursor:
            cursor.execute(sql, [values[slot] if slot else param for slot, param in zip(places, params, strict=True)])
            return list(cursor.fetchall() if at_most is None else cursor.fetchmany(at_most))

    def _sql(self) -> tuple[str, list[str | None], tuple[Any, ...]]:
        if connection.vendor not in self._built:
            marks = {slot: f"{_TEXT}{n}" if kind is str else _NUMBER + n for n, (slot, kind) in self._numbered()}
            sql, params = self._build(**marks).query.sql_with_params()
            slots = {mark: slot for slot, mark in marks.items()}
            places = [slots.get(param) if isinstance(param, int | str) else None for param in params]
            if missing := set(self._slots) - set(places):
                raise ValueError(f"the query does not use {', '.join(sorted(missing))}")
            self._built[connection.vendor] = (sql, places, params)
        return self._built[connection.vendor]

    def _numbered(self) -> enumerate[tuple[str, type]]:
        return enumerate(self._slots.items())
