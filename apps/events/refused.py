"""Saying no. An action refuses with a code and facts; the edge it came in by renders them."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The request makes sense but is not allowed as things stand.

    A subclass's docstring is its message, filled with the facts given; `code` is stable and for machines.
    """

    status = 409

    def __init__(self, code: str, message: str = "", **facts: Any) -> None:
        self.code = code
        self.facts = facts
        self.message = message or (type(self).__doc__ or "").split("\n")[0].format(**facts)
        super().__init__(self.message)


class Stale(Refused):
    """Somebody else was faster; look again before you try again."""

    def __init__(self, code: str = "stale", message: str = "", **facts: Any) -> None:
        super().__init__(code, message, **facts)


class Invalid(Refused):
    """One field of a request cannot be used; rendered the way serializers render field errors."""

    status = 400

    def __init__(self, field: str, message: str) -> None:
        super().__init__("invalid", message, field=field)
        self.field = field
