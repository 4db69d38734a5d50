"""Which fault it is when Claude's API refuses, breaks off or makes no sense, and what is known to have been paid."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from sidecar.agent.faults import (
    Busy,
    ContextOverflow,
    Disconnected,
    Garbled,
    ModelFault,
    ModelMissing,
    RateLimited,
    Refused,
    ServerError,
    Slow,
    Unauthorized,
    Unreachable,
)
from sidecar.agent.models.claude_json import object_of, text_of
from sidecar.agent.talk import Usage

_MESSAGE_CHARACTERS = 500

_TOO_LONG = re.compile(
    r"prompt is too long|context (limit|window|length)|maximum context|too many (input|total) tokens", re.IGNORECASE
)
_TOO_BIG = re.compile(r"too.large|maximum size|too big|exceed", re.IGNORECASE)
_FAULTS: Mapping[int, type[ModelFault]] = {
    401: Unauthorized,
    403: Unauthorized,
    408: Slow,
    429: RateLimited,
    503: Busy,
    529: Busy,
}
_NEVER_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class Unspeakable(Exception):
    """What came is not the protocol."""


class Complaint(Exception):
    """An error event inside the stream."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        self.message = _in_words(error)
        self.status = _STATUSES.get(text_of(error.get("type")), 500)
        super().__init__(self.message)


@dataclass(frozen=True, kw_only=True)
class _Ending:
    """How a call ended badly, in words that may still hold the key. No usage means that it cost what its kind costs."""

    kind: type[ModelFault]
    message: str
    usage: Usage | None = None
    retry_after: float | None = None


def fault_from(problem: BaseException, *, begun: bool, usage: Usage, key: str) -> ModelFault:
    """The fault that `problem` is; its text never holds `key`.

    `begun` says whether the server had begun to answer, and `usage` what the answer has cost so far.
    """
    ending = _ending(problem, begun, usage)
    hidden = " ".join(ending.message.replace(key, "[the key]").split())
    return ending.kind(hidden[:_MESSAGE_CHARACTERS], usage=ending.usage, retry_after=ending.retry_after)


def fault_of(status: int, message: str) -> type[ModelFault]:
    """Which fault an error answer of this status and text is."""
    if status in _FAULTS:
        return _FAULTS[status]
    if status >= 500:
        return ServerError
    if status < 400:
        return Garbled
    if status == 404 and "model" in message.lower():
        return ModelMissing
    if (status == 400 and _TOO_LONG.search(message)) or (status == 413 and _TOO_BIG.search(message)):
        return ContextOverflow
    return Refused


def retry_after_seconds(value: str | None, *, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, given as a number or a date; None for anything else."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _until(value, now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _ending(problem: BaseException, begun: bool, usage: Usage) -> _Ending:
    if isinstance(problem, Complaint):
        return _Ending(kind=fault_of(problem.status, problem.message), message=problem.message, usage=usage)
    if isinstance(problem, Unspeakable):
        return _Ending(kind=Garbled, message=str(problem), usage=usage)
    if (status := getattr(problem, "status_code", None)) is not None:
        return _by_status(status, problem)
    ours = isinstance(problem, TimeoutError | httpx2.HTTPError)
    return _broken(problem if ours else problem.__cause__ or problem, begun, usage)


def _by_status(status: int, problem: Any) -> _Ending:
    """An answer that is an error. What was refused before it began has cost nothing."""
    message = _message_of(problem.body)
    return _Ending(
        kind=fault_of(status, message),
        message=f"Status {status}. {message}".strip(),
        usage=Usage() if status < 500 else None,
        retry_after=retry_after_seconds(problem.response.headers.get("retry-after"), now=datetime.now(UTC)),
    )


def _broken(cause: BaseException, begun: bool, usage: Usage) -> _Ending:
    """No answer, or part of one. Only what was never sent cannot have been billed.

    The question is sent whole before any answer begins: until then `usage` is a guess of ours, and nothing is known.
    """
    known = usage if begun else None
    if isinstance(cause, _NEVER_SENT):
        return _Ending(kind=Unreachable, message=f"Nobody answers: {cause}")
    if isinstance(cause, TimeoutError | httpx2.TimeoutException):
        return _Ending(kind=Slow, message="The answer did not come in time.", usage=known)
    if isinstance(cause, httpx2.DecodingError):
        return _Ending(kind=Garbled, message=str(cause), usage=known)
    if begun:
        return _Ending(kind=Disconnected, message="The answer broke off in the middle.", usage=known)
    return _Ending(kind=Disconnected, message=f"The connection broke before the answer: {cause}")


def _until(value: str, now: datetime) -> float | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _message_of(body: object) -> str:
    """The error's type and text, or the body itself where it is not in the API's shape."""
    error = object_of(object_of(body).get("error"))
    return _in_words(error) if error else text_of(body)


def _in_words(error: Mapping[str, Any]) -> str:
    return f"{text_of(error.get('type'))}: {text_of(error.get('message'))}"
