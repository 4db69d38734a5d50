"""INSERT and UPDATE for the few places that write on every step of every task.

A query set's SQL is built anew for each write, which costs more than the write. Here it is built once for each shape
(the model, the fields, the expressions among the values) from the same model fields; values are prepared by the fields
themselves, so what is stored is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Combinable

from apps.events import driver

SHAPES = 1_024
"""How many are remembered; a program has far fewer."""


@dataclass(frozen=True, eq=False)
class _Same:
    """An expression as part of a shape: the same object, not an equal one, which would cost a comparison each time."""

    expression: Any

    def __hash__(self) -> int:
        return id(self.expression)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.expression is self.expression


Shape = tuple[tuple[str, Any], ...]
"""Names, each with its expression, or the number of values of an `__in`, or nothing for one plain value."""
Prepare = Callable[[Any], Any]


@dataclass(frozen=True)
class _Statement:
    """SQL, and in the order of its placeholders: what prepares each value, or a value that is always the same."""

    sql: str
    places: tuple[tuple[Prepare | None, Any], ...]

    def params(self, values: list[Any]) -> list[Any]:
        given = iter(values)
        return [always if prepare is None else prepare(next(given)) for prepare, always in self.places]


def update(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Write `values` to the rows that meet every condition of `where`; how many there were.

    A condition is `field`, `field__in` or `field__isnull`; a value may be an expression such as `Now()`, made once.
    """
    statement = _update(connection.vendor, model, _shape(values), _shape(where))
    return driver.update(statement.sql, statement.params([*_plain(values), *_plain(where)]))


def insert(model: type[models.Model], values: Mapping[str, Any]) -> int:
    """Add one row; its id. Fields that are not named get the default of the database, or of the model."""
    statement, key = _insert(connection.vendor, model, _shape(values))
    return driver.insert(statement.sql, statement.params(_plain(values)), key)


def _shape(values: Mapping[str, Any]) -> Shape:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Combinable):
            found.append((name, _Same(value)))
        elif name.endswith("__in"):
            found.append((name, len(value)))
        else:
            found.append((name, bool(value) if name.endswith("__isnull") else None))
    return tuple(found)


def _plain(values: Mapping[str, Any]) -> list[Any]:
    """What placeholders stand for, in order."""
    found: list[Any] = []
    for name, value in values.items():
        if isinstance(value, Combinable) or name.endswith("__isnull"):
            continue
        if name.endswith("__in"):
            found.extend(value)
        else:
            found.append(value.pk if isinstance(value, models.Model) else value)
    return found


@lru_cache(maxsize=SHAPES)
def _update(_: str, model: type[models.Model], values: Shape, where: Shape) -> _Statement:
    pieces = [_cell(model, name, what) for name, what in values] + [_condition(model, *one) for one in where]
    assignments = ", ".join(f"{column} = {place}" for column, place, _ in pieces[: len(values)])
    conditions = " AND ".join(f"{column} {place}" for column, place, _ in pieces[len(values) :])
    return _Statement(
        f"UPDATE {_table(model)} SET {assignments} WHERE {conditions}",
        tuple(place for *_, places in pieces for place in places),
    )


@lru_cache(maxsize=SHAPES)
def _insert(_: str, model: type[models.Model], values: Shape) -> tuple[_Statement, str]:
    named = {_field(model, name).attname for name, _ in values}
    cells = [_cell(model, name, what) for name, what in values]
    cells += [_default(model, field) for field in model._meta.local_concrete_fields if _fills_in(field, named)]
    sql = (
        f"INSERT INTO {_table(model)} ({', '.join(column for column, *_ in cells)}) "
        f"VALUES ({', '.join(place for _, place, _ in cells)})"
    )
    places = tuple(place for *_, places in cells for place in places)
    return _Statement(sql, places), _column(model, "pk")


Piece = tuple[str, str, tuple[tuple[Prepare | None, Any], ...]]
"""A column, the SQL that stands beside it, and what its placeholders are filled with."""


def _fills_in(field: models.Field[Any, Any], named: set[str]) -> bool:
    return field.attname not in named and (field.has_db_default() or not field.primary_key)


def _default(model: type[models.Model], field: models.Field[Any, Any]) -> Piece:
    """What the model would fill in; the same each time, so no function may make it, but for an empty list or object."""
    if field.has_db_default():
        return _cell(model, field.attname, _Same(field.db_default))
    if field.has_default() and callable(field.default) and field.default not in (list, dict):
        raise ValueError(f"{model.__name__}.{field.name} differs from row to row; name it.")
    value = field.get_default() if field.has_default() else None if field.null else ""
    return _column(model, field.attname), "%s", ((None, field.get_db_prep_save(value, connection)),)


def _cell(model: type[models.Model], name: str, what: _Same | None) -> Piece:
    if what is not None:
        query = model._base_manager.all().query
        expression = what.expression.resolve_expression(query, for_save=True)
        sql, params = query.get_compiler(connection=connection).compile(expression)
        return _column(model, name), sql, tuple((None, param) for param in params)
    return _column(model, name), "%s", ((_preparation(model, name), None),)


def _condition(model: type[models.Model], name: str, what: Any) -> Piece:
    field, _, lookup = name.partition("__")
    column = _column(model, field)
    if lookup == "isnull":
        return column, f"IS {'' if what else 'NOT '}NULL", ()
    prepare = (_preparation(model, field), None)
    if lookup == "in":
        return column, f"IN ({', '.join(['%s'] * what)})", (prepare,) * what
    return column, "= %s", (prepare,)


def _preparation(model: type[models.Model], name: str) -> Prepare:
    field = _field(model, name)
    return lambda value: field.get_db_prep_save(value, connection)


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return next(
        field
        for field in model._meta.concrete_fields
        if name in (field.name, field.attname) or (name == "pk" and field.primary_key)
    )


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(str(_field(model, name).column))
