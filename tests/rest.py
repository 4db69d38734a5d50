"""A caller of the REST interface in tests: one per role, with a real token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.test import Client

from apps.agents import tokens
from apps.agents.models import Agent, Token
from apps.agents.scopes import SCOPES


class Caller:
    """Sends JSON with a token; answers are Django's, with `.json()`."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self._client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        return self._client.generic(
            method,
            path,
            "" if body is None else body if isinstance(body, str | bytes) else _json(body),
            content_type=headers.pop("content_type", "application/json"),
            headers={**given, **headers},
        )

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(path, query, headers={"Authorization": f"Bearer {self.secret}"} if self.secret else {})

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self("POST", path, body, **(headers or {}))


def _json(body: Any) -> str:
    return json.dumps(body)


def user(name: str = "ada", *, staff: bool = True) -> User:
    """The operator called `name`."""
    found, _ = User.objects.get_or_create(username=name, defaults={"is_staff": staff})
    return found


def integration(*scopes: str, by: User | None = None) -> Caller:
    """An integration with `scopes`; with none given, all of them."""
    return _caller("integration", scopes or SCOPES, by)


def reader() -> Caller:
    return _caller("reader", (), None)


def _caller(role: str, scopes: Iterable[str], by: User | None) -> Caller:
    return Caller(tokens.mint(role, user=by or user(), scopes=scopes, by="tests")[1])


def of_agent(agent: Agent) -> Caller:
    return Caller(tokens.mint("agent", agent=agent, by="tests")[1])


def known(secret: str) -> Token:
    """The token that `secret` is; there must be one."""
    token = tokens.authenticate(secret)
    assert token is not None
    return token


def found(pattern: str, text: str) -> str:
    """The first group of `pattern` (the whole of it without groups) in `text`, where it must be."""
    match = re.search(pattern, text)
    assert match is not None, f"{pattern} is not in {text[-2_000:]}"
    return match.group(match.lastindex or 0)
