"""Claude, over Anthropic's Messages API of version 2026-10-21. Always streamed, asked once, never retried here.

Sampling parameters are refused for every model, so a request's temperature stays unsaid. How a talk is written down is
in claude_talk.py, what comes back in claude_stream.py, and what may go wrong in claude_faults.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import httpx2

from sidecar.agent.faults import RateLimited, Unauthorized
from sidecar.agent.models.claude_faults import Complaint, Unspeakable, fault_from
from sidecar.agent.models.claude_json import count_of, well_formed
from sidecar.agent.models.claude_stream import Answer, Events
from sidecar.agent.models.claude_talk import (
    Thinking,
    digest_of,
    estimate_tokens,
    head_of,
    messages_of,
    signatures_of,
    thinking_of,
    unbroken,
    with_breakpoint,
)
from sidecar.agent.talk import Reply, Request, Usage

if TYPE_CHECKING:
    from types import ModuleType

    from anthropic import AsyncAnthropic
    from anthropic.types import MessageParam

_VERSION = "2026-10-21"
_STREAM_BYTES = 64_000_000
_BODY_BYTES = 1_000_000

_OUR_HEADERS = (
    "accept", "anthropic-version", "authorization", "connection", "content-", "host", "idempotency-key", "user-agent",
    "x-stainless-",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, until the first event, between two events (pings count), and for the whole answer."""

    connect: float = 10.0
    first: float = 180.0
    between: float = 120.0
    whole: float = 1200.0


class Claude:
    """One Claude model. `context` is in tokens; a `base_url` that is none is a ValueError.

    Anthropic's package takes two seconds to load: the first call does so, in a thread.
    """

    def __init__(
        self,
        *,
        model: str,
        api_key: str,
        base_url: str = "https://api.anthropic.com",
        context: int = 200_000,
        timeouts: Timeouts | None = None,
        thinking: Thinking = "own",
    ) -> None:
        self._model = model
        self._key = api_key
        self._url = _checked_url(base_url)
        self._context = context
        self._timeouts = timeouts or Timeouts()
        self._thinking = thinking
        self._client: AsyncAnthropic | None = None
        self._bound: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Claude({self._model!r})"

    @property
    def name(self) -> str:
        """The model's id at Anthropic."""
        return self._model

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context

    async def reply(self, request: Request) -> Reply:
        """Ask once. Raises one of `sidecar.agent.faults`; its text never holds the key."""
        if not self._can_be_sent:
            raise Unauthorized("There is no API key, or it holds what no key can hold.")
        anthropic = await asyncio.to_thread(_load)
        body, digest = self._body(request)
        answer = Answer(asked=estimate_tokens(request))
        try:
            await self._exchange(self._connected(anthropic), body, answer)
        except (TimeoutError, httpx2.HTTPError, anthropic.AnthropicError, Unspeakable, Complaint) as problem:
            fault = fault_from(problem, begun=answer.begun, usage=answer.usage(), key=self._key)
        else:
            reply = answer.reply()
            self._bound.update(dict.fromkeys(signatures_of(reply.blocks), digest))
            return reply
        raise fault  # not inside the except: a chained error may quote what the server said, and so the key

    async def count_tokens(self, request: Request) -> int | None:
        """How many tokens the API says the prompt of `request` has; None when it does not say."""
        if not self._can_be_sent:
            return None
        anthropic = await asyncio.to_thread(_load)
        body, _ = self._body(request)
        del body["max_tokens"]
        try:
            async with asyncio.timeout(self._timeouts.first):
                counted = await self._connected(anthropic).messages.count_tokens(**body)
        except (TimeoutError, httpx2.HTTPError, anthropic.AnthropicError, ValueError):
            return None
        return count_of(getattr(counted, "input_tokens", None))

    async def look(self) -> None:
        """Whether the API answers and takes our key, by having a word counted, which costs nothing.

        A quota that is used up is an answer. Raises one of `sidecar.agent.faults` when there is none.
        """
        if not self._can_be_sent:
            raise Unauthorized("There is no API key, or it holds what no key can hold.")
        anthropic = await asyncio.to_thread(_load)
        word: MessageParam = {"role": "user", "content": [{"type": "text", "text": "word"}]}
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._connected(anthropic).messages.count_tokens(model=self._model, messages=[word])
        except (TimeoutError, httpx2.HTTPError, anthropic.AnthropicError, ValueError) as problem:
            fault = fault_from(problem, begun=False, usage=Usage(), key=self._key)
        else:
            return
        if not isinstance(fault, RateLimited):
            raise fault

    async def close(self) -> None:
        """Give connections back."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @property
    def _can_be_sent(self) -> bool:
        """An empty key would make the package look for another one in the environment."""
        return re.fullmatch(r"[!-~]+", self._key) is not None

    def _connected(self, anthropic: ModuleType) -> AsyncAnthropic:
        """The package reads proxies, headers and retries from the environment or its defaults unless told each."""
        if self._client is None:
            http = httpx2.AsyncClient(transport=_Wire(trust_env=False), trust_env=False, follow_redirects=False)
            self._client = anthropic.AsyncAnthropic(
                api_key=self._key,
                base_url=self._url,
                timeout=httpx2.Timeout(self._timeouts.whole, connect=self._timeouts.connect),
                max_retries=0,
                open_telemetry=False,
                http_client=http,
                default_headers={
                    "Authorization": f"Bearer {self._key}",
                    "anthropic-version": _VERSION,
                    "Accept-Encoding": "identity",
                },
            )
        return self._client

    def _body(self, request: Request) -> tuple[dict[str, Any], str]:
        """What is sent, and the digest of all that an answer to it will be bound to."""
        head = head_of(request)
        messages, digest = unbroken(messages_of(request.turns), digest_of(head), self._bound)
        body = {"model": self._model, "max_tokens": request.max_tokens, **head, "messages": with_breakpoint(messages)}
        if thinking := thinking_of(self._thinking, self._model):
            body["thinking"] = thinking
        return cast("dict[str, Any]", well_formed(body)), digest

    async def _exchange(self, client: AsyncAnthropic, body: Mapping[str, Any], answer: Answer) -> None:
        """Send `body` and let `answer` hear what comes; leaving closes the connection, whatever the reason."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeouts.whole
        events = Events()
        async with asyncio.timeout_at(min(end, loop.time() + self._timeouts.first)) as patience:
            stream = await client.messages.create(**body, stream=True)
            async with contextlib.aclosing(stream.response) as response:
                answer.opened(response.headers)
                async with contextlib.aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        for name, data in events.of(chunk):
                            answer.hear(name, data)
                            patience.reschedule(min(end, loop.time() + self._timeouts.between))
                        if answer.complete:  # nothing can follow, but a server might keep the connection open
                            return


class _Limited(httpx2.AsyncByteStream):
    """A body that fails, rather than to fill the memory, once it is longer than `limit` bytes."""

    def __init__(self, body: httpx2.AsyncByteStream, limit: int) -> None:
        self._body = body
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for part in self._body:
            read += len(part)
            if read > self._limit:
                raise httpx2.DecodingError(f"The answer is longer than {self._limit} bytes.")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


class _Wire(httpx2.AsyncHTTPTransport):
    """Sends no header that the package took from the environment, and reads no more than is bearable."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        for name in [name for name in request.headers if not name.startswith(_OUR_HEADERS)]:
            del request.headers[name]
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":  # its size would say nothing
            await response.aclose()
            raise httpx2.DecodingError("The answer is compressed, which was not asked for.")
        streamed = response.headers.get("content-type", "").startswith("text/event-stream")
        body = cast("httpx2.AsyncByteStream", response.stream)
        response.stream = _Limited(body, _STREAM_BYTES if streamed else _BODY_BYTES)
        return response


@functools.cache
def _load() -> ModuleType:
    """Anthropic's package with what it loads late by itself: two seconds, once."""
    import anthropic
    import anthropic.resources.messages

    return anthropic


def _checked_url(url: str) -> str:
    """The address itself. Its text is in no error: it may hold a password."""
    try:
        parsed = urlsplit(url)
        sound = parsed.scheme in {"http", "https"} and bool(parsed.hostname) and httpx2.URL(url).is_absolute_url
    except (ValueError, httpx2.InvalidURL):
        sound = False
    if not sound:
        raise ValueError("The address of the API begins with https:// and names a host.")
    return url
