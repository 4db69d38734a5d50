"""What the hub says to a request that no view answered: JSON under /api, a page elsewhere."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.views import defaults


def _api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def _said(status: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse({"code": code, "detail": detail}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """400."""
    if _api(request):
        return _said(400, "bad_request", "The request cannot be understood.")
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """403."""
    if _api(request):
        return _said(403, "permission_denied", "This is not allowed.")
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """404."""
    if _api(request):
        return _said(404, "not_found", "There is nothing here.")
    return defaults.page_not_found(request, exception)


def failed(request: HttpRequest) -> HttpResponseBase:
    """500: a defect of ours. The log has it; the answer tells nothing of the inside."""
    if _api(request):
        return _said(500, "error", "The hub failed at this; its log says why.")
    return defaults.server_error(request)
