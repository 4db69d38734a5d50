"""An Ollama server without a model: it says what a script or a player tells it to, on Ollama's exact wire.

Each chat takes the next turn of its script: an `Answer`, another `Turn`, or a function of the request that gives one.
With a `player` it asks that, once the script is used up. It takes no sloppy request: what it was asked is in `asked`,
what it counted is in `billed`, and what no client of ours may send is in `violations` and answered 400.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from apps.demo.loopback import HttpRequest, LoopbackServer, Wire

NAME = "scripted:latest"
CREATED = "2026-11-02T09:00:00.123456789Z"

_FIELDS = {"model", "messages", "tools", "stream", "think", "truncate", "shift", "keep_alive", "options", "format"}
_MESSAGE_FIELDS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "content", "tool_name"},
}
NDJSON = "application/x-ndjson"
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model says. `calls` are functions as Ollama has them: name, arguments, and `id` where there is one.

    Words come in pieces of `piece` characters with `pause` seconds between them, lines in chunks of `chunk` bytes
    (None: a line is a chunk). Tokens are counted honestly unless a number is given; `counts` False leaves them out.
    What is longer than the request's `num_predict` is cut off there.
    """

    text: str = ""
    thinking: str = ""
    calls: Sequence[Mapping[str, Any]] = ()
    done_reason: str = "stop"
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    counts: bool = True
    piece: int = 12
    pause: float = 0.0
    chunk: int | None = None

    async def play(self, server: OllamaServer, asked: Asked, wire: Wire) -> bool:
        """Say as much of it as may be said, piece by piece, and count what it took."""
        most = within(self, asked)
        server.billed.append(bill(most, asked))
        await wire.start(200, NDJSON)
        for line in (*words(most, asked), _final(most, asked)):
            await wire.chunk(line, self.chunk)
            await asyncio.sleep(self.pause)
        await wire.finish()
        return True


@dataclass(frozen=True)
class Asked:
    """One request for a chat."""

    body: Mapping[str, Any]

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("messages") or [])

    @property
    def last(self) -> Mapping[str, Any]:
        return self.messages[-1]

    @property
    def tools(self) -> list[str]:
        """The names of the tools that it offers."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or []]

    @property
    def prompt_tokens(self) -> int:
        """As this server counts them: a token is four characters of the messages and the tools."""
        return _tokens(json.dumps([self.messages, self.body.get("tools")], ensure_ascii=False))


@dataclass(frozen=True)
class Billed:
    """Tokens that a chat took, by the server's own count."""

    prompt: int
    output: int


@dataclass(kw_only=True)
class Known:
    """A model that the server has."""

    capabilities: Sequence[str] = ("completion", "tools", "thinking")
    context: int = 131_072
    size: int = 5_000_000_000
    size_vram: int = 5_000_000_000


class Turn(Protocol):
    """What the server does about one chat."""

    async def play(self, server: OllamaServer, asked: Asked, wire: Wire) -> bool:
        """Answer it; True when the connection can be used again."""
        ...


Player = Callable[[Asked], "Turn | Awaitable[Turn]"]


class OllamaServer(LoopbackServer):
    """`said` is set when it goes silent."""

    def __init__(self, *turns: Turn | Player, player: Player | None = None, version: str = "0.33.0") -> None:
        super().__init__()
        self.script = deque(turns)
        self.player = player
        self.version = version
        self.models = {NAME: Known()}
        self.pages: dict[str, Any] = {}  # answers that replace the honest ones, by path
        self.asked: list[Asked] = []
        self.headers: list[Mapping[str, str]] = []
        self.billed: list[Billed] = []
        self.violations: list[str] = []
        self.loaded: dict[str, int] = {}
        self.said = asyncio.Event()
        self._prefixes: dict[str, str] = {}

    def forget(self) -> None:
        """Take what comes as new conversations: a prefix may change once, when a dialect does."""
        self._prefixes.clear()

    async def answer(self, asked: HttpRequest, wire: Wire) -> bool:
        """Chats and the four pages that a client of Ollama asks for."""
        self.headers.append(asked.headers)
        if (asked.method, asked.path) == ("POST", "/api/chat"):
            return await self._chat(Asked(asked.json()), wire)
        if asked.path in self.pages:
            page = self.pages[asked.path]
            await wire.whole(200, page if isinstance(page, bytes) else json.dumps(page).encode())
        elif (asked.method, asked.path) == ("GET", "/api/version"):
            await wire.json(200, {"version": self.version})
        elif (asked.method, asked.path) == ("GET", "/api/tags"):
            await wire.json(200, {"models": [_tag(name, known) for name, known in self.models.items()]})
        elif (asked.method, asked.path) == ("GET", "/api/ps"):
            rows = [_loaded(name, self.models[name], context) for name, context in self.loaded.items()]
            await wire.json(200, {"models": rows})
        elif (asked.method, asked.path) == ("POST", "/api/show"):
            await self._show(asked.json(), wire)
        else:
            await wire.whole(404, b"404 page not found", kind="text/plain")
        return True

    async def _show(self, body: Mapping[str, Any], wire: Wire) -> None:
        name = body.get("model", "")
        if known := self.models.get(name):
            await wire.json(200, _shown(known))
        else:
            await wire.json(404, {"error": f"model '{name}' not found"})

    async def _chat(self, asked: Asked, wire: Wire) -> bool:
        self.asked.append(asked)
        if wrong := self._wrong_with(asked):
            self.violations += wrong
            await wire.json(400, {"error": "; ".join(wrong)})
            return True
        if refusal := self._refusal(asked):
            await wire.json(*refusal)
            return True
        name, context = asked.body["model"], asked.body["options"]["num_ctx"]
        self.loaded[name] = context
        turn = await self._turn(asked)
        if turn is None:
            self.violations.append("a chat that the script knows nothing of")
            await wire.json(500, {"error": "the script is at its end"})
            return True
        return await turn.play(self, asked, wire)

    async def _turn(self, asked: Asked) -> Turn | None:
        step = self.script.popleft() if self.script else self.player
        if step is None or not callable(step):
            return step
        turn = step(asked)
        return await turn if inspect.isawaitable(turn) else turn

    def _wrong_with(self, asked: Asked) -> list[str]:
        """What no client of ours may send, in words."""
        body, options = asked.body, asked.body.get("options") or {}
        model = body.get("model")
        wrong = [f"unknown field {name}" for name in sorted(set(body) - _FIELDS)]
        if not isinstance(model, str):
            wrong.append("no model")
        if not isinstance(options.get("num_ctx"), int):
            wrong.append("no options.num_ctx")
        elif self.loaded.get(str(model), options["num_ctx"]) != options["num_ctx"]:
            wrong.append("another num_ctx, which loads the model again")
        wrong += [f"{name} is not false" for name in ("truncate", "shift") if body.get(name) is not False]
        if body.get("stream") is not True:
            wrong.append("stream is not true")
        if "think" not in body:
            wrong.append("no think")
        return wrong + _wrong_messages(asked.messages) + self._wrong_prefix(asked)

    def _wrong_prefix(self, asked: Asked) -> list[str]:
        """A conversation is known by its first words; its system text and tools may not change."""
        system = [message for message in asked.messages if message.get("role") == "system"]
        first = next((message.get("content") for message in asked.messages if message.get("role") == "user"), "")
        prefix = json.dumps([system, asked.body.get("tools")])
        known = self._prefixes.setdefault(f"{asked.body.get('model')}\n{first}", prefix)
        return [] if known == prefix else ["a changed prefix"]

    def _refusal(self, asked: Asked) -> tuple[int, Mapping[str, Any]] | None:
        """What an honest server says to a request that is well made, but cannot be met."""
        name, context = asked.body["model"], asked.body["options"]["num_ctx"]
        known = self.models.get(name)
        if known is None:
            return 404, {"error": f'model "{name}" not found, try pulling it first'}
        if asked.tools and "tools" not in known.capabilities:
            return 400, {"error": f"registry.ollama.ai/library/{name} does not support tools"}
        if asked.body["think"] and "thinking" not in known.capabilities:
            return 400, {"error": f'"{name}" does not support thinking'}
        if asked.prompt_tokens > context:
            size = f"request ({asked.prompt_tokens} tokens) exceeds the available context size ({context} tokens)"
            return 400, {"error": f"{size}, try increasing it"}
        return None


# --- what is said -----------------------------------------------------------------------------------------------------


def words(answer: Answer, asked: Asked) -> list[bytes]:
    """Thoughts, then words, then calls: each call whole, as Ollama's parsers give it."""
    thoughts = [said(asked, content="", thinking=piece) for piece in _pieces(answer.thinking, answer.piece)]
    words = [said(asked, content=piece) for piece in _pieces(answer.text, answer.piece)]
    calls = [said(asked, content="", tool_calls=[_call(call)]) for call in answer.calls]
    return thoughts + words + calls


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    named = {"id": call["id"]} if "id" in call else {}
    return {**named, "function": {name: value for name, value in call.items() if name != "id"}}


def said(asked: Asked, **message: Any) -> bytes:
    return line_of({**_head(asked), "message": {"role": "assistant", **message}, "done": False})


def _final(answer: Answer, asked: Asked) -> bytes:
    last = {
        **_head(asked),
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": answer.done_reason,
    }
    if not answer.counts:
        return line_of(last)
    billed = bill(answer, asked)
    cached = {} if answer.cached_tokens is None else {"prompt_eval_cached_count": answer.cached_tokens}
    durations = {"total_duration": 2_000_000, "load_duration": 500_000, "prompt_eval_duration": 700_000}
    counts = {"prompt_eval_count": billed.prompt, "eval_count": billed.output, "eval_duration": 800_000}
    return line_of({**last, **durations, **counts, **cached})


def _head(asked: Asked) -> dict[str, Any]:
    return {"model": asked.body["model"], "created_at": CREATED}


def within(answer: Answer, asked: Asked) -> Answer:
    """As much of the answer as the request has tokens for; of one that is cut no call is whole."""
    most = asked.body["options"].get("num_predict", -1)
    if most < 0 or _tokens(_said(answer)) <= most:
        return answer
    size = most * _CHARACTERS_PER_TOKEN
    text = answer.text[: max(0, size - len(answer.thinking))]
    return replace(answer, thinking=answer.thinking[:size], text=text, calls=(), done_reason="length")


def _said(answer: Answer) -> str:
    return answer.thinking + answer.text + "".join(json.dumps(dict(call)) for call in answer.calls)


def bill(answer: Answer, asked: Asked) -> Billed:
    prompt = asked.prompt_tokens if answer.prompt_tokens is None else answer.prompt_tokens
    return Billed(prompt, _tokens(_said(answer)) if answer.output_tokens is None else answer.output_tokens)


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _pieces(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def line_of(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _wrong_messages(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Unknown fields, and observations of calls that nobody made."""
    wrong, open_calls = [], []
    for message in messages:
        role = str(message.get("role"))
        unknown = set(message) - _MESSAGE_FIELDS.get(role, set())
        wrong += [f"unknown field {name} in a message of role {role}" for name in sorted(unknown)]
        if role == "assistant":
            open_calls = [call["function"]["name"] for call in message.get("tool_calls") or []]
        elif role == "tool" and message.get("tool_name") in open_calls:
            open_calls.remove(message["tool_name"])
        elif role == "tool":
            wrong.append("an orphan tool message")
    return wrong


def _tag(name: str, known: Known) -> dict[str, Any]:
    return {"name": name, "model": name, "modified_at": CREATED, "size": known.size, "digest": "ab" * 32, "details": {}}


def _loaded(name: str, known: Known, context: int) -> dict[str, Any]:
    row = {"expires_at": CREATED, "size_vram": known.size_vram, "context_length": context}
    return {**_tag(name, known), **row}


def _shown(known: Known) -> dict[str, Any]:
    return {
        "modelfile": "",
        "template": "{{ .Prompt }}",
        "details": {},
        "model_info": {"general.architecture": "scripted", "scripted.context_length": known.context},
        "capabilities": list(known.capabilities),
    }
