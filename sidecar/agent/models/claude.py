"""Claude, over Anthropic's Messages API of version 2026-10-21. Always streamed, asked once, never retried here.

What this API will not have decides how a talk is written down. Sampling parameters are refused for every model, so a
request's temperature stays unsaid. A user turn holds tool results alone: words that follow them go inside the last of
them. Every tool use has its result. No request ends with the assistant's words.

Thinking goes back exactly as it came. On the newest models it is also bound to all that stood before it: once an older
turn has been masked or taken out, what was thought after it would be a 400, so it is left out, and only then.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import urlsplit

import httpx2

from sidecar.agent.faults import (
    Busy,
    ContextOverflow,
    CutOff,
    Declined,
    Disconnected,
    EmptyReply,
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
from sidecar.agent.talk import RawCall, Reply, Request, Said, Stop, Told, ToolSpec, Turn, Usage

if TYPE_CHECKING:
    from types import ModuleType

    from anthropic import AsyncAnthropic

Thinking = Literal["own", "adaptive", "least"]
"""Whether to say nothing about thinking, to ask for as much as the model sees fit, or for as little as it can do."""

_VERSION = "2026-10-21"
_STREAM_BYTES = 64_000_000
_EVENT_BYTES = 4_000_000
_BODY_BYTES = 1_000_000
_MESSAGE_CHARACTERS = 500
_DEPTH = 100
_BYTES_PER_TOKEN = 3.3

_GO_ON = "Go on."
_NOTHING = "(nothing)"
_NOT_CARRIED_OUT = "This call was not carried out."

_OUR_HEADERS = (
    "accept", "anthropic-version", "authorization", "connection", "content-", "host", "idempotency-key", "user-agent",
    "x-stainless-",
)  # fmt: skip

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
_STATUS_OF_ERROR = {
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
_STOPS: Mapping[str, Stop] = {"max_tokens": "length"}
_LEAST_THINKING: Mapping[tuple[str, int, int], str] = {
    ("opus", 5, 0): "disabled",
    ("sonnet", 5, 0): "disabled",
    ("sonnet", 5, 5): "between_tools",
}
_ADAPTIVE_SINCE = (4, 6)
_THOUGHTS = {"thinking": "signature", "redacted_thinking": "data"}


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
        answer = _Answer(asked=estimate_tokens(request))
        try:
            await self._exchange(self._connected(anthropic), body, answer)
        except (TimeoutError, httpx2.HTTPError, anthropic.AnthropicError, _Unspeakable, _Complaint) as problem:
            fault = self._fault(problem, answer)
        else:
            reply = answer.reply()
            self._bound.update(dict.fromkeys(_signatures(reply.blocks), digest))
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
        return _count(getattr(counted, "input_tokens", None))

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
        head = _head(request)
        messages, digest = unbroken(messages_of(request.turns), _digest(head), self._bound)
        body = {"model": self._model, "max_tokens": request.max_tokens, **head, "messages": with_breakpoint(messages)}
        if thinking := thinking_of(self._thinking, self._model):
            body["thinking"] = thinking
        return cast("dict[str, Any]", _well_formed(body)), digest

    async def _exchange(self, client: AsyncAnthropic, body: Mapping[str, Any], answer: _Answer) -> None:
        """Send `body` and let `answer` hear what comes; leaving closes the connection, whatever the reason."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._timeouts.whole
        events = _Events()
        async with asyncio.timeout_at(min(end, loop.time() + self._timeouts.first)) as patience:
            stream = await client.messages.create(**body, stream=True)
            async with contextlib.aclosing(stream.response) as response:
                answer.opened(response)
                async with contextlib.aclosing(response.aiter_bytes()) as chunks:
                    async for chunk in chunks:
                        for name, data in events.of(chunk):
                            answer.hear(name, data)
                            patience.reschedule(min(end, loop.time() + self._timeouts.between))
                        if answer.complete:  # nothing can follow, but a server might keep the connection open
                            return

    def _fault(self, problem: BaseException, answer: _Answer) -> ModelFault:
        if isinstance(problem, _Complaint):
            return self._named(fault_of(problem.status, problem.message), problem.message, usage=answer.usage())
        if isinstance(problem, _Unspeakable):
            return self._named(Garbled, str(problem), usage=answer.usage())
        if (status := getattr(problem, "status_code", None)) is not None:
            return self._by_status(status, problem)
        ours = isinstance(problem, TimeoutError | httpx2.HTTPError)
        return self._broken(problem if ours else problem.__cause__ or problem, answer)

    def _by_status(self, status: int, problem: Any) -> ModelFault:
        """An answer that is an error. What was refused before it began has cost nothing."""
        message = _message_of(problem.body)
        wait = retry_after_seconds(problem.response.headers.get("retry-after"), now=datetime.now(UTC))
        usage = Usage() if status < 500 else None
        return self._named(
            fault_of(status, message), f"Status {status}. {message}".strip(), usage=usage, retry_after=wait
        )

    def _broken(self, cause: BaseException, answer: _Answer) -> ModelFault:
        """No answer, or part of one. A connection that was never made cannot have been billed."""
        if isinstance(cause, httpx2.ConnectTimeout | httpx2.PoolTimeout):
            return self._named(Unreachable, "Nobody answered in time.")
        if isinstance(cause, TimeoutError | httpx2.TimeoutException):
            return self._named(Slow, "The answer did not come in time.", usage=answer.usage())
        if isinstance(cause, httpx2.DecodingError):
            return self._named(Garbled, str(cause), usage=answer.usage())
        if answer.begun:
            return self._named(Disconnected, "The answer broke off in the middle.", usage=answer.usage())
        return self._named(Unreachable, f"Nobody answers: {cause}")

    def _named(
        self, kind: type[ModelFault], message: str, *, usage: Usage | None = None, retry_after: float | None = None
    ) -> ModelFault:
        hidden = " ".join(message.replace(self._key, "[the key]").split())
        return kind(hidden[:_MESSAGE_CHARACTERS], usage=usage, retry_after=retry_after)


def estimate_tokens(request: Request) -> int:
    """About how many tokens the prompt of `request` has, by its size; rather too many than too few."""
    said = {**_head(request), "messages": messages_of(request.turns)}
    return _tokens(len(_json(said)))


def messages_of(turns: Iterable[Turn]) -> list[dict[str, Any]]:
    """The turns as messages that the API takes, without the breakpoint."""
    talk = _Talk()
    for turn in turns:
        talk.add(turn)
    return talk.finished()


def with_breakpoint(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The same messages, to be cached up to the last tool result. Without one, a prefix is too short to be cached."""
    marked = [dict(message) for message in messages]
    for message in reversed(marked):
        last = message["content"][-1]
        if last["type"] == "tool_result":
            message["content"] = [*message["content"][:-1], {**last, "cache_control": {"type": "ephemeral"}}]
            break
    return marked


def unbroken(
    messages: Iterable[dict[str, Any]], head: str, bound: Mapping[str, str]
) -> tuple[list[dict[str, Any]], str]:
    """The messages without thoughts that were bound to something else, and the digest of all that is left.

    `bound` says for a thought's signature what stood before its answer. Unknown ones are trusted to be in their place.
    """
    kept, digest = [], head
    for message in messages:
        if message["role"] == "assistant" and any(
            bound.get(signature, digest) != digest for signature in _signatures(message["content"])
        ):
            spoken = [block for block in message["content"] if block.get("type") not in _THOUGHTS]
            kept.append({**message, "content": spoken or [_text(_NOTHING)]})
        else:
            kept.append(message)
        digest = _digest([digest, kept[-1]])
    return kept, digest


def thinking_of(policy: Thinking, model: str) -> dict[str, str] | None:
    """What to ask of `model` by `policy`; None says nothing, as for models that are not known to take it."""
    named = re.match(r"claude-([a-z]+)-(\d{1,2})(?:-(\d{1,2}))?(?!\d)", model)
    if named is None or policy == "own":
        return None
    family, major, minor = named[1], int(named[2]), int(named[3] or 0)
    if policy == "adaptive":
        return {"type": "adaptive"} if (major, minor) >= _ADAPTIVE_SINCE else None
    least = _LEAST_THINKING.get((family, major, minor))
    return {"type": least} if least else None


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


def _until(value: str, now: datetime) -> float | None:
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


class _Unspeakable(Exception):
    """What came is not the protocol."""


class _Complaint(Exception):
    """An error event inside the stream."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class _Talk:
    """Messages in the making. A user's turn is collected until the assistant speaks again."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._open: list[str] = []
        self._results: list[dict[str, Any]] = []
        self._words: list[str] = []

    def add(self, turn: Turn) -> None:
        """Append one turn."""
        if isinstance(turn, Said):
            self._say(turn)
        elif isinstance(turn, Told):
            self._words.append(turn.text)
        elif turn.call.id in self._open:
            self._open.remove(turn.call.id)
            self._results.append(_result(turn.call.id, turn.text))
        else:  # of a call that was read out of words, or whose turn is gone: a result without a use is refused
            self._words.append(f"{turn.call.name}: {turn.text}")

    def finished(self) -> list[dict[str, Any]]:
        """All messages; the last one is the user's."""
        self._end_user_turn()
        return self._messages

    def _say(self, turn: Said) -> None:
        self._end_user_turn()
        content = list(_spoken(turn)) or [_text(_NOTHING)]
        self._messages.append({"role": "assistant", "content": content})
        self._open = [block["id"] for block in content if block["type"] == "tool_use"]

    def _end_user_turn(self) -> None:
        """Words beside results would teach the model to end its turn after them, hence inside the last one."""
        results = self._results + [{**_result(use, _NOT_CARRIED_OUT), "is_error": True} for use in self._open]
        words = "\n\n".join(word for word in self._words if word.strip())
        if results and words:
            results[-1]["content"].append(_text(words))
        self._messages.append({"role": "user", "content": results or [_text(words or _GO_ON)]})
        self._open, self._results, self._words = [], [], []


def _spoken(turn: Said) -> Iterator[dict[str, Any]]:
    """An assistant's blocks as they came, else made of its text and calls. Empty texts are the API's, but refused."""
    made = {call.id: dict(call.arguments) for call in turn.calls}
    unread = {call.id for call in turn.reply.calls if not isinstance(call.arguments, Mapping)}
    for block in turn.reply.blocks:
        if block.get("type") == "tool_use" and block["id"] in unread:
            yield {**block, "input": made.get(block["id"], {})}
        elif block.get("type") != "text" or block["text"].strip():
            yield dict(block)
    if not turn.reply.blocks:
        if turn.reply.text.strip():
            yield _text(turn.reply.text)
        for call in turn.calls:
            yield {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(call.arguments)}


@dataclass
class _Block:
    """A content block in the making. `whole` is False when a part of it came in a way that we do not know."""

    received: dict[str, Any]
    pieces: list[str] = field(default_factory=list)
    whole: bool = True

    @property
    def kind(self) -> str:
        return str(self.received.get("type", ""))

    def add(self, delta: Mapping[str, Any]) -> None:
        """Append one delta."""
        kind = delta.get("type")
        known = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
        if kind in known:
            self.pieces.append(_str(delta.get(known[kind])))
        elif kind == "signature_delta":
            self.received["signature"] = _str(delta.get("signature"))
        elif self.kind != "text":
            self.whole = False

    def call(self) -> RawCall:
        """The call in a tool use; its arguments are a string when they are no JSON, for the repair ladder to read."""
        written = "".join(self.pieces)
        arguments: Any = self.received.get("input", {})
        if written:
            try:
                arguments = _parsed(written)
            except ValueError:
                arguments = written
        return RawCall(name=_str(self.received.get("name")), arguments=arguments, id=_str(self.received.get("id")))

    def finished(self) -> dict[str, Any] | None:
        """The block as the API wants it back; None for one that cannot go back as it came."""
        joined = "".join(self.pieces)
        if self.kind == "text":
            return {**self.received, "text": _str(self.received.get("text")) + joined}
        if self.kind == "thinking":
            thought = {**self.received, "thinking": _str(self.received.get("thinking")) + joined}
            return thought if thought.get("signature") else None
        if self.kind == "tool_use":
            arguments = self.call().arguments
            return {**self.received, "input": arguments if isinstance(arguments, dict) else {}}
        return self.received if self.kind and self.whole and not self.pieces else None


class _Answer:
    """An answer in the making, from its events. `asked` is our estimate of the prompt, in tokens."""

    def __init__(self, *, asked: int) -> None:
        self.complete = False
        self.begun = False
        self._asked = asked
        self._since = time.monotonic()
        self._first: float | None = None
        self._request_id = ""
        self._stop = ""
        self._category = ""
        self._blocks: dict[int, _Block] = {}
        self._started: dict[str, Any] = {}
        self._ended: dict[str, Any] = {}

    def opened(self, response: httpx2.Response) -> None:
        """The server has begun to answer. Raises _Unspeakable for anything but a stream of events."""
        self.begun = True
        self._request_id = response.headers.get("request-id", "")[:200]
        kind = response.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "text/event-stream":
            raise _Unspeakable(f"The answer is no stream of events but {kind[:100] or 'of no type'}.")

    def hear(self, name: str, data: bytes) -> None:
        """Take one event. Unknown ones mean nothing; what is no event raises _Unspeakable, an error _Complaint."""
        event = _event(data)
        kind = event.get("type", name)
        if kind == "error":
            error = _dict(event.get("error"))
            said = f"{_str(error.get('type'))}: {_str(error.get('message'))}"
            raise _Complaint(_STATUS_OF_ERROR.get(_str(error.get("type")), 500), said)
        if kind == "message_start":
            self._started = _dict(_dict(event.get("message")).get("usage"))
        elif kind in ("content_block_start", "content_block_delta"):
            self._hear_content(kind, event)
        elif kind == "message_delta":
            self._hear_end(event)
        elif kind == "message_stop":
            self.complete = True

    def _hear_content(self, kind: str, event: Mapping[str, Any]) -> None:
        index = event.get("index")
        if not isinstance(index, int):
            raise _Unspeakable("A block has no number.")
        if self._first is None:
            self._first = time.monotonic() - self._since
        if kind == "content_block_start":
            self._blocks[index] = _Block(_dict(event.get("content_block")))
        elif index in self._blocks:
            self._blocks[index].add(_dict(event.get("delta")))
        else:
            raise _Unspeakable("A block goes on that never began.")

    def _hear_end(self, event: Mapping[str, Any]) -> None:
        delta = _dict(event.get("delta"))
        self._stop = _str(delta.get("stop_reason")) or self._stop
        self._category = _str(_dict(delta.get("stop_details")).get("category"))
        self._ended.update(_dict(event.get("usage")))

    def usage(self) -> Usage:
        """What this has cost so far: as the server says, and for what it has not said, our estimate."""
        said = {**self._started, **{name: count for name, count in self._ended.items() if count is not None}}
        asked, written = _count(said.get("input_tokens")), _count(self._ended.get("output_tokens"))
        short, long = _cache_writes(said)
        return Usage(
            input=self._asked if asked is None else asked,
            output=self._written() if written is None else written,
            cache_write_5m=short,
            cache_write_1h=long,
            cache_read=_count(said.get("cache_read_input_tokens")) or 0,
            measured=asked is not None and written is not None,
        )

    def reply(self) -> Reply:
        """The finished answer. Raises Disconnected, Declined, ContextOverflow, CutOff or EmptyReply."""
        if not self.complete:
            raise Disconnected("The answer broke off in the middle.", usage=self.usage())
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        calls = tuple(block.call() for block in blocks if block.kind == "tool_use")
        finished = [made for block in blocks if (made := block.finished()) is not None]
        text = "".join(block["text"] for block in finished if block["type"] == "text")
        self._refuse(blocks, said=bool(text.strip() or calls))
        return Reply(
            text=text,
            thinking="".join("".join(block.pieces) for block in blocks if block.kind == "thinking"),
            calls=calls,
            stop=_STOPS.get(self._stop, "tools" if calls else "stop"),
            usage=self.usage(),
            first_seconds=self._first or 0.0,
            seconds=time.monotonic() - self._since,
            blocks=tuple(finished),
            request_id=self._request_id,
        )

    def _refuse(self, blocks: Sequence[_Block], *, said: bool) -> None:
        """Endings that are no answer. A pause is one: it is for tools of Anthropic's own, and we offer none."""
        if self._stop == "refusal":
            why = f" ({self._category})" if re.fullmatch(r"[a-z_]{1,40}", self._category) else ""
            raise Declined(f"The model declined to do this{why}.", usage=self.usage())
        if self._stop == "model_context_window_exceeded":
            raise ContextOverflow("The model's context is full.", usage=self.usage())
        if self._stop == "max_tokens" and blocks and blocks[-1].kind == "tool_use":
            raise CutOff("The output limit was reached in the middle of a call.", usage=self.usage())
        if not said:
            raise EmptyReply("The model said nothing and called nothing.", usage=self.usage())

    def _written(self) -> int:
        """Estimated from what came; the server's first count stands for at least what it had written by then."""
        size = sum(len(piece.encode("utf-8", "replace")) for block in self._blocks.values() for piece in block.pieces)
        return max(_tokens(size), _count(self._started.get("output_tokens")) or 0)


def _cache_writes(said: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the caches of five minutes and of one hour. The total rules; what is not split is short."""
    split = _dict(said.get("cache_creation"))
    long = _count(split.get("ephemeral_1h_input_tokens")) or 0
    total = _count(said.get("cache_creation_input_tokens"))
    if total is None:
        return _count(split.get("ephemeral_5m_input_tokens")) or 0, long
    return max(0, total - long), min(long, total)


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


class _Events:
    """Server-sent events out of chunks that are cut anywhere. One that the end of the stream cuts off is none."""

    def __init__(self) -> None:
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def of(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """The name and data of every event that ends in this chunk."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _EVENT_BYTES:
            raise _Unspeakable("A line is too long.")
        for line in lines:
            if line.rstrip(b"\r"):
                self._take(line.rstrip(b"\r"))
            else:
                if self._data:
                    yield self._name, b"\n".join(self._data)
                self._name, self._data, self._size = "", [], 0

    def _take(self, line: bytes) -> None:
        self._size += len(line)
        if self._size > _EVENT_BYTES:
            raise _Unspeakable("An event is too long.")
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("ascii", "replace")


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = _parsed(data)
    except ValueError:
        raise _Unspeakable("An event is not JSON.") from None
    if not isinstance(event, dict):
        raise _Unspeakable("An event is not an object.")
    return event


def _parsed(text: str | bytes) -> Any:
    """JSON that can be sent again: no NaN, and no nesting that would exhaust the stack. Raises ValueError."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("It is nested too deeply.") from None
    if not _shallow(value, _DEPTH):
        raise ValueError("It is nested too deeply.")
    return value


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON.")


def _shallow(value: object, left: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return left > 0 and all(_shallow(part, left - 1) for part in parts)


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


def _head(request: Request) -> dict[str, Any]:
    """What stands before the messages. Tools are sorted, so that their order can never cost the cache."""
    head: dict[str, Any] = {}
    if request.system.strip():
        head["system"] = [_text(request.system)]
    if request.tools:
        head["tools"] = [_tool(spec) for spec in sorted(request.tools, key=lambda spec: spec.name)]
    return head


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {"name": spec.name, "description": spec.description, "input_schema": dict(spec.parameters)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(use: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use, "content": [_text(text)] if text.strip() else []}


def _signatures(blocks: Iterable[Mapping[str, Any]]) -> list[str]:
    return [_str(block.get(_THOUGHTS[block["type"]])) for block in blocks if block.get("type") in _THOUGHTS]


def _digest(value: Any) -> str:
    return hashlib.sha256(_json(value)).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")


def _well_formed(value: Any) -> Any:
    """The same without what could not be sent: halves of surrogate pairs, as a tool's output may hold; infinities."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_well_formed(name): _well_formed(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_well_formed(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _message_of(body: object) -> str:
    """The error's type and text, or the body itself where it is not in the API's shape."""
    error = _dict(_dict(body).get("error"))
    if error:
        return f"{_str(error.get('type'))}: {_str(error.get('message'))}"
    return body if isinstance(body, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


def _tokens(size: int) -> int:
    return math.ceil(size / _BYTES_PER_TOKEN)
