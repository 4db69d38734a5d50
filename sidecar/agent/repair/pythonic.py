"""Calls written as Python: `[read_file(path="a.py")]`. Parsed, never evaluated; only literals are arguments."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

from sidecar.agent.repair.names import meant_by
from sidecar.agent.talk import ToolSpec

LONGEST = 50_000
"""Characters of an expression."""
_MOST_DOTS = 8
_HEAD = re.compile(r"\s*(?:\[\s*)?(?:print\(\s*)?(?P<name>[A-Za-z_][\w.]{0,80})\(")
_TOKEN = re.compile(r"'''|\"\"\"|['\"()\[\]{}]|#[^\n]*")
_STRINGS = {
    mark: re.compile(body, re.DOTALL)
    for mark, body in {
        "'": r"(?:[^\\'\n]|\\.)*+'",
        '"': r'(?:[^\\"\n]|\\.)*+"',
        "'''": r"(?:[^\\']|\\.|'(?!''))*+'''",
        '"""': r'(?:[^\\"]|\\.|"(?!""))*+"""',
    }.items()
}
"""The rest of a string after the quotes that open it."""


def looks_so(text: str, at: int, tools: Sequence[ToolSpec]) -> bool:
    """Whether a call of a tool in Python could begin at `at`."""
    head = _HEAD.match(text, at)
    return head is not None and meant_by(head["name"].removesuffix(".call"), {}, tools).spec is not None


def read_calls(
    text: str, at: int, tools: Sequence[ToolSpec], *, most: int = LONGEST
) -> tuple[list[tuple[str, dict[str, Any]]], int] | None:
    """The calls in the expression that begins at `at`, and where it ends; None when there is no such expression.

    An expression of more than `most` characters is none.
    """
    if not looks_so(text, at, tools):
        return None
    end = _matching(text, at, at + most)
    tree = _parsed(text[at:end].strip()) if end else None
    calls = _calls(tree.body, tools) if tree else []
    return (calls, end) if calls and end else None


def _matching(text: str, at: int, most: int) -> int | None:
    """Where the first bracket from `at` on is closed, strings and comments aside; None when it is not."""
    depth = 0
    while token := _TOKEN.search(text, at, most):
        mark, at = token[0], token.end()
        if mark in _STRINGS:
            rest = _STRINGS[mark].match(text, at, most)
            if rest is None:
                return None
            at = rest.end()
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth -= 1
            if depth <= 0:
                return at
    return None


def _parsed(source: str) -> ast.Expression | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a backslash that Python does not know is not for us to interpret
        try:
            return ast.parse(source, mode="eval")
        except (SyntaxError, ValueError, Warning, MemoryError, RecursionError):
            return None


def _calls(node: ast.expr, tools: Sequence[ToolSpec]) -> list[tuple[str, dict[str, Any]]]:
    nodes = node.elts if isinstance(node, ast.List) else [node]
    found = [_call(one, tools) for one in nodes]
    return [] if any(one is None for one in found) else [one for one in found if one is not None]


def _call(node: ast.expr, tools: Sequence[ToolSpec]) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(node, ast.Call):
        return None
    name = _dotted(node.func).removesuffix(".call")
    if name == "print" and len(node.args) == 1:
        return _call(node.args[0], tools)
    spec = meant_by(name, {}, tools).spec
    if spec is None or any(keyword.arg is None for keyword in node.keywords):
        return None
    names = list(spec.parameters.get("properties", {}))
    if len(node.args) > len(names):
        return None
    given = [*zip(names, node.args, strict=False), *((str(one.arg), one.value) for one in node.keywords)]
    try:
        values = {key: ast.literal_eval(value) for key, value in given}
        json.dumps(values)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # no literal, or none that JSON has
        return None
    return (name, values) if len(values) == len(given) and _is_plain(values) else None


def _dotted(node: ast.expr) -> str:
    """A name, or names with dots between them; nothing for whatever else can be called in Python."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and len(names) < _MOST_DOTS:
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def _is_plain(value: Any) -> bool:
    """Whether JSON has it as it is: a tuple would become a list, and a key that is no text would become one."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float)
