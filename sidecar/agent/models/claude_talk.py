"""How a talk with Claude is written down: turns as messages, what of it is cached, and which thoughts go back. (pure)

What the API will not have decides the form. A user turn holds tool results alone: words that follow them go inside the
last of them. Every tool use has its result. No request ends with the assistant's words.

Thinking goes back exactly as it came. On the newest models it is also bound to all that stood before it: once an older
turn has been masked or taken out, what was thought after it would be a 400, so it is left out, and only then.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from sidecar.agent.models.claude_json import text_of, written
from sidecar.agent.talk import Request, Said, Told, ToolSpec, Turn

Thinking = Literal["own", "adaptive", "least"]
"""Whether to say nothing about thinking, to ask for as much as the model sees fit, or for as little as it can do."""

_BYTES_PER_TOKEN = 3.3
_GO_ON = "Go on."
_NOTHING = "(nothing)"
_NOT_CARRIED_OUT = "This call was not carried out."
_LEAST_THINKING: Mapping[tuple[str, int, int], str] = {
    ("opus", 5, 0): "disabled",
    ("sonnet", 5, 0): "disabled",
    ("sonnet", 5, 5): "between_tools",
}
_ADAPTIVE_SINCE = (4, 6)
_THOUGHTS = {"thinking": "signature", "redacted_thinking": "data"}


def estimate_tokens(request: Request) -> int:
    """About how many tokens the prompt of `request` has, by its size; rather too many than too few."""
    said = {**head_of(request), "messages": messages_of(request.turns)}
    return tokens_of(len(written(said)))


def tokens_of(size: int) -> int:
    """About how many tokens there are in `size` bytes."""
    return math.ceil(size / _BYTES_PER_TOKEN)


def head_of(request: Request) -> dict[str, Any]:
    """What stands before the messages. Tools are sorted, so that their order can never cost the cache."""
    head: dict[str, Any] = {}
    if request.system.strip():
        head["system"] = [_text(request.system)]
    if request.tools:
        head["tools"] = [_tool(spec) for spec in sorted(request.tools, key=lambda spec: spec.name)]
    return head


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
            bound.get(signature, digest) != digest for signature in signatures_of(message["content"])
        ):
            spoken = [block for block in message["content"] if block.get("type") not in _THOUGHTS]
            kept.append({**message, "content": spoken or [_text(_NOTHING)]})
        else:
            kept.append(message)
        digest = digest_of([digest, kept[-1]])
    return kept, digest


def digest_of(value: Any) -> str:
    """What tells one value of JSON from every other, in 64 characters."""
    return hashlib.sha256(written(value)).hexdigest()


def signatures_of(blocks: Iterable[Mapping[str, Any]]) -> list[str]:
    """What names each thought among these blocks, in their order."""
    return [text_of(block.get(_THOUGHTS[block["type"]])) for block in blocks if block.get("type") in _THOUGHTS]


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


def _tool(spec: ToolSpec) -> dict[str, Any]:
    return {"name": spec.name, "description": spec.description, "input_schema": dict(spec.parameters)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(use: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": use, "content": [_text(text)] if text.strip() else []}
