"""The hub's REST interface: one call, its answer, or the reason in a sentence."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from sidecar.operator.account import Account

ANSWER_SECONDS = 30.0
TRIES = 3
PAUSE_SECONDS = 1.0
BUSY = 429
AWAY = frozenset({502, 503, 504})
"""What a proxy says while there is no hub behind it."""
XML = "application/xml"


class Unreachable(Exception):
    """The hub does not answer; what was asked may or may not have been done."""


class Refusal(Exception):
    """The hub said no, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Hub:
    """Calls one hub. What is safe to ask twice is asked again when no answer comes."""

    def __init__(
        self,
        account: Account,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.hub = account.hub
        self._sleep = sleep
        self._client = httpx.Client(
            base_url=account.hub,
            headers={"Authorization": f"Bearer {account.token}", "User-Agent": "agentcom"},
            timeout=ANSWER_SECONDS,
            transport=transport,
        )

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """What stands at `path`."""
        wanted = {name: value for name, value in query.items() if value not in (None, "")}
        return self._ask("GET", path, again=True, params=wanted)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Have something done. Asked once: a second time might do it twice."""
        return self._ask("POST", path, again=False, json=body or {})

    def hand_in(self, path: str, body: Mapping[str, Any] | bytes) -> Any:
        """A new task or goal, or with bytes a document; under a key of its own, so that asking again is one."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if isinstance(body, bytes):
            given: dict[str, Any] = {"content": body, "headers": headers | {"Content-Type": XML}}
        else:
            given = {"json": body, "headers": headers}
        return self._ask("POST", path, again=True, **given)

    def rows(self, path: str, most: int, **query: Any) -> Iterator[Any]:
        """The first `most` rows of a list."""
        query["page_size"] = min(most, 200)
        while most > 0:
            page = self.get(path, **query)
            yield from page["results"][:most]
            most -= len(page["results"])
            if not page["next"]:
                return
            query["cursor"] = httpx.URL(page["next"]).params["cursor"]

    def _ask(self, method: str, path: str, *, again: bool, **given: Any) -> Any:
        for left in reversed(range(TRIES if again else 1)):
            try:
                answer = self._answer(method, path, given)
            except (httpx.HTTPError, httpx.InvalidURL) as problem:
                if not left:
                    raise Unreachable(f"{self.hub} does not answer: {_why(problem)}.") from problem
                self._sleep(PAUSE_SECONDS)
                continue
            if answer.status_code == BUSY and left:
                self._sleep(_wait(answer))
                continue
            return _read(answer)
        raise AssertionError("the last try answers or raises")

    def _answer(self, method: str, path: str, given: Mapping[str, Any]) -> httpx.Response:
        answer = self._client.request(method, path, **given)
        if answer.status_code in AWAY:
            raise httpx.ProxyError(f"HTTP {answer.status_code}")
        return answer


def _why(problem: Exception) -> str:
    if isinstance(problem, httpx.TimeoutException):
        return f"nothing came within {ANSWER_SECONDS:.0f} s"
    return str(problem) or type(problem).__name__


def _wait(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "")
    return min(float(said), ANSWER_SECONDS) if said.isdigit() else PAUSE_SECONDS


def _read(answer: httpx.Response) -> Any:
    try:
        body = answer.json()
    except ValueError as error:
        raise Refusal(answer.status_code, f"Not an AgentCom hub: HTTP {answer.status_code} without JSON.") from error
    if answer.is_success:
        return body
    raise Refusal(answer.status_code, _sentence(answer.status_code, body))


def _sentence(status: int, body: Any) -> str:
    """A refusal as `{"code", "detail"}`, or what is wrong with each field."""
    if not isinstance(body, dict):
        return f"The hub answered {status}."
    if "detail" in body:
        hint = " Make a token with `manage.py token`, and run `agentcom login` again." if status == 401 else ""
        return f"{body['detail']}{hint}"
    return " ".join(f"{name}: {_flat(said)}" for name, said in body.items())


def _flat(said: Any) -> str:
    if isinstance(said, list):
        return " ".join(_flat(one) for one in said if one)
    if isinstance(said, dict):
        return " ".join(f"{name}: {_flat(one)}" for name, one in said.items())
    return str(said)
