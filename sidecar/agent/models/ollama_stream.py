"""What is heard of a chat, line by line, and whether it is a reply: a stream's end alone does not make it one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.agent import faults
from sidecar.agent.models.ollama_faults import server_fault
from sidecar.agent.models.ollama_read import ANSWER_BYTES, LARGEST, clipped, number, object_of, objects, string, words
from sidecar.agent.models.stream import Tail
from sidecar.agent.talk import RawCall, Reply, Stop, Usage

_LINE_BYTES = 4_000_000
_COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")
_CHARACTERS_PER_TOKEN = 3.3
_MOST_CHARACTERS_PER_TOKEN = 6  # a prompt that was read whole has hardly fewer tokens than this makes of it
_CERTAINLY_CUT = 0.4
_ROOM = 32  # tokens by which a server may stop short of a full context


class Lines:
    """Cut a stream of bytes into lines, within bounds."""

    def __init__(self) -> None:
        self.rest = b""
        self._total = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; the lines that are complete now."""
        self._total += len(chunk)
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        if self._total > ANSWER_BYTES or max(map(len, [*lines, self.rest])) > _LINE_BYTES:
            raise faults.Garbled("The answer has no end.")
        return lines


class Heard:
    """What has come of an answer so far. Lines that make no sense are Garbled."""

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
        """Since we began to ask."""
        return time.monotonic() - self._began

    @property
    def text(self) -> str:
        """All words so far."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """All thoughts so far."""
        return "".join(self._thinking)

    @property
    def anything(self) -> bool:
        """Words or calls. Thoughts count: models put calls there, and whoever repairs calls looks for them."""
        return bool(self.calls or self.text.strip() or self.thinking.strip())

    @property
    def reason(self) -> str:
        """Why the server says that it ended; empty when it does not."""
        reason = (self.final or {}).get("done_reason")
        return reason if isinstance(reason, str) else ""

    @property
    def prompt_measured(self) -> bool:
        """Whether the server says how many tokens it has read."""
        return bool(number(self.final or {}, "prompt_eval_count"))

    @property
    def cached(self) -> int | None:
        """Tokens of the prompt that came from the server's cache; None when it does not tell."""
        return number(self.final or {}, "prompt_eval_cached_count")

    def take(self, line: bytes) -> None:
        """One line of the stream; raises what it tells of."""
        if not line.strip():
            return
        part = object_of(line)
        if self._first is None:
            self._first = self.seconds
        if error := part.get("error"):
            raise server_fault(clipped(str(error)))
        self._take_message(part.get("message"))
        if part.get("done") is True:
            for count in _COUNTS:
                number(part, count)  # Garbled, when it is none
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
        prompt, output = number(final, "prompt_eval_count"), number(final, "eval_count")
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
        """All of it, taken at its word."""
        stop: Stop = "tools" if self.calls else "length" if self.reason == "length" else "stop"
        return Reply(
            text=self.text,
            thinking=self.thinking,
            calls=tuple(self.calls),
            stop=stop,
            usage=usage,
            first_seconds=self._first or 0.0,
            seconds=self.seconds,
            writing_seconds=self._writing_seconds(),
        )

    def _writing_seconds(self) -> float:
        """The server counts in nanoseconds. An odd figure is none: nothing but a speed depends on it."""
        took = (self.final or {}).get("eval_duration")
        return took / 1e9 if isinstance(took, int) and 0 < took <= LARGEST else 0.0

    def _take_message(self, message: Any) -> None:
        if message is None:
            return
        if not isinstance(message, dict):
            raise faults.Garbled("The message is no object.")
        self._text.append(self._words(message, "content"))
        self._thinking.append(self._words(message, "thinking"))
        for call in objects(message, "tool_calls"):
            self._take_call(call)

    def _words(self, message: Mapping[str, Any], field: str) -> str:
        said = words(message, field)
        if said:
            self._latest = self._tails[field]
            self._latest.feed(said)
            if self._latest.loops():
                raise faults.Repetition("The model repeats itself.")
        return said

    def _take_call(self, call: Mapping[str, Any]) -> None:
        function = call.get("function")
        if not isinstance(function, dict):
            raise faults.Garbled("A call is of no function.")
        name, arguments = string(function, "name"), function.get("arguments")
        self.calls.append(RawCall(name=name, arguments=arguments, id=string(call, "id")))
        self._call_characters += len(name) + characters(arguments)


def judged(heard: Heard, *, context: int, max_tokens: int) -> Reply:
    """The reply that was heard, of a model with this context, in tokens; or the fault that it is.

    Raises ContextOverflow, EmptyReply or CutOff.
    """
    usage = heard.usage()
    if _was_cut(heard, usage, context) or _is_full(heard, usage, context, max_tokens):
        raise faults.ContextOverflow(f"The conversation does not fit into {context} tokens.")
    if not heard.anything:
        raise faults.EmptyReply(f"The model said nothing ({heard.reason or 'no reason given'}).")
    if heard.calls and heard.reason == "length":
        raise faults.CutOff("The output limit was reached in a call.")
    return heard.reply(usage)


def _was_cut(heard: Heard, usage: Usage, context: int) -> bool:
    """Whether the server has read less than we sent.

    A count far too low is evidence only where a cache does not explain it: either the server tells what it took
    from its cache (then the count includes that), or the prompt could not have fitted anyhow.
    """
    if not heard.prompt_measured:
        return False
    least = heard.prompt_characters / _MOST_CHARACTERS_PER_TOKEN
    unexplained = heard.cached is not None or _tokens(heard.prompt_characters) > context
    return usage.prompt >= context or (unexplained and usage.prompt < _CERTAINLY_CUT * least)


def _is_full(heard: Heard, usage: Usage, context: int, max_tokens: int) -> bool:
    """Whether the answer ended for want of context, not at its own limit."""
    ended_early = heard.reason == "length" and usage.measured and usage.output < max_tokens
    return ended_early and usage.prompt + usage.output >= context - _ROOM


def characters(value: Any) -> int:
    """Characters that a model gets to read of `value`, whatever it is nested in."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(characters(name) + characters(inner) for name, inner in value.items())
    if isinstance(value, Sequence):
        return sum(map(characters, value))
    return 0 if value is None else len(str(value))


def _tokens(length: int) -> int:
    return math.ceil(length / _CHARACTERS_PER_TOKEN)
