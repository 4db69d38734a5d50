"""One question to Claude, over Anthropic's Messages API, and its answer; the key comes from the hub's own environment.

Always streamed, never retried by the package. Sampling parameters are refused by the newest models, so there are none.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import httpx2

from apps.endpoints.choosing import Thinker
from apps.endpoints.said import Said, ThinkingFailed, without_fence, without_thoughts
from apps.endpoints.sizes import tokens
from apps.ledger.pricing import MOST_TOKENS, Usage

if TYPE_CHECKING:
    from types import ModuleType

VERSION = "2026-10-21"
CONNECT_SECONDS = 10.0
MOST_BYTES = 16_000_000
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
_TOO_LONG = re.compile(
    r"prompt is too long|context (limit|window|length)|maximum context|too many (input|total) tokens", re.IGNORECASE
)
_STATUSES = {401: "unauthorized", 403: "unauthorized", 404: "model_missing", 429: "limited", 503: "busy", 529: "busy"}
_IN_THE_STREAM = {"overloaded_error": "busy", "rate_limit_error": "limited"}
_STOPS = {
    "refusal": ("declined", "The model declined to do this."),
    "max_tokens": ("cut_off", "The answer was not at its end when its limit came."),
    "model_context_window_exceeded": ("context", "The model's context is full."),
}


async def chat(
    thinker: Thinker, *, key: str, system: str, prompt: str, schema: Mapping[str, Any] | None, most: int, seconds: float
) -> Said:
    """Ask once, for `most` tokens at most, and hear the whole answer within `seconds`. Raises ThinkingFailed."""
    if not re.fullmatch(r"[!-~]+", key):  # an empty one would make the package look for another
        raise ThinkingFailed("thinking_unauthorized", "The API key holds what no key can hold.")
    anthropic = await asyncio.to_thread(_load)
    asked = _asked(system, prompt, schema)
    heard = _Heard(tokens(json.dumps(asked, ensure_ascii=False)))
    try:
        async with asyncio.timeout(seconds), _connected(anthropic, thinker.url, key) as client:
            stream = await client.messages.create(model=thinker.model, max_tokens=most, stream=True, **asked)
            heard.opened(stream.response.headers)
            async for event in stream:
                heard.hear(event)
    except (TimeoutError, httpx2.HTTPError, anthropic.AnthropicError, ValueError, AttributeError) as problem:
        failed = _failure(problem, heard, key, seconds)
    else:
        said = heard.said()
        return said if schema is None else Said(without_fence(said.text), said.usage, said.certain, said.request_id)
    raise failed  # not inside the except: a chained error may quote what the server said, and so the key


def _asked(system: str, prompt: str, schema: Mapping[str, Any] | None) -> dict[str, Any]:
    if schema is not None:
        shape = json.dumps(schema, ensure_ascii=False)
        prompt += f"\n\nAnswer with one JSON value and nothing else. It has to fit this JSON schema:\n{shape}"
    whole = prompt.encode("utf-8", "replace").decode()
    head = {"system": [{"type": "text", "text": system.encode("utf-8", "replace").decode()}]} if system.strip() else {}
    return {**head, "messages": [{"role": "user", "content": [{"type": "text", "text": whole}]}]}


class _Heard:
    """An answer in the making, event by event, to a question of so many tokens."""

    def __init__(self, asked: int) -> None:
        self.begun = False
        self._asked = asked
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._stop = ""
        self._complete = False
        self._request_id = ""
        self._counts: dict[str, int | None] = {}

    def opened(self, headers: Mapping[str, str]) -> None:
        """The server has begun to answer; ValueError when with anything but a stream of events."""
        self.begun = True
        self._request_id = headers.get("request-id", "")[:120]
        if not headers.get("content-type", "").lower().startswith("text/event-stream"):
            raise ValueError("The answer is no stream of events.")

    def hear(self, event: Any) -> None:
        """Unknown events mean nothing."""
        if event.type == "message_start":
            self._count(event.message.usage)
        elif event.type == "content_block_delta":
            said = getattr(event.delta, "text", None)
            self._text.append(said or "")
            self._thoughts.append(getattr(event.delta, "thinking", None) or "")
        elif event.type == "message_delta":
            self._stop = event.delta.stop_reason or self._stop
            written = _count_of(getattr(event.usage, "output_tokens", None))
            self._counts["final"] = written if written is not None else self._counts.get("final")
        elif event.type == "message_stop":
            self._complete = True

    def usage(self) -> Usage:
        """As the server says, and for what it has not said, an estimate."""
        asked, written = self._counts.get("input_tokens"), self._counts.get("final")
        return Usage(
            input=self._asked if asked is None else asked,
            output=tokens("".join(self._thoughts + self._text)) if written is None else written,
            cache_write_5m=self._counts.get("cache_creation_input_tokens") or 0,
            cache_read=self._counts.get("cache_read_input_tokens") or 0,
        )

    def said(self) -> Said:
        """The finished answer. Raises ThinkingFailed."""
        usage = self.usage()
        certain = None not in (self._counts.get("input_tokens"), self._counts.get("final"))
        if not self._complete:
            raise ThinkingFailed("thinking_broke_off", "The answer broke off.", usage=usage)
        words = "".join(self._text)
        text = without_thoughts(words)
        if self._stop in _STOPS:
            code, what = _STOPS[self._stop]
            raise ThinkingFailed(f"thinking_{code}", what, usage=usage, certain=certain, said=text or words)
        if not text:
            raise ThinkingFailed("thinking_empty", "The model said nothing.", usage=usage, certain=certain)
        return Said(text, usage, certain, self._request_id)

    def _count(self, usage: Any) -> None:
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
            self._counts[name] = _count_of(getattr(usage, name, None))


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails, rather than to fill the memory."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._body:
            read += len(part)
            if read > MOST_BYTES:
                raise httpx2.DecodingError(f"The answer is longer than {MOST_BYTES} bytes.")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


class _Wire(httpx2.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":  # its size would say nothing
            await response.aclose()
            raise httpx2.DecodingError("The answer is compressed, which was not asked for.")
        response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream))
        return response


def _connected(anthropic: ModuleType, url: str, key: str) -> Any:
    """The package reads proxies, tokens and retries from the environment or its defaults unless told each."""
    http = httpx2.AsyncClient(transport=_Wire(trust_env=False), trust_env=False, follow_redirects=False)
    return anthropic.AsyncAnthropic(
        api_key=key,
        base_url=url,
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # the whole has its own limit
        max_retries=0,
        open_telemetry=False,
        http_client=http,
        default_headers={
            "Authorization": f"Bearer {key}",
            "anthropic-version": VERSION,
            "Accept-Encoding": "identity",
        },
    )


@functools.cache
def _load() -> ModuleType:
    """Anthropic's package with what it loads late by itself: two seconds, once."""
    import anthropic
    import anthropic.resources.messages

    return anthropic


def _failure(problem: BaseException, heard: _Heard, key: str, seconds: float) -> ThinkingFailed:
    """By name, and without the key."""
    used = heard.usage() if heard.begun else None
    words = " ".join(str(problem).replace(key, "[the key]").split())
    status = getattr(problem, "status_code", None)
    if status is not None:
        return _by_status(status, problem, words, used)
    cause = problem if isinstance(problem, TimeoutError | httpx2.HTTPError) else problem.__cause__ or problem
    if isinstance(cause, _NEVER_SENT):
        return ThinkingFailed("thinking_unreachable", f"Nobody answers: {words}")
    if isinstance(cause, TimeoutError | httpx2.TimeoutException):
        return ThinkingFailed("thinking_slow", f"It took more than {seconds:g} seconds.", usage=used)
    garbled = isinstance(cause, ValueError | AttributeError | httpx2.DecodingError)
    return ThinkingFailed("thinking_garbled" if garbled else "thinking_broke_off", words, usage=used)


def _by_status(status: int, problem: BaseException, words: str, used: Usage | None) -> ThinkingFailed:
    """An answer that is an error; one inside a stream has the status of the stream, and may have been worked on."""
    if status < 300:
        kind = _kind_of(getattr(problem, "body", None))
        return ThinkingFailed(f"thinking_{_IN_THE_STREAM.get(kind, 'error')}", words, usage=used, worked=True)
    if status < 400:
        return ThinkingFailed("thinking_garbled", f"The server wants us elsewhere ({status}).")
    if status == 413 or (status == 400 and _TOO_LONG.search(words)):
        return ThinkingFailed("thinking_context", words, worked=False)
    if status >= 500 and status not in _STATUSES:
        return ThinkingFailed("thinking_error", words)
    return ThinkingFailed(f"thinking_{_STATUSES.get(status, 'refused')}", words)


def _kind_of(body: object) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("type")) if isinstance(error, dict) else ""


def _count_of(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
