"""What is said between the loop and a model: turns, calls, replies and what they cost. Plain frozen values. (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Stop = Literal["stop", "tools", "length", "refusal"]
"""Why a model stopped: it was done, it wants tools used, its output limit was reached, or it will not do it."""


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """A tool as a model is told of it. `parameters` is a JSON schema of type object.

    `changes` is true for what acts on the tree or runs something: a call of such a tool is never guessed at.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    changes: bool

    @property
    def required(self) -> tuple[str, ...]:
        """The arguments that a call cannot do without."""
        return tuple(self.parameters.get("required", ()))


@dataclass(frozen=True, kw_only=True)
class RawCall:
    """A call as the model made it: any name, arguments of any shape. `id` is the provider's, if it gave one."""

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call that fits its tool: a known name, exactly its arguments, of the right types."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens by class. `input` are those neither read from a cache nor written to one.

    `measured` is False when the provider did not say and we estimated.
    """

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0
    measured: bool = True

    @property
    def prompt(self) -> int:
        """All that the model had to read."""
        return self.input + self.cache_write_5m + self.cache_write_1h + self.cache_read

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_write_5m=self.cache_write_5m + other.cache_write_5m,
            cache_write_1h=self.cache_write_1h + other.cache_write_1h,
            cache_read=self.cache_read + other.cache_read,
            measured=self.measured and other.measured,
        )

    def by_class(self) -> dict[str, int]:
        """Token classes that are not zero, by the names the ledger uses."""
        classes = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
        return {name: count for name in classes if (count := getattr(self, name))}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer of a model.

    `blocks` is what the provider must get back unchanged in the next request (Claude's content blocks with their
    signatures); empty for providers that want only text and calls. Seconds are wall time; `writing_seconds` is what the
    provider says that the writing alone took, 0 when it does not.
    """

    text: str = ""
    thinking: str = ""
    calls: tuple[RawCall, ...] = ()
    stop: Stop = "stop"
    usage: Usage = field(default_factory=Usage)
    first_seconds: float = 0.0
    seconds: float = 0.0
    writing_seconds: float = 0.0
    blocks: tuple[Mapping[str, Any], ...] = ()
    request_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What we say in words: the task, a complaint, a nudge."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the model said, and the calls that were made out of it, each with an id that is unique in the talk."""

    reply: Reply
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What came of one call. `text` is JSON, or one line once it has been masked."""

    call: Call
    text: str


Turn = Told | Said | Observed


@dataclass(frozen=True, kw_only=True)
class Request:
    """One question to a model. `system` and `tools` never change within a talk, so that prefix caches hold.

    `temperature` None leaves the model's own. `max_tokens` limits the answer.
    """

    system: str
    turns: Sequence[Turn]
    tools: Sequence[ToolSpec]
    max_tokens: int
    temperature: float | None = None
