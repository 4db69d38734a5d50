"""INSERT and UPDATE for the few places that write on every step of every task.

A query set's SQL is built anew for each write, which costs more than the write. These two build it from the same model
fields, by joining strings; values are prepared by the fields themselves, so what is stored is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from django.db import connection, models
from django.db.models.expressions import Combinable, Expression

Prepared = tuple[str, list[Any]]


def update(model: type[models.Model], where: Mapping[str, Any], values: Mapping[str, Any]) -> int:
    """Write `values` to the rows that meet every condition of `where`; how many there were.

    A condition is `field`, `field__in` or `field__isnull`; a value may be an expression such as `Now()`.
    """
    assignments = [(_column(model, name), *_value(model, name, value)) for name, value in values.items()]
    conditions = [_condition(model, name, value) for name, value in where.items()]
    sql = (
        f"UPDATE {_table(model)} SET {', '.join(f'{column} = {place}' for column, place, _ in assignments)} "
        f"WHERE {' AND '.join(condition for condition, _ in conditions)}"
    )
    params = [param for _, _, some in assignments for param in some] + [p for _, some in conditions for p in some]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def insert(model: type[models.Model], values: Mapping[str, Any]) -> int:
    """Add one row; its id. Fields that are not named get the default of the database, or of the model."""
    whole = {**_defaults(model), **{_field(model, name).attname: value for name, value in values.items()}}
    cells = [(_column(model, name), *_value(model, name, value)) for name, value in whole.items()]
    sql = (
        f"INSERT INTO {_table(model)} ({', '.join(column for column, _, _ in cells)}) "
        f"VALUES ({', '.join(place for _, place, _ in cells)})"
    )
    params = [param for _, _, some in cells for param in some]
    with connection.cursor() as cursor:
        if connection.features.can_return_columns_from_insert and connection.vendor == "postgresql":
            cursor.execute(f"{sql} RETURNING {_column(model, 'id')}", params)
            return int(cursor.fetchone()[0])
        cursor.execute(sql, params)
        return int(cursor.lastrowid)


def _defaults(model: type[models.Model]) -> dict[str, Any]:
    """What the model would fill in; a value that a function makes is made anew for each row."""
    return {name: made() if callable(made) else made for name, made in _sources(model)}


@cache
def _sources(model: type[models.Model]) -> tuple[tuple[str, Any], ...]:
    found: list[tuple[str, Any]] = []
    for field in model._meta.local_concrete_fields:
        if field.has_db_default():
            found.append((field.attname, field.db_default))
        elif not field.primary_key:
            found.append((field.attname, field.default if field.has_default() else None if field.null else ""))
    return tuple(found)


@cache
def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return next(
        field
        for field in model._meta.concrete_fields
        if name in (field.name, field.attname) or (name == "pk" and field.primary_key)
    )


@cache
def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


@cache
def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(str(_field(model, name).column))


def _value(model: type[models.Model], name: str, value: Any) -> Prepared:
    if isinstance(value, Combinable):
        sql, params = _compiled(connection.vendor, model, value)
        return sql, list(params)
    plain = value.pk if isinstance(value, models.Model) else value
    return "%s", [_field(model, name).get_db_prep_save(plain, connection)]


@cache
def _compiled(_: str, model: type[models.Model], value: Expression) -> tuple[str, tuple[Any, ...]]:
    query = model._base_manager.all().query
    sql, params = query.get_compiler(connection=connection).compile(value.resolve_expression(query, for_save=True))
    return sql, tuple(params)


def _condition(model: type[models.Model], name: str, value: Any) -> Prepared:
    field, _, lookup = name.partition("__")
    column = _column(model, field)
    if lookup == "isnull":
        return f"{column} IS {'' if value else 'NOT '}NULL", []
    prepare = _field(model, field).get_db_prep_save
    if lookup == "in":
        return f"{column} IN ({', '.join(['%s'] * len(value))})", [prepare(one, connection) for one in value]
    return f"{column} = %s", [prepare(value, connection)]
