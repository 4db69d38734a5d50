"""How REST says no: refusals and errors as `{"code", "detail"}`, field errors the way serializers render them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404
from rest_framework import exceptions as drf
from rest_framework.response import Response
from rest_framework.views import exception_handler

from apps.events.refused import Invalid, Refused


def answer(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: `{"code", "detail"}` for refusals, field errors as DRF does them."""
    if isinstance(exc, Invalid):
        return Response({exc.field: [exc.message]}, status=exc.status)
    if isinstance(exc, Refused):
        return Response({"code": exc.code, "detail": exc.message}, status=exc.status)
    if isinstance(exc, RequestDataTooBig):
        return Response({"code": "too_large", "detail": str(exc)}, status=413)
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
