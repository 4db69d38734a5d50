"""Saying no. An action refuses with a code and facts; the edge it came in by renders them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler


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


def answer(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: `{"code", "detail"}` for refusals, field errors as DRF does them."""
    if isinstance(exc, Invalid):
        return Response({exc.field: [exc.message]}, status=exc.status)
    if isinstance(exc, Refused):
        return Response({"code": exc.code, "detail": exc.message}, status=exc.status)
    response = exception_handler(exc, context)
    if response is not None and isinstance(response.data, dict) and set(response.data) == {"detail"}:
        response.data["code"] = _code(exc)
    return response


def _code(exc: Exception) -> str:
    if isinstance(exc, Http404):
        return "not_found"
    if isinstance(exc, PermissionDenied):
        return "permission_denied"
    return str(exc.get_codes()) if isinstance(exc, drf.APIException) else "error"
