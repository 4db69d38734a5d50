"""A Messages API that says what a test tells it to, on Anthropic's exact wire, and takes no sloppy request.

Each request takes the next turn of its script: an `Answer`, a `Fault` by name, or a function of the request that gives
one of them. With a `player` it asks that instead, once the script is used up. What it was asked is in `asked`, what it
counted is in `billed`, and what no client of ours may send is in `violations`: `serving` fails on those at its end.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.demo.loopback import HttpRequest, LoopbackServer, Wire, listening

JSON = "application/json"
KEY = "sk-ant-scripted-0123456789"
NAME = "claude-sonnet-5-5"

_VERSIONS = {"2026-10-21"}
_FIELDS = {
    "model", "max_tokens", "messages", "system", "tools", "tool_choice", "thinking", "stream", "stop_sequences",
    "metadata", "output_config", "service_tier", "cache_control",
}  # fmt: skip
_COUNTED_FIELDS = {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
_SAMPLING = {"temperature", "top_p", "top_k"}
_BLOCKS = {
    "user": {"text", "tool_result"},
    "assistant": {"text", "thinking", "redacted_thinking", "tool_use"},
}
_THOUGHTS = {"thinking", "redacted_thinking"}
_BREAKPOINTS = 4
_CHARACTERS_PER_TOKEN = 4
_CLASSES = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_input_tokens",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says: thinking, then words, then calls, then `blocks` that come whole.

    `calls` have a `name` and an `input`, or its JSON as `written`; an `id` is made where there is none. Tokens are
    counted honestly unless `usage` says them; None leaves them out. With `strangers`, events, deltas and pings come in
    between that no client knows. Words come in pieces of `piece` characters, the stream in chunks of `chunk` bytes
    (None: an event is a chunk).
    """

    text: str = ""
    thinking: str = ""
    calls: Sequence[Mapping[str, Any]] = ()
    blocks: Sequence[Mapping[str, Any]] = ()
    stop: str = ""
    stop_details: Mapping[str, Any] | None = None
    usage: Mapping[str, Any] | Literal["honest"] | None = "honest"
    request_id: bool = True
    strangers: bool = False
    piece: int = 12
    chunk: int | None = None


FaultName = Literal[
    "status",  # `status` with an error of `kind` and `message`, before any other byte
    "page",  # `status` with `raw` as a page for people
    "error_event",  # `kind` and `message` in the stream, after a good status
    "no_stop",  # the stream ends well, but without `message_stop`
    "reset",  # the connection breaks in the middle
    "no_answer",  # it breaks before the first byte
    "no_http",  # it answers, but not in HTTP
    "silent",  # nothing comes at all
    "silent_after_headers",
    "silent_midway",
    "raw",  # `raw` as it is, after what comes first, then the end
    "wrong_type",  # a page for people, with a good status
    "redirect",
    "compressed",  # a stream in a coding that was not asked for
    "long_line",  # a line without an end
    "endless",  # events without an end
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, after `first` has been said (without its end)."""

    name: FaultName
    first: Answer = field(default_factory=Answer)
    status: int = 500
    kind: str = "api_error"
    message: str = "Internal server error"
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""


@dataclass(frozen=True)
class Asked:
    """One request for a message, or for a count of its tokens."""

    body: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("messages") or [])

    @property
    def last(self) -> Mapping[str, Any]:
        return self.messages[-1]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that it offers."""
        return [tool["name"] for tool in self.body.get("tools") or []]

    @property
    def results(self) -> list[str]:
        """The text of every tool result in the last message."""
        return [
            "\n".join(part["text"] for part in block["content"])
            for block in self.last["content"]
            if block["type"] == "tool_result"
        ]

    @property
    def prompt_tokens(self) -> int:
        """As this server counts them: a token is four characters of all that the model reads."""
        return _tokens("".join(text for text, _ in _pieces(self.body)))

    @property
    def key(self) -> str:
        """The key, in either of the headers that may hold it."""
        return self.headers.get("x-api-key") or self.headers.get("authorization", "").removeprefix("Bearer ")


Turn = Answer | Fault
Player = Callable[[Asked], "Turn | Awaitable[Turn]"]


class AnthropicServer(LoopbackServer):
    """`said` is set when it goes silent. Prefixes of at least `least_cached` tokens are cached at a breakpoint."""

    def __init__(self, *turns: Turn | Player, player: Player | None = None) -> None:
        super().__init__()
        self.script = deque(turns)
        self.player = player
        self.key = KEY
        self.models = {NAME: 200_000}  # with their contexts, in tokens
        self.counts = True
        self.quota_is_used_up = False
        self.out_of_order = False
        self.least_cached = 1024
        self.asked: list[Asked] = []
        self.counted: list[Asked] = []
        self.billed: list[Mapping[str, int]] = []
        self.violations: list[str] = []
        self.said = asyncio.Event()
        self._cached: list[str] = []
        self._given: dict[str, list[list[dict[str, Any]]]] = {}

    async def answer(self, request: HttpRequest, wire: Wire) -> bool:
        """Messages and counts of their tokens."""
        asked = Asked(request.json() or {}, request.headers)
        if self.out_of_order:
            await _error(wire, 500, "api_error", "Internal server error")
            return True
        if request.path == "/v1/messages/count_tokens" and self.counts:
            self.counted.append(asked)
            if self.quota_is_used_up:
                await _error(wire, 429, "rate_limit_error", "Too many requests")
            elif not await self._refused(asked, _COUNTED_FIELDS, wire):
                await wire.json(200, {"input_tokens": asked.prompt_tokens}, kind=JSON)
            return True
        if request.path != "/v1/messages":
            await _error(wire, 404, "not_found_error", "Not found")
            return True
        self.asked.append(asked)
        return True if await self._refused(asked, _FIELDS, wire) else await self._message(asked, wire)

    async def _refused(self, asked: Asked, fields: set[str], wire: Wire) -> bool:
        """Whether this got the error that an honest server gives; what no client may send is noted as well."""
        if wrong := [*_wrong_head(asked, fields), *_wrong_messages(asked.messages), *self._wrong_thoughts(asked)]:
            self.violations += wrong
            await _error(wire, 400, "invalid_request_error", "; ".join(wrong))
        elif asked.key != self.key:
            await _error(wire, 401, "authentication_error", f"invalid x-api-key {asked.key}")
        elif asked.body["model"] not in self.models:
            await _error(wire, 404, "not_found_error", f"model: {asked.body['model']}")
        elif asked.prompt_tokens > (context := self.models[asked.body["model"]]):
            size = f"{asked.prompt_tokens} tokens > {context} maximum"
            await _error(wire, 400, "invalid_request_error", f"prompt is too long: {size}")
        else:
            return False
        return True

    async def _message(self, asked: Asked, wire: Wire) -> bool:
        turn = await self._turn(asked)
        if isinstance(turn, Fault):
            await _FAULTS[turn.name](self, turn, asked, wire)
            return turn.name in {"status", "page"}
        events = _Events(turn, asked, number=len(self.asked), cost=self.cost(asked))
        thoughts = [block for block in events.blocks if block["type"] in _THOUGHTS]
        self._given.setdefault(_prefix(asked.body, asked.messages), []).append(thoughts)
        self.bill(events)
        await self.begin(turn, events, wire)
        for event in events.end():
            await _event(wire, event, turn.chunk)
        await wire.finish()
        return True

    async def begin(self, answer: Answer, events: _Events, wire: Wire) -> None:
        """Everything but the end of an answer."""
        named = {"request-id": f"req_{len(self.asked):012}"} if answer.request_id else {}
        await wire.start(200, "text/event-stream; charset=utf-8", named)
        for event in events.start():
            await _event(wire, event, answer.chunk)

    def cost(self, asked: Asked) -> dict[str, int]:
        """Prompt tokens by class; what ends at a breakpoint is cached from now on."""
        said = list(_pieces(asked.body))
        ends = [number for number, (_, marked) in enumerate(said, start=1) if marked]
        prefix = "".join(text for text, _ in said[: ends[-1]]) if ends else ""
        read = max((_tokens(known) for known in self._cached if prefix.startswith(known)), default=0)
        long = _tokens(prefix) >= self.least_cached
        if long:
            self._cached.append(prefix)
        written = _tokens(prefix) - read if long else 0
        return {"cache_read": read, "cache_write_5m": written, "input": asked.prompt_tokens - read - written}

    def bill(self, events: _Events) -> None:
        """Note what an answer costs, or the part of one that is said before it breaks off."""
        self.billed.append({name: count for name, count in events.billed().items() if count})

    async def _turn(self, asked: Asked) -> Turn:
        step = self.script.popleft() if self.script else self.player
        if step is None:
            self.violations.append("a request that the script knows nothing of")
            return Fault(name="status", message="the script is at its end")
        if isinstance(step, Answer | Fault):
            return step
        turn = step(asked)
        return await turn if inspect.isawaitable(turn) else turn

    def _wrong_thoughts(self, asked: Asked) -> list[str]:
        """Thoughts go back as they were given, behind the very words that they were given behind, or not at all."""
        wrong = []
        for number, message in enumerate(asked.messages):
            if message["role"] != "assistant":
                continue
            given = self._given.get(_prefix(asked.body, asked.messages[:number]), [])
            thoughts = [block for block in message["content"] if block["type"] in _THOUGHTS]
            if thoughts and thoughts not in given:
                wrong.append(f"messages.{number}: `thinking` was changed, or is bound to a different conversation")
            elif not thoughts and given and all(given):
                wrong.append(f"messages.{number}: `thinking` was dropped")
        return wrong


@asynccontextmanager
async def serving(server: AnthropicServer):
    """`server` on a port of its own; fails at the end when it was asked what it must not be asked."""
    async with listening(server):
        yield server
    assert not server.violations, server.violations


# --- what no client of ours may send ----------------------------------------------------------------------------------


def _wrong_head(asked: Asked, fields: set[str]) -> list[str]:
    body = asked.body
    wrong = [f"{name}: Extra inputs are not permitted" for name in sorted(set(body) - fields)]
    if asked.headers.get("anthropic-version") not in _VERSIONS:
        wrong.append("anthropic-version: header is required")
    if not asked.key:
        wrong.append("x-api-key or authorization: header is required")
    wrong += [f"{name}: Field required" for name in ("model", "messages") if not body.get(name)]
    if "max_tokens" in fields and not isinstance(body.get("max_tokens"), int):
        wrong.append("max_tokens: Field required")
    if "stream" in fields and body.get("stream") is not True:
        wrong.append("stream: only streams are spoken here")
    if (body.get("tool_choice") or {}).get("type") in {"any", "tool"}:
        wrong.append("tool_choice: forced tool use is not supported")
    if sum(marked for _, marked in _pieces(body)) > _BREAKPOINTS:
        wrong.append(f"A maximum of {_BREAKPOINTS} blocks with cache_control may be provided")
    return wrong


def _wrong_messages(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    wrong = []
    roles = [message["role"] for message in messages]
    if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        wrong.append(f"messages: the roles do not take turns from user to user (prefill is not supported): {roles}")
    uses: list[str] = []
    for number, message in enumerate(messages):
        blocks = message["content"]
        wrong += [f"messages.{number}: {what}" for what in _wrong_blocks(message["role"], blocks)]
        answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if sorted(answered) != sorted(uses):
            wrong.append(f"messages.{number}: `tool_use` {uses} do not have their `tool_result` {answered}")
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
    return wrong


def _wrong_blocks(role: str, blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    kinds = {block["type"] for block in blocks}
    if not blocks:
        yield "content must not be empty"
    if strange := kinds - _BLOCKS[role]:
        yield f"blocks that no {role} may send: {strange}"
    if {"text", "tool_result"} <= kinds:
        yield "text beside tool_result"
    texts = [block for block in blocks if block["type"] == "text"]
    texts += [part for block in blocks if block["type"] == "tool_result" for part in block["content"]]
    if not all(text["text"].strip() for text in texts):
        yield "text content blocks must contain non-whitespace text"
    if not all(isinstance(block["input"], dict) for block in blocks if block["type"] == "tool_use"):
        yield "tool_use.input: Input should be a valid dictionary"


def _pieces(body: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """All that the model reads, in its order, and whether there is a breakpoint behind it."""
    heads = [("tools", tool) for tool in body.get("tools") or []] + [("", block) for block in body.get("system") or []]
    said = [(message["role"], block) for message in body.get("messages") or [] for block in message["content"]]
    for role, block in heads + said:
        bare = {name: value for name, value in block.items() if name != "cache_control"}
        yield role + json.dumps(bare, ensure_ascii=False), "cache_control" in block


def _prefix(body: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    return "".join(text for text, _ in _pieces({**body, "messages": messages}))


# --- faults, by name --------------------------------------------------------------------------------------------------


async def _status(_server: AnthropicServer, fault: Fault, _asked: Asked, wire: Wire) -> None:
    await _error(wire, fault.status, fault.kind, fault.message, fault.headers)


async def _page(_server: AnthropicServer, fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(fault.status, fault.raw, kind="text/html", headers=fault.headers)


async def _begin(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    events = _Events(fault.first, asked, number=len(server.asked), cost=server.cost(asked))
    server.bill(events)
    await server.begin(fault.first, events, wire)


async def _error_event(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await _event(wire, {"type": "error", "error": {"type": fault.kind, "message": fault.message}})
    await wire.finish()


async def _no_stop(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.finish()


async def _reset(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)


async def _no_answer(_server: AnthropicServer, _fault: Fault, _asked: Asked, _wire: Wire) -> None:
    return


async def _no_http(_server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.send(b"220 mail.example.org ready for mail\r\n\r\n")


async def _silent(server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    server.said.set()
    await wire.until_hung_up()
    server.hung_up.set()


async def _silent_after_headers(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await wire.start(200, "text/event-stream")
    await _silent(server, fault, asked, wire)


async def _silent_midway(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await _silent(server, fault, asked, wire)


async def _raw(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    await wire.chunk(fault.raw)
    await wire.finish()


async def _wrong_type(_server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(200, b"<html>Please log in.</html>", kind="text/html")


async def _redirect(_server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(307, b"", kind="text/plain", headers={"Location": "/v1/elsewhere"})


async def _compressed(_server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.whole(200, b"no matter", kind="text/event-stream", headers={"Content-Encoding": "gzip"})


async def _long_line(_server: AnthropicServer, _fault: Fault, _asked: Asked, wire: Wire) -> None:
    await wire.start(200, "text/event-stream")
    while True:
        await wire.chunk(b" " * 500_000)


async def _endless(server: AnthropicServer, fault: Fault, asked: Asked, wire: Wire) -> None:
    await _begin(server, fault, asked, wire)
    while True:
        await _event(wire, {"type": "ping", "filling": " " * 500_000})


_FAULTS: Mapping[FaultName, Callable[[AnthropicServer, Fault, Asked, Wire], Awaitable[None]]] = {
    "status": _status,
    "page": _page,
    "error_event": _error_event,
    "no_stop": _no_stop,
    "reset": _reset,
    "no_answer": _no_answer,
    "no_http": _no_http,
    "silent": _silent,
    "silent_after_headers": _silent_after_headers,
    "silent_midway": _silent_midway,
    "raw": _raw,
    "wrong_type": _wrong_type,
    "redirect": _redirect,
    "compressed": _compressed,
    "long_line": _long_line,
    "endless": _endless,
}


# --- what is said -----------------------------------------------------------------------------------------------------


class _Events:
    """The events of one answer, in their order, and what they cost. `number` makes ids unique in a conversation."""

    def __init__(self, answer: Answer, asked: Asked, *, number: int, cost: Mapping[str, int]) -> None:
        self._answer = answer
        self._model = asked.body["model"]
        self._number = number
        self._cost = cost
        self.blocks = list(_blocks(answer, number))

    def start(self) -> Iterator[dict[str, Any]]:
        """Up to the last block that is whole."""
        message = {
            "id": f"msg_{self._number:012}", "type": "message", "role": "assistant", "model": self._model,
            "content": [], "stop_reason": None, "stop_sequence": None,
        }  # fmt: skip
        if (usage := self._usage(output=1)) is not None:
            message["usage"] = usage
        yield {"type": "message_start", "message": message}
        yield {"type": "ping"}
        if self._answer.strangers:
            yield {"type": "hologram_start", "index": 0, "hologram": {"type": "hologram"}}
        for index, block in enumerate(self.blocks):
            yield {"type": "content_block_start", "index": index, "content_block": _bare(block)}
            if self._answer.strangers:
                yield {"type": "content_block_delta", "index": index, "delta": {"type": "scent_delta", "scent": "tea"}}
                yield {"type": "ping"}
            for delta in _deltas(block, self._answer.piece):
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}

    def end(self) -> Iterator[dict[str, Any]]:
        """Why it stopped, what it cost, and that this was all."""
        calls = any(block["type"] == "tool_use" for block in self.blocks)
        delta: dict[str, Any] = {"stop_reason": self._answer.stop or ("tool_use" if calls else "end_turn")}
        delta |= {"stop_sequence": None, "stop_details": self._answer.stop_details}
        event: dict[str, Any] = {"type": "message_delta", "delta": delta}
        if (usage := self._usage(output=self._written())) is not None:
            event["usage"] = {"output_tokens": usage["output_tokens"]}
        yield event
        yield {"type": "message_stop"}

    def billed(self) -> dict[str, int]:
        """Tokens by class, by the names that the ledger uses."""
        usage = self._usage(output=self._written()) or {**self._wire_cost(), "output_tokens": self._written()}
        split = usage.get("cache_creation") or {}
        total = usage.get("cache_creation_input_tokens") or 0
        long = split.get("ephemeral_1h_input_tokens", 0)
        classes = {name: usage.get(field) or 0 for name, field in _CLASSES.items()}
        return classes | {"cache_write_5m": total - long, "cache_write_1h": long}

    def _usage(self, *, output: int) -> dict[str, Any] | None:
        if self._answer.usage is None:
            return None
        if isinstance(self._answer.usage, Mapping):
            return {"output_tokens": output, **self._answer.usage}
        return {**self._wire_cost(), "output_tokens": output}

    def _wire_cost(self) -> dict[str, Any]:
        written = self._cost["cache_write_5m"]
        return {
            "input_tokens": self._cost["input"],
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": self._cost["cache_read"],
            "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        }

    def _written(self) -> int:
        return _tokens("".join(json.dumps(block) for block in self.blocks))


def _blocks(answer: Answer, number: int) -> Iterator[dict[str, Any]]:
    if answer.thinking:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": f"signed-{number}-by-us=="}
    if answer.text:
        yield {"type": "text", "text": answer.text}
    for place, call in enumerate(answer.calls):
        made = {"type": "tool_use", "id": f"toolu_{number}_{place}", "input": {}, **call}
        yield made
    yield from (dict(block) for block in answer.blocks)


def _bare(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block as it starts: empty, where deltas fill it."""
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    return {name: value for name, value in block.items() if name != "written"} | empty.get(block["type"], {})


def _deltas(block: Mapping[str, Any], piece: int) -> Iterator[dict[str, str]]:
    if block["type"] == "text":
        yield from ({"type": "text_delta", "text": part} for part in _cut(block["text"], piece))
    elif block["type"] == "thinking":
        yield from ({"type": "thinking_delta", "thinking": part} for part in _cut(block["thinking"], piece))
        yield {"type": "signature_delta", "signature": block["signature"]}
    elif block["type"] == "tool_use":
        written = block.get("written", json.dumps(block["input"], ensure_ascii=False))
        yield from ({"type": "input_json_delta", "partial_json": part} for part in ["", *_cut(written, piece)])


def _cut(text: str, piece: int) -> list[str]:
    return [text[start : start + piece] for start in range(0, len(text), piece)]


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


async def _event(wire: Wire, event: Mapping[str, Any], chunk: int | None = None) -> None:
    await wire.chunk(f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode(), chunk)


async def _error(wire: Wire, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_of_an_error"}
    await wire.json(status, body, kind=JSON, headers={"request-id": "req_of_an_error", **(headers or {})})
