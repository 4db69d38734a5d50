"""What goes wrong with an Ollama server, as a fault by name: statuses, errors in words, connections that break."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from sidecar.agent import faults
from sidecar.agent.models.ollama_read import clipped, read_body

_ERROR_BYTES = 64_000
_JSON_TYPES = frozenset({"application/x-ndjson", "application/json"})
_UNPARSED = re.compile(r"(?:error |failed to )?pars(?:e|ing) (?:the )?tool calls?", re.IGNORECASE)
_NOT_THE_WINDOW = re.compile(r"context (?:cancell?ed|deadline exceeded)|(?:create|initiali[sz]e|init|new)[\w ]*context")


async def accept(response: httpx.Response) -> None:
    """Raise what a status other than 200, or anything but JSON, means."""
    if response.is_redirect:
        raise faults.Garbled(f"The server wants us elsewhere ({response.status_code}).")
    if response.status_code >= 400:
        text = _error_text(await read_body(response, _ERROR_BYTES))
        raise _status_fault(response.status_code, text, _retry_after(response.headers.get("retry-after", "")))
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != 200 or kind not in _JSON_TYPES:
        raise faults.Garbled(f"The answer ({response.status_code}) is {kind or 'of no type'}, not JSON.")


def _status_fault(status: int, text: str, retry_after: float | None) -> faults.ModelFault:
    message = f"{status}: {text}" if text else f"The server answered {status}."
    if status in {401, 403}:
        return faults.Unauthorized(message)
    if status == 404:
        return faults.ModelMissing(message) if re.search(r"\bmodel\b", text.lower()) else faults.Refused(message)
    if status == 429:
        return faults.RateLimited(message, retry_after=retry_after)
    if status == 503:
        return faults.Busy(message, retry_after=retry_after)
    if status >= 500 or status in {408, 499}:
        return server_fault(message)
    return faults.ContextOverflow(message) if _is_about_the_context(text) else faults.Refused(message)


def server_fault(message: str) -> faults.ModelFault:
    """The fault behind an error that the server puts in words."""
    if _UNPARSED.search(message):
        return faults.Unparsed(message)
    return faults.ContextOverflow(message) if _is_about_the_context(message) else faults.ServerError(message)


def _is_about_the_context(text: str) -> bool:
    """Whether it is the model's context that is spoken of: Go and llama.cpp have contexts that mean something else."""
    return "context" in _NOT_THE_WINDOW.sub("", text.lower())


def transport_fault(problem: httpx.TransportError, answered: bool) -> faults.ModelFault:
    """The fault that a broken connection is; `answered` when a good answer had begun on it."""
    message = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, httpx.RemoteProtocolError) and "without sending" not in str(problem):
        return faults.Garbled(message)
    if isinstance(problem, httpx.WriteTimeout):
        return faults.Slow(message)
    return faults.Disconnected(message) if answered else faults.Unreachable(message)


def _error_text(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return clipped(text)
    return clipped(error if isinstance(error, str) else json.dumps(error))


def _retry_after(header: str) -> float | None:
    """Seconds, given as such or as a date; None when it is neither."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header):
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
