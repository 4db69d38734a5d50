"""Who may see pages: operators, which are people with an account that is marked as staff."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.views.decorators.cache import never_cache

View = Callable[..., HttpResponse]


def operators_only(view: View) -> View:
    """Strangers are sent to the login page and then back; people without the right to be here get a 403."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.is_authenticated:
            if "HX-Request" in request.headers:  # a fragment's request must not swap a login form into the page
                return HttpResponse(headers={"HX-Refresh": "true"})
            return redirect_to_login(request.get_full_path(), resolve_url("login"))
        if not may_operate(request.user):
            raise PermissionDenied("This account may not see the hub's pages.")
        return view(request, *args, **kwargs)

    return never_cache(guarded)


def may_operate(user: Any) -> bool:
    """Whether `user` (or an anonymous one) is an active operator."""
    return bool(user.is_authenticated and user.is_active and user.is_staff)


def person(request: HttpRequest) -> User:
    """The operator who asks; only behind `operators_only`."""
    assert isinstance(request.user, User)
    return request.user
