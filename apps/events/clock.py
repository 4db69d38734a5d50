"""The database's clock, as expressions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Func
from django.db.models.sql.compiler import SQLCompiler


class FromNow(Func):
    """So long from now, or ago. `Now() + length` does the same, but on SQLite by calling back into Python."""

    output_field = DateTimeField()

    def __init__(self, length: timedelta) -> None:
        super().__init__()
        self.length = length

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, tuple[str]]:
        return "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', %s)", (f"{self.length.total_seconds():+.3f} seconds",)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> tuple[str, list[Any]]:
        return "(STATEMENT_TIMESTAMP() + %s)", [self.length]
