"""JSON to and from Claude's API: what goes out can be sent, and what comes in is as it should be, or nothing. (pure)"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_DEPTH = 100


def parsed(text: str | bytes) -> Any:
    """JSON that can be sent again: no NaN, and no nesting that would exhaust the stack. Raises ValueError."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None
    if not _shallow(value, _DEPTH):
        raise ValueError("It is nested too deeply.")
    return value


def written(value: Any) -> bytes:
    """JSON in one form for one value, whatever the order of its keys; what is no Unicode becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def well_formed(value: Any) -> Any:
    """The same without what could not be sent: halves of surrogate pairs, as a tool's output may hold; infinities."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {well_formed(name): well_formed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [well_formed(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def object_of(value: object) -> dict[str, Any]:
    """The object that `value` is, else an empty one."""
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str:
    """The text that `value` is, else an empty one."""
    return value if isinstance(value, str) else ""


def count_of(value: object) -> int | None:
    """The whole number from 0 up that `value` is, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON.")


def _shallow(value: object, left: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_shallow(part, left - 1) for part in parts)
