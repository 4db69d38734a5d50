"""What Claude answers: chunks of a stream become events, and events a reply with what it cost, or a named fault."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sidecar.agent.faults import ContextOverflow, CutOff, Declined, Disconnected, EmptyReply
from sidecar.agent.models.claude_faults import Complaint, Unspeakable
from sidecar.agent.models.claude_json import count_of, object_of, parsed, text_of
from sidecar.agent.models.claude_talk import tokens_of
from sidecar.agent.talk import RawCall, Reply, Stop, Usage

_EVENT_BYTES = 4_000_000
_STOPS: Mapping[str, Stop] = {"max_tokens": "length"}


class Events:
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
            raise Unspeakable("A line is too long.")
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
            raise Unspeakable("An event is too long.")
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
        elif line.startswith(b"event:"):
            self._name = line[6:].strip().decode("ascii", "replace")


class Answer:
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

    def opened(self, headers: Mapping[str, str]) -> None:
        """The server has begun to answer. Raises Unspeakable for anything but a stream of events."""
        self.begun = True
        self._request_id = headers.get("request-id", "")[:200]
        kind = headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "text/event-stream":
            raise Unspeakable(f"The answer is no stream of events but {kind[:100] or 'of no type'}.")

    def hear(self, name: str, data: bytes) -> None:
        """Take one event. Unknown ones mean nothing; what is no event raises Unspeakable, an error Complaint."""
        event = _event(data)
        kind = event.get("type", name)
        if kind == "error":
            raise Complaint(object_of(event.get("error")))
        if kind == "message_start":
            self._started = object_of(object_of(event.get("message")).get("usage"))
        elif kind in ("content_block_start", "content_block_delta"):
            self._hear_content(kind, event)
        elif kind == "message_delta":
            self._hear_end(event)
        elif kind == "message_stop":
            self.complete = True

    def _hear_content(self, kind: str, event: Mapping[str, Any]) -> None:
        index = event.get("index")
        if not isinstance(index, int):
            raise Unspeakable("A block has no number.")
        if self._first is None:
            self._first = time.monotonic() - self._since
        if kind == "content_block_start":
            self._blocks[index] = _Block(object_of(event.get("content_block")))
        elif index in self._blocks:
            self._blocks[index].add(object_of(event.get("delta")))
        else:
            raise Unspeakable("A block goes on that never began.")

    def _hear_end(self, event: Mapping[str, Any]) -> None:
        delta = object_of(event.get("delta"))
        self._stop = text_of(delta.get("stop_reason")) or self._stop
        self._category = text_of(object_of(delta.get("stop_details")).get("category"))
        self._ended.update(object_of(event.get("usage")))

    def usage(self) -> Usage:
        """What this has cost so far: as the server says, and for what it has not said, our estimate."""
        said = {**self._started, **{name: count for name, count in self._ended.items() if count is not None}}
        asked, written = count_of(said.get("input_tokens")), count_of(self._ended.get("output_tokens"))
        short, long = _cache_writes(said)
        return Usage(
            input=self._asked if asked is None else asked,
            output=self._written() if written is None else written,
            cache_write_5m=short,
            cache_write_1h=long,
            cache_read=count_of(said.get("cache_read_input_tokens")) or 0,
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
        return max(tokens_of(size), count_of(self._started.get("output_tokens")) or 0)


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
            self.pieces.append(text_of(delta.get(known[kind])))
        elif kind == "signature_delta":
            self.received["signature"] = text_of(delta.get("signature"))
        elif self.kind != "text":
            self.whole = False

    def call(self) -> RawCall:
        """The call in a tool use; its arguments are a string when they are no JSON, for the repair ladder to read."""
        written = "".join(self.pieces)
        arguments: Any = self.received.get("input", {})
        if written:
            try:
                arguments = parsed(written)
            except ValueError:
                arguments = written
        return RawCall(
            name=text_of(self.received.get("name")), arguments=arguments, id=text_of(self.received.get("id"))
        )

    def finished(self) -> dict[str, Any] | None:
        """The block as the API wants it back; None for one that cannot go back as it came."""
        joined = "".join(self.pieces)
        if self.kind == "text":
            return {**self.received, "text": text_of(self.received.get("text")) + joined}
        if self.kind == "thinking":
            thought = {**self.received, "thinking": text_of(self.received.get("thinking")) + joined}
            return thought if thought.get("signature") else None
        if self.kind == "tool_use":
            arguments = self.call().arguments
            return {**self.received, "input": arguments if isinstance(arguments, dict) else {}}
        return self.received if self.kind and self.whole and not self.pieces else None


def _cache_writes(said: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens written to the caches of five minutes and of one hour. The total rules; what is not split is short."""
    split = object_of(said.get("cache_creation"))
    long = count_of(split.get("ephemeral_1h_input_tokens")) or 0
    total = count_of(said.get("cache_creation_input_tokens"))
    if total is None:
        return count_of(split.get("ephemeral_5m_input_tokens")) or 0, long
    return max(0, total - long), min(long, total)


def _event(data: bytes) -> dict[str, Any]:
    try:
        event = parsed(data)
    except ValueError:
        raise Unspeakable("An event is not JSON.") from None
    if not isinstance(event, dict):
        raise Unspeakable("An event is not an object.")
    return event
