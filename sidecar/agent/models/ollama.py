"""An Ollama server, asked in its own words: `/api/chat` as a stream of JSON lines, and what it tells about itself.

The `ollama` package keeps the connection, but its `chat` is not what speaks here: that has no words for `truncate` and
`shift`, without which a server silently cuts a conversation that grew too long; it drops what it does not know from
tool schemas, refuses arguments that are no object, stumbles over blank lines, replaces broken UTF-8, reads without
bounds, and takes a stream without an end for a whole answer.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx
import ollama

from sidecar.agent import faults
from sidecar.agent.models.stream import Tail
from sidecar.agent.talk import Observed, RawCall, Reply, Request, Said, Stop, Told, ToolSpec, Turn, Usage

Think = bool | Literal["low", "medium", "high"]

_LINE_BYTES = 4_000_000
_ANSWER_BYTES = 16_000_000
_ERROR_BYTES = 64_000
_ERROR_CHARACTERS = 500
_COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")
_JSON_TYPES = frozenset({"application/x-ndjson", "application/json"})

_CHARACTERS_PER_TOKEN = 3.3
_MOST_CHARACTERS_PER_TOKEN = 6  # a prompt that was read whole has hardly fewer tokens than this makes of it
_CERTAINLY_CUT = 0.4
_ROOM = 32  # tokens by which a server may stop short of a full context

_STRICT_SINCE = (0, 12, 6)
_UNPARSED = re.compile(r"(?:error |failed to )?pars(?:e|ing) (?:the )?tool calls?", re.IGNORECASE)
_NOT_THE_WINDOW = re.compile(r"context (?:cancell?ed|deadline exceeded)|(?:create|initiali[sz]e|init|new)[\w ]*context")


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long we wait, in seconds: to be let in, for the first byte (a model may have to be loaded), between bytes,
    for a whole answer, and for a question about the server itself."""

    connect: float = 10.0
    first: float = 300.0
    between: float = 120.0
    whole: float = 1200.0
    question: float = 20.0


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A model that the server has. `size` in bytes."""

    name: str
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a model can do. `capabilities` are such as "tools" and "thinking", none on servers that do not tell.

    `context` is what it was trained for, in tokens, None when unknown; `parser` and `renderer` are empty for models
    that bring only a template.
    """

    capabilities: frozenset[str]
    context: int | None
    template: str
    parser: str
    renderer: str


@dataclass(frozen=True, kw_only=True)
class Running:
    """A model that is loaded. `size` and `size_vram` in bytes: less of the latter means that the processor has to help.

    `context` in tokens is None on servers that do not tell.
    """

    name: str
    context: int | None
    size: int
    size_vram: int
    expires_at: datetime | None


class Ollama:
    """One model of an Ollama server, with a context that never changes: another one would load the model again."""

    def __init__(
        self,
        *,
        url: str,
        model: str,
        context: int,
        think: Think = False,
        keep_alive: str = "30m",
        timeouts: Timeouts | None = None,
    ) -> None:
        """`context` in tokens; `think` False for a model that cannot. ValueError when `url` is none of http(s)."""
        self._model = model
        self._context = context
        self._think = think
        self._keep_alive = keep_alive
        self._timeouts = timeouts or Timeouts()
        self._connection = _Connection(url, self._timeouts)

    @property
    def name(self) -> str:
        """The model's name as the server knows it."""
        return self._model

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self._context

    async def reply(self, request: Request) -> Reply:
        """Ask once and hear the whole answer. Raises a ModelFault that carries what was spent, and nothing else."""
        body = self._body(request)
        heard = _Heard(prompt_characters=_characters([body["messages"], body.get("tools")]))
        try:
            async with self._exchange("POST", "/api/chat", body, seconds=self._timeouts.first) as (response, patience):
                await self._hear(response, heard, patience)
            return self._judged(heard, request)
        except faults.ModelFault as fault:
            raise heard.ending(fault) from fault.__cause__

    async def version(self) -> str:
        """The server's version; raises the faults of `reply`, as do the other questions."""
        return _string(await self._ask("GET", "/api/version"), "version")

    async def models(self) -> list[Installed]:
        """Every model that the server has on its disk."""
        found = _objects(await self._ask("GET", "/api/tags"), "models")
        return [
            Installed(name=_name(model), digest=_string(model, "digest"), size=_number(model, "size") or 0)
            for model in found
        ]

    async def show(self, model: str) -> Shown:
        """What `model` can do; ModelMissing when the server has none of this name."""
        told = await self._ask("POST", "/api/show", {"model": model})
        capabilities = told.get("capabilities") or []
        if not _are_strings(capabilities):
            raise faults.Garbled("The server's list of capabilities is none.")
        return Shown(
            capabilities=frozenset(capabilities),
            context=_trained_context(told),
            template=_string(told, "template"),
            parser=_string(told, "parser"),
            renderer=_string(told, "renderer"),
        )

    async def running(self) -> list[Running]:
        """Every model that is loaded now."""
        found = _objects(await self._ask("GET", "/api/ps"), "models")
        return [
            Running(
                name=_name(model),
                context=_number(model, "context_length"),
                size=_number(model, "size") or 0,
                size_vram=_number(model, "size_vram") or 0,
                expires_at=_moment(model, "expires_at"),
            )
            for model in found
        ]

    async def close(self) -> None:
        """Give the connections back."""
        await self._connection.close()

    def _body(self, request: Request) -> dict[str, Any]:
        options: dict[str, Any] = {"num_ctx": self._context, "num_predict": request.max_tokens}
        if request.temperature is not None:
            options["temperature"] = request.temperature
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": request.system}, *map(_message, request.turns)],
            "stream": True,
            "think": self._think,  # capable models think unless told not to
            "truncate": False,
            "shift": False,
            "keep_alive": self._keep_alive,
            "options": options,
        }
        if request.tools:
            body["tools"] = [_tool(spec) for spec in request.tools]
        return body

    async def _hear(self, response: httpx.Response, heard: _Heard, patience: asyncio.Timeout) -> None:
        """Read until the server is done, or the connection is."""
        clock = asyncio.get_running_loop().time
        heard.begun = True
        end = clock() - heard.seconds + self._timeouts.whole
        lines = _Lines()
        async for chunk in response.aiter_raw():
            patience.reschedule(min(end, clock() + self._timeouts.between))
            for line in lines.feed(chunk):
                heard.take(line)
            if heard.final is not None:
                return
        heard.take_last(lines.rest)

    def _judged(self, heard: _Heard, request: Request) -> Reply:
        usage = heard.usage()
        if self._was_cut(heard, usage) or self._is_full(heard, usage, request.max_tokens):
            raise faults.ContextOverflow(f"The conversation does not fit into {self._context} tokens.")
        if not heard.anything:
            raise faults.EmptyReply(f"The model said nothing ({heard.reason or 'no reason given'}).")
        if heard.calls and heard.reason == "length":
            raise faults.CutOff("The output limit was reached in a call.")
        return heard.reply(usage)

    def _was_cut(self, heard: _Heard, usage: Usage) -> bool:
        """Whether the server has read less than we sent.

        A count far too low is evidence only where a cache does not explain it: either the server tells what it took
        from its cache (then the count includes that), or the prompt could not have fitted anyhow.
        """
        if not heard.prompt_measured:
            return False
        least = heard.prompt_characters / _MOST_CHARACTERS_PER_TOKEN
        unexplained = heard.cached is not None or _tokens(heard.prompt_characters) > self._context
        return usage.prompt >= self._context or (unexplained and usage.prompt < _CERTAINLY_CUT * least)

    def _is_full(self, heard: _Heard, usage: Usage, max_tokens: int) -> bool:
        """Whether the answer ended for want of context, not at its own limit."""
        ended_early = heard.reason == "length" and usage.measured and usage.output < max_tokens
        return ended_early and usage.prompt + usage.output >= self._context - _ROOM

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A question with a short answer."""
        async with self._exchange(method, path, body, seconds=self._timeouts.question) as (response, _):
            content = await _read(response, _ANSWER_BYTES)
        if len(content) >= _ANSWER_BYTES:
            raise faults.Garbled("The answer has no end.")
        return _object(content)

    @asynccontextmanager
    async def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, seconds: float
    ) -> AsyncIterator[tuple[httpx.Response, asyncio.Timeout]]:
        """An answer that has begun well, and the time that is left for it; whatever goes wrong is a ModelFault."""
        answered = False
        try:
            async with (
                asyncio.timeout(min(seconds, self._timeouts.whole)) as patience,
                self._connection.answer(method, path, body) as response,
            ):
                await _accept(response)
                answered = True
                yield response, patience
        except TimeoutError as late:
            what = "The answer took too long." if answered else "No answer came in time."
            raise faults.Slow(what) from late
        except httpx.TransportError as problem:
            raise _broken(problem, answered) from problem
        except (httpx.InvalidURL, UnicodeError) as problem:  # a host name that cannot be one
            raise faults.Unreachable(str(problem)) from problem


def supports_strict_context(version: str) -> bool:
    """Whether a server of this version can be asked not to cut a conversation silently; not, when in doubt. (pure)"""
    found = re.fullmatch(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})([-+].*)?", version.strip())
    if not found:
        return False
    numbers = tuple(int(number) for number in found.groups()[:3])
    candidate = (found[4] or "").startswith("-")
    return numbers > _STRICT_SINCE or (numbers == _STRICT_SINCE and not candidate)


class _Connection(ollama.AsyncClient):
    """The package's client, made to go only where it is sent."""

    def __init__(self, url: str, timeouts: Timeouts) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not the address of an Ollama server: it begins with http:// or https://.")
        # Reading has no limit here: `asyncio.timeout` around it knows the first byte from the next, and the whole.
        limits = httpx.Timeout(None, connect=timeouts.connect, write=timeouts.between)
        try:
            super().__init__(url, timeout=limits, trust_env=False, follow_redirects=False)
        except (httpx.InvalidURL, ValueError) as problem:
            raise ValueError(f"{url!r} is not the address of an Ollama server: {problem}.") from problem
        # The package takes OLLAMA_API_KEY from the environment, whoever it was meant for.
        self._client.headers.pop("authorization", None)
        self._client.headers["accept-encoding"] = "identity"  # so that our bounds are of what comes out

    async def close(self) -> None:
        await self._client.aclose()

    def answer(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> AbstractAsyncContextManager[httpx.Response]:
        # Escapes, not UTF-8: half a surrogate pair in a file name or in a model's words must not be what stops us.
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode("ascii")
        answer: AbstractAsyncContextManager[httpx.Response] = self._client.stream(method, path, content=content)
        return answer


class _Lines:
    """Cut a stream of bytes into lines, within bounds."""

    def __init__(self) -> None:
        self.rest = b""
        self._total = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; the lines that are complete now."""
        self._total += len(chunk)
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if self._total > _ANSWER_BYTES or max(map(len, [*lines, self.rest])) > _LINE_BYTES:
            raise faults.Garbled("The answer has no end.")
        return lines


class _Heard:
    """What has come of an answer so far."""

    def __init__(self, *, prompt_characters: int) -> None:
        self.prompt_characters = prompt_characters
        self.begun = False
        self.final: Mapping[str, Any] | None = None
        self.calls: list[RawCall] = []
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._tails = {"content": Tail(), "thinking": Tail()}
        self._latest = self._tails["content"]
        self._call_characters = 0
        self._began = time.monotonic()
        self._first: float | None = None

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        return "".join(self._thinking)

    @property
    def anything(self) -> bool:
        """Words or calls. Thoughts count: models put calls there, and whoever repairs calls looks for them."""
        return bool(self.calls or self.text.strip() or self.thinking.strip())

    @property
    def reason(self) -> str:
        reason = (self.final or {}).get("done_reason")
        return reason if isinstance(reason, str) else ""

    @property
    def prompt_measured(self) -> bool:
        return bool(_number(self.final or {}, "prompt_eval_count"))

    @property
    def cached(self) -> int | None:
        """Tokens of the prompt that came from the server's cache; None when it does not tell."""
        return _number(self.final or {}, "prompt_eval_cached_count")

    def take(self, line: bytes) -> None:
        """One line of the stream; raises what it tells of."""
        if not line.strip():
            return
        part = _object(line)
        if self._first is None:
            self._first = self.seconds
        if error := part.get("error"):
            raise _server_fault(_clipped(str(error)))
        self._take_message(part.get("message"))
        if part.get("done") is True:
            for count in _COUNTS:
                _number(part, count)  # Garbled, when it is none
            self.final = part

    def take_last(self, rest: bytes) -> None:
        """The end of the connection, with what came after the last newline; Disconnected unless the server was done."""
        try:
            self.take(rest)
        except faults.Garbled as half:
            raise faults.Disconnected("The answer broke off within a line.") from half
        if self.final is None:
            raise faults.Disconnected("The answer broke off.")

    def usage(self) -> Usage:
        """As the server counted, or as many tokens as the characters would have."""
        final = self.final or {}
        prompt, output = _number(final, "prompt_eval_count"), _number(final, "eval_count")
        cached = min(self.cached or 0, prompt or 0)
        said = sum(map(len, self._text)) + sum(map(len, self._thinking)) + self._call_characters
        return Usage(
            input=prompt - cached if prompt else _tokens(self.prompt_characters),
            output=_tokens(said) if output is None else output,
            cache_read=cached,
            measured=bool(prompt) and output is not None,
        )

    def ending(self, fault: faults.ModelFault) -> faults.ModelFault:
        """`fault` with what was spent until then, or the repetition that lies behind it."""
        if isinstance(fault, faults.Disconnected) and self._latest.stutters():
            fault = faults.Repetition("The model repeated itself until the server broke off.")
        if self.begun or isinstance(fault, faults.Slow):
            fault.usage = self.usage()
        return fault

    def reply(self, usage: Usage) -> Reply:
        stop: Stop = "tools" if self.calls else "length" if self.reason == "length" else "stop"
        return Reply(
            text=self.text,
            thinking=self.thinking,
            calls=tuple(self.calls),
            stop=stop,
            usage=usage,
            first_seconds=self._first or 0.0,
            seconds=self.seconds,
        )

    def _take_message(self, message: Any) -> None:
        if message is None:
            return
        if not isinstance(message, dict):
            raise faults.Garbled("The message is no object.")
        self._text.append(self._words(message, "content"))
        self._thinking.append(self._words(message, "thinking"))
        for call in _objects(message, "tool_calls"):
            self._take_call(call)

    def _words(self, message: Mapping[str, Any], field: str) -> str:
        words = _string(message, field)
        if words:
            self._latest = self._tails[field]
            self._latest.feed(words)
            if self._latest.loops():
                raise faults.Repetition("The model repeats itself.")
        return words

    def _take_call(self, call: Mapping[str, Any]) -> None:
        function = call.get("function")
        if not isinstance(function, dict):
            raise faults.Garbled("A call is of no function.")
        name, arguments = _string(function, "name"), function.get("arguments")
        self.calls.append(RawCall(name=name, arguments=arguments, id=_string(call, "id")))
        self._call_characters += len(name) + _characters(arguments)


# --- what we say ------------------------------------------------------------------------------------------------------


def _message(turn: Turn) -> dict[str, Any]:
    """A turn as Ollama has it; thoughts are never sent back."""
    match turn:
        case Told(text=text):
            return {"role": "user", "content": text}
        case Observed(call=call, text=text):
            return {"role": "tool", "content": text, "tool_name": call.name}
        case Said(reply=reply, calls=()):
            return {"role": "assistant", "content": reply.text}
        case Said(reply=reply, calls=calls):
            functions = [{"name": call.name, "arguments": dict(call.arguments)} for call in calls]
            tool_calls = [{"function": function} for function in functions]
            return {"role": "assistant", "content": reply.text, "tool_calls": tool_calls}


def _tool(spec: ToolSpec) -> dict[str, Any]:
    function = {"name": spec.name, "description": spec.description, "parameters": dict(spec.parameters)}
    return {"type": "function", "function": function}


def _characters(value: Any) -> int:
    """Characters that a model gets to read of `value`, whatever it is nested in."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(name) + _characters(inner) for name, inner in value.items())
    if isinstance(value, Sequence):
        return sum(map(_characters, value))
    return 0 if value is None else len(str(value))


def _tokens(characters: int) -> int:
    return math.ceil(characters / _CHARACTERS_PER_TOKEN)


# --- what went wrong --------------------------------------------------------------------------------------------------


async def _accept(response: httpx.Response) -> None:
    """Raise what a status other than 200, or anything but JSON, means."""
    if response.is_redirect:
        raise faults.Garbled(f"The server wants us elsewhere ({response.status_code}).")
    if response.status_code >= 400:
        text = _error_text(await _read(response, _ERROR_BYTES))
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
        return _server_fault(message)
    return faults.ContextOverflow(message) if _is_about_the_context(text) else faults.Refused(message)


def _server_fault(message: str) -> faults.ModelFault:
    if _UNPARSED.search(message):
        return faults.Unparsed(message)
    return faults.ContextOverflow(message) if _is_about_the_context(message) else faults.ServerError(message)


def _is_about_the_context(text: str) -> bool:
    """Whether it is the model's context that is spoken of: Go and llama.cpp have contexts that mean something else."""
    return "context" in _NOT_THE_WINDOW.sub("", text.lower())


def _broken(problem: httpx.TransportError, answered: bool) -> faults.ModelFault:
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
        return _clipped(text)
    return _clipped(error if isinstance(error, str) else json.dumps(error))


def _clipped(text: str) -> str:
    return text.strip()[:_ERROR_CHARACTERS]


def _retry_after(header: str) -> float | None:
    """Seconds, given as such or as a date; None when it is neither."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", header):
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


# --- what we read -----------------------------------------------------------------------------------------------------


async def _read(response: httpx.Response, most: int) -> bytes:
    """The body, no more than `most` bytes of it."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= most:
            break
    return bytes(content[:most])


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise faults.Garbled(f"This is no JSON: {problem}"[:_ERROR_CHARACTERS]) from problem
    if not isinstance(value, dict):
        raise faults.Garbled("This is JSON, but no object.")
    return value


def _objects(holder: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """A list of objects, empty when it is absent or null."""
    value = holder.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise faults.Garbled(f"{field} is not a list of objects.")
    return value


def _string(holder: Mapping[str, Any], field: str) -> str:
    """A string, empty when it is absent or null."""
    value = holder.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise faults.Garbled(f"{field} is not a text.")
    return value


def _number(holder: Mapping[str, Any], field: str) -> int | None:
    """A count, None when it is absent or null."""
    value = holder.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise faults.Garbled(f"{field} is not a count.")
    return value


def _name(model: Mapping[str, Any]) -> str:
    name = _string(model, "name") or _string(model, "model")
    if not name:
        raise faults.Garbled("A model has no name.")
    return name


def _moment(holder: Mapping[str, Any], field: str) -> datetime | None:
    text = _string(holder, field)
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError as problem:
        raise faults.Garbled(f"{field} is not a time.") from problem


def _are_strings(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _trained_context(told: Mapping[str, Any]) -> int | None:
    """`model_info` names it after the model's architecture: `llama.context_length`."""
    info = told.get("model_info") or {}
    if not isinstance(info, dict):
        raise faults.Garbled("model_info is no object.")
    field = f"{_string(info, 'general.architecture')}.context_length"
    return _number(info, field if field in info else _first_of(info, ".context_length"))


def _first_of(names: Iterable[str], ending: str) -> str:
    return next((name for name in names if name.endswith(ending)), "")
