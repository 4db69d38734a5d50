"""An Ollama server, asked in its own words: `/api/chat` as a stream of JSON lines, and what it tells about itself.

The `ollama` package keeps the connection, but its `chat` is not what speaks here: that has no words for `truncate` and
`shift`, without which a server silently cuts a conversation that grew too long; it drops what it does not know from
tool schemas, refuses arguments that are no object, stumbles over blank lines, replaces broken UTF-8, reads without
bounds, and takes a stream without an end for a whole answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import ollama

from sidecar.agent import faults
from sidecar.agent.models import ollama_about as about
from sidecar.agent.models.ollama_about import Installed, Running, Shown, supports_strict_context
from sidecar.agent.models.ollama_faults import accept, transport_fault
from sidecar.agent.models.ollama_read import ANSWER_BYTES, object_of, read_body, string
from sidecar.agent.models.ollama_stream import Heard, Lines, characters, judged
from sidecar.agent.talk import Observed, Reply, Request, Said, Told, ToolSpec, Turn

__all__ = ["Installed", "Ollama", "Running", "Shown", "Think", "Timeouts", "supports_strict_context"]

Think = bool | Literal["low", "medium", "high"]


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long we wait, in seconds: to be let in, for the first byte (a model may have to be loaded), between bytes,
    for a whole answer, and for a question about the server itself."""

    connect: float = 10.0
    first: float = 300.0
    between: float = 120.0
    whole: float = 1200.0
    question: float = 20.0


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
        heard = Heard(prompt_characters=characters([body["messages"], body.get("tools")]))
        try:
            async with self._exchange("POST", "/api/chat", body, seconds=self._timeouts.first) as (response, patience):
                await self._hear(response, heard, patience)
            return judged(heard, context=self._context, max_tokens=request.max_tokens)
        except faults.ModelFault as fault:
            raise heard.ending(fault) from fault.__cause__

    async def version(self) -> str:
        """The server's version; raises the faults of `reply`, as do the other questions."""
        return string(await self._ask("GET", "/api/version"), "version")

    async def models(self) -> list[Installed]:
        """Every model that the server has on its disk."""
        return about.installed(await self._ask("GET", "/api/tags"))

    async def show(self, model: str) -> Shown:
        """What `model` can do; ModelMissing when the server has none of this name."""
        return about.shown(await self._ask("POST", "/api/show", {"model": model}))

    async def running(self) -> list[Running]:
        """Every model that is loaded now."""
        return about.running(await self._ask("GET", "/api/ps"))

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

    async def _hear(self, response: httpx.Response, heard: Heard, patience: asyncio.Timeout) -> None:
        """Read until the server is done, or the connection is."""
        clock = asyncio.get_running_loop().time
        heard.begun = True
        end = clock() - heard.seconds + self._timeouts.whole
        lines = Lines()
        async for chunk in response.aiter_raw():
            patience.reschedule(min(end, clock() + self._timeouts.between))
            for line in lines.feed(chunk):
                heard.take(line)
            if heard.final is not None:
                return
        heard.take_last(lines.rest)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A question with a short answer."""
        async with self._exchange(method, path, body, seconds=self._timeouts.question) as (response, _):
            content = await read_body(response, ANSWER_BYTES)
        if len(content) >= ANSWER_BYTES:
            raise faults.Garbled("The answer has no end.")
        return object_of(content)

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
                await accept(response)
                answered = True
                yield response, patience
        except TimeoutError as late:
            what = "The answer took too long." if answered else "No answer came in time."
            raise faults.Slow(what) from late
        except httpx.TransportError as problem:
            raise transport_fault(problem, answered) from problem
        except (httpx.InvalidURL, UnicodeError) as problem:  # a host name that cannot be one
            raise faults.Unreachable(str(problem)) from problem


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
