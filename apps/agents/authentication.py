"""Who asks over REST: the holder of a token. A browser's session counts for nothing here: no other site can use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.agents import tokens
from apps.agents.models import Agent, Token


@dataclass(frozen=True)
class AgentUser:
    """Stands where Django expects a user, for a request that an agent makes. To the admin it is nobody."""

    agent: Agent
    is_authenticated: bool = True
    is_active: bool = True
    is_staff: bool = False
    is_superuser: bool = False
    is_anonymous: bool = False

    @property
    def pk(self) -> str:
        return f"agent/{self.agent.pk}"

    def get_username(self) -> str:
        return self.agent.name


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer act_…`; `request.user` is the token's user or agent, and `request.auth` the token."""

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the token as `Authorization: Bearer act_…`.")
        token = tokens.authenticate(secret.strip())
        if token is None:
            raise AuthenticationFailed("This token is unknown, expired or revoked.")
        return (AgentUser(token.agent) if token.agent is not None else token.user), token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="AgentCom"'


def actor(request: Request) -> str:
    """Who did it, for the history: the user's name and the token that was used, or the agent's name."""
    name: str = request.user.get_username()
    token = request.auth
    return f"{name[:120]} (token {token.key})" if isinstance(token, Token) and token.agent_id is None else name


def operator(request: Request) -> User:
    """The user in whose name the request's token acts; only for routes that agents cannot reach."""
    return operator_of(request.user)


def operator_of(user: object) -> User:
    """`user` as a User, where the permission checks have left nobody else."""
    assert isinstance(user, User)
    return user
