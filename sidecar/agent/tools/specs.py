"""The seven tools as a model is told of them, in few words: they are sent with every request. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sidecar.agent.talk import ToolSpec

_TYPES = {"string": str, "integer": int}


def _tool(name: str, description: str, *, changes: bool = False, optional: str = "", **types: str) -> ToolSpec:
    required = [argument for argument in types if argument not in optional.split()]
    properties = {argument: {"type": of} for argument, of in types.items()}
    parameters = {"type": "object", "properties": properties, "required": required}
    return ToolSpec(name=name, description=description, parameters=parameters, changes=changes)


SPECS = (
    _tool(
        "read_file",
        "Show numbered lines, at most 120.",
        path="string",
        start="integer",
        count="integer",
        optional="start count",
    ),
    _tool("write_file", "Create or replace a file.", changes=True, path="string", content="string"),
    _tool(
        "edit_file",
        "Replace old, an exact and unique text, by new.",
        changes=True,
        path="string",
        old="string",
        new="string",
    ),
    _tool("list_directory", "List names; . is the top.", path="string"),
    _tool(
        "search_files",
        "Find lines by regular expression.",
        pattern="string",
        path="string",
        optional="path",
    ),
    _tool(
        "run_command",
        "Run a shell command, offline.",
        changes=True,
        command="string",
        timeout_seconds="integer",
        optional="timeout_seconds",
    ),
    _tool("finish_task", "Say what you did; ends the work.", summary="string"),
)


def misfit(spec: ToolSpec, arguments: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of a call; empty when they fit."""
    properties = spec.parameters["properties"]
    if lacking := [name for name in spec.required if name not in arguments]:
        return f"{spec.name} needs {', '.join(lacking)}."
    for name, value in arguments.items():
        if name not in properties:
            return f"{spec.name} has no argument {name[:50]}."
        wanted = properties[name]["type"]
        if not isinstance(value, _TYPES[wanted]) or isinstance(value, bool):
            return f"{name} must be of type {wanted}."
        if isinstance(value, str) and not _is_text(value):
            return f"{name} holds half a character (a lone surrogate), which no file or command can."
    return ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
