"""Who may use a route. A route that says nothing is for nobody."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from apps.agents.models import Role, Token
from apps.agents.scopes import FOR_OPERATORS, SCOPES, scopes_of

if TYPE_CHECKING:  # REST framework's settings name this module, so its views cannot be imported yet
    from rest_framework.views import APIView


class Nobody(BasePermission):
    """The default: whoever adds a route has to say who may use it."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return False


class Anybody(BasePermission):
    """Even those without a token."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return True


class OnlyAgents(BasePermission):
    """The routes that an agent has for itself."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.auth, Token) and request.auth.role == Role.AGENT


@cache
def scoped(read: str, write: str = "") -> type[BasePermission]:
    """Tokens that have the scope `read`; with `write`, that scope is needed instead for whatever changes something."""
    for scope in filter(None, (read, write)):
        if scope not in SCOPES:
            raise ValueError(f"There is no scope called {scope!r}.")

    class Scoped(BasePermission):
        message = f"The token needs the scope {f'{read} or {write}' if write else read}."

        def has_permission(self, request: Request, view: APIView) -> bool:
            return may(request, write if write and request.method not in SAFE_METHODS else read)

    return Scoped


def may(request: Request, scope: str) -> bool:
    """Whether the token of this request has `scope`, and its user is still somebody who may use it."""
    token = request.auth
    if not isinstance(token, Token) or scope not in scopes_of(token.role, token.scopes):
        return False
    return scope not in FOR_OPERATORS or bool(request.user.is_staff and request.user.is_active)
