"""JSON in, for REST: refuses what no database can store and what is nested without end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

MAX_DEPTH = 20


class StrictJSONParser(JSONParser):
    """JSON without NUL characters, lone surrogates, NaN, or nesting deeper than `MAX_DEPTH`."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().parse(stream, media_type, parser_context)
            storable(found)
        except RecursionError as deep:
            raise ParseError("JSON parse error - nested too deeply.") from deep
        return found


def storable(value: Any, depth: int = 0) -> None:
    """Raise ParseError when `value` holds something that a database column cannot."""
    if depth > MAX_DEPTH:
        raise ParseError(f"JSON parse error - nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        if "\x00" in value:
            raise ParseError("JSON parse error - NUL characters are not allowed.")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise ParseError("JSON parse error - lone surrogates are not allowed.")
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        raise ParseError("JSON parse error - integers have at most 64 bits.")
    elif isinstance(value, dict):
        for key, inner in value.items():
            storable(key, depth + 1)
            storable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            storable(inner, depth + 1)
