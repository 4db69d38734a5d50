"""The hub's REST API, as any integration uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

T = TypeVar("T")
ASK_SECONDS = 0.25


class Patience:
    """A deadline for the whole story."""

    def __init__(self, seconds: float) -> None:
        """`seconds` from now."""
        self._ends = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether nothing is waited for any longer."""
        return time.monotonic() > self._ends


class Unexpected(Exception):
    """The story does not go on as it should; the message says where it stands."""


class Conflict(Exception):
    """The hub refused for now (409): `code` says why."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Rest:
    """An integration with a token; every answer but a good one is Unexpected, a 409 is a Conflict."""

    def __init__(self, url: str, token: str, patience: Patience) -> None:
        """`url` of the hub; waiting ends with `patience`."""
        headers = {"Authorization": f"Bearer {token}"}
        self._client = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=30)
        self._patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """What is there."""
        return await self._ask("GET", path)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Do it."""
        return await self._ask("POST", path, json=dict(body or {}))

    async def all(self, path: str) -> list[Any]:
        """The first page of a list, which holds everything that a demonstration makes."""
        found = await self.get(path)
        return list(found["results"])

    async def until(self, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Look again until there is something. Raises Unexpected when patience ends first."""
        while not (found := await look()):
            if self._patience.is_over:
                raise Unexpected(f"Waited in vain for {what}.")
            await asyncio.sleep(ASK_SECONDS)
        return found

    async def _ask(self, method: str, path: str, **what: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **what)
        except httpx.HTTPError as problem:
            raise Unexpected(f"{method} {path} got no answer: {problem!r}") from problem
        if answer.status_code == 409:
            said = answer.json()
            raise Conflict(str(said.get("code", "")), str(said.get("detail", said)))
        if answer.is_error:
            raise Unexpected(f"{method} {path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()
