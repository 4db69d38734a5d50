"""Which JSON values are calls: a name and arguments, in one of the shapes that models and providers have for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.agent.repair.names import meant_by, plainly
from sidecar.agent.talk import ToolSpec

_NAMES = ("name", "tool_name", "tool", "function_name", "recipient_name", "action", "function", "toolName", "tool_call")
_ARGUMENTS = (
    "arguments", "parameters", "args", "params", "input", "action_input", "tool_input", "tool_args", "kwargs",
    "function_arguments", "toolInput",
)  # fmt: skip
_SEVERAL = ("tool_calls", "calls", "tool_uses", "function_calls", "actions")
_INNER = ("function", "function_call", "tool_call", "tool_use")
_BESIDE = frozenset(
    (
        "id",
        "type",
        "index",
        "call_id",
        "tool_call_id",
        "thought",
        "thoughts",
        "reasoning",
        "reason",
        "explanation",
        "description",
        "thinking",
        "role",
        "channel",
        "recipient",
    )
)
_OUTSIDE = ("id", "type", "index", "call_id", "tool_call_id", "role")
_CALL_TYPES = frozenset(("function", "tool_use", "tool_call", "function_call", "call"))
_OF_THE_PAST = frozenset(("result", "output", "observation", "response", "stdout", "exit_code", "tool_result"))
_SCHEMA = frozenset(("properties", "$schema"))
_DEEPEST = 4


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A call as a JSON value had it. `doubt` says what about the value may mean something else."""

    name: str
    arguments: Any
    doubt: str = ""


def calls_in(value: Any, tools: Sequence[ToolSpec], *, marked: bool) -> list[Shape]:
    """The calls that `value` is, or none. `marked` when the model has marked it as a call, so that no name is needed
    to tell: what has a call's shape then is one, even of a tool that does not exist."""
    found = list(_calls(value, tools, marked, 0))
    return [] if any(shape is None for shape in found) else [shape for shape in found if shape is not None]


def _calls(value: Any, tools: Sequence[ToolSpec], marked: bool, depth: int) -> Iterator[Shape | None]:
    if depth > _DEEPEST:
        yield None
    elif isinstance(value, list):
        for item in value:
            yield from _calls(item, tools, marked, depth + 1)
    elif isinstance(value, Mapping):
        inner = _wrapped(value)
        if inner is not None:
            yield from _calls(inner, tools, marked, depth + 1)
        else:
            yield _call(value, tools, marked)
    else:
        yield None


def _wrapped(value: Mapping[str, Any]) -> Any:
    """What an envelope around one call or several holds; None when `value` is none."""
    for key in _SEVERAL:
        if isinstance(value.get(key), list) and value[key]:
            return value[key]
    for key in _INNER:
        if isinstance(value.get(key), Mapping) and not set(value) - {key} - _BESIDE:
            return value[key]
    return None


def _call(value: Mapping[str, Any], tools: Sequence[ToolSpec], marked: bool) -> Shape | None:
    names = [key for key in _NAMES if isinstance(value.get(key), str)]
    if not names:
        return _single(value, tools)
    name = str(value[names[0]])
    if str(value.get("type", "function")) not in _CALL_TYPES:
        return None
    if value.get("role", "assistant") not in ("assistant", "model"):
        return None
    given = [key for key in _ARGUMENTS if key in value]
    if _OF_THE_PAST & set(value) and given:
        return None
    if not given:
        return _flat(name, {key: inner for key, inner in value.items() if key not in {names[0], *_OUTSIDE}}, tools)
    arguments = value[given[0]]
    if isinstance(arguments, Mapping) and _SCHEMA & set(arguments):
        return None
    if not (marked or given[0] == "arguments" or meant_by(name, arguments, tools).spec):
        return None
    return Shape(name=name, arguments=arguments, doubt=_doubt(value, names[0], given))


def _doubt(value: Mapping[str, Any], name: str, given: Sequence[str]) -> str:
    if any(value[key] != value[given[0]] for key in given[1:]):
        return f"“{given[0]}” and “{given[1]}” say different things"
    strange = set(value) - {name, *given} - _BESIDE
    return f"“{min(strange)[:40]}” stands beside the arguments" if strange else ""


def _flat(name: str, rest: dict[str, Any], tools: Sequence[ToolSpec]) -> Shape | None:
    """Arguments beside the name: only where the name is a tool's own and nothing that it needs is missing."""
    spec = plainly(name, tools)
    if spec is None or not set(spec.required) <= set(rest):
        return None
    return Shape(name=name, arguments=rest)


def _single(value: Mapping[str, Any], tools: Sequence[ToolSpec]) -> Shape | None:
    """`{"read_file": {"path": …}}`"""
    if len(value) != 1:
        return None
    name, arguments = next(iter(value.items()))
    spec = plainly(str(name), tools)
    if spec is None or not isinstance(arguments, Mapping) or not set(spec.required) <= set(arguments):
        return None
    return Shape(name=str(name), arguments=arguments)
