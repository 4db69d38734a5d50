"""Queries that are asked so often that building their SQL would cost more than running it.

Django builds the SQL of a query set anew each time, which takes several times as long as SQLite takes to answer. Here
it is built once per process from an ordinary query set, so the query still reads, and migrates, like every other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators
from django.db.models.sql.compiler import SQLCompiler

from apps.events import driver

M = TypeVar("M", bound=Model)
Row = tuple[Any, ...]

_NUMBER = 7_000_000_001_000
_TEXT = "\x1eslot"
"""What stands in for a value while the SQL is built; no id is ever this large, and no text begins like this."""


@dataclass(frozen=True)
class _Built:
    """SQL with its parameters in order: the name of a slot, or nothing and the value itself."""

    sql: str
    places: Sequence[str | None]
    params: Row
    compiler: SQLCompiler

    def rows(self, values: dict[str, int | str], at_most: int | None = None) -> list[Row]:
        filled = zip(self.places, self.params, strict=True)
        return driver.rows(self.sql, [values[slot] if slot else param for slot, param in filled], at_most)


class _Query:
    """A query set built once for each kind of database. `slots` name what differs from call to call, and its type."""

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **slots: type) -> None:
        self._build = build
        self._slots = slots
        self._known: dict[str, _Built] = {}

    def _built(self) -> _Built:
        if connection.vendor not in self._known:
            numbered = enumerate(self._slots.items())
            marks = {slot: f"{_TEXT}{n}" if kind is str else _NUMBER + n for n, (slot, kind) in numbered}
            compiler = self._build(**marks).query.get_compiler(connection=connection)
            sql, params = compiler.as_sql()
            slots = {mark: slot for slot, mark in marks.items()}
            places = [slots.get(param) if isinstance(param, int | str) else None for param in params]
            if missing := set(self._slots) - set(places):
                raise ValueError(f"the query does not use {', '.join(sorted(missing))}")
            self._known[connection.vendor] = _Built(sql, places, tuple(params), compiler)
        return self._known[connection.vendor]


class Prepared(_Query):
    """Of a `values_list`: rows as the driver has them, JSON as text, booleans as 0 and 1 on SQLite."""

    def rows(self, *, at_most: int | None = None, **values: int | str) -> list[Row]:
        """Run it with these values in its slots; all rows, or the first `at_most`."""
        return self._built().rows(values, at_most)


class PreparedObjects(_Query, Generic[M]):
    """Of a query set of models, with what it selects along and leaves out; objects as the query set would make them."""

    def __init__(self, build: Callable[..., QuerySet[M, M]], **slots: type) -> None:
        super().__init__(build, **slots)
        self._makers: dict[str, Callable[[list[Row]], list[M]]] = {}

    def objects(self, **values: int | str) -> list[M]:
        """Run it with these values in its slots."""
        built = self._built()
        if connection.vendor not in self._makers:
            self._makers[connection.vendor] = _maker(built.compiler)
        return self._makers[connection.vendor](built.rows(values))

    def first(self, **values: int | str) -> M | None:
        """The first of them, if there is one."""
        return next(iter(self.objects(**values)), None)


def _maker(compiler: SQLCompiler) -> Callable[[list[Row]], list[Any]]:
    """What turns rows into objects: the steps of Django's ModelIterable, with all that is the same each time done."""
    info: Any = compiler.klass_info
    select: Any = compiler.select
    first, last = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column.target.attname for column, *_ in select[first:last]]
    database = connection.alias
    populators = get_related_populators(info, select, database)  # type: ignore[call-arg]  # the stubs are a version ahead
    converters = compiler.get_converters([column for column, *_ in select])

    def make(rows: list[Row]) -> list[Any]:
        found = []
        for row in compiler.apply_converters(rows, converters) if converters else rows:
            one = info["model"].from_db(database, names, row[first:last])
            for populator in populators:
                populator.populate(row, one)
            found.append(one)
        return found

    return make
