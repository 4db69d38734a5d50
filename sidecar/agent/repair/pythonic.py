"""Calls written as Python: `[read_file(path="a.py")]`. Parsed, never evaluated; only literals are arguments."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

from sidecar.agent.repair.names import meant_by
from sidecar.agent.talk import ToolSpec

_LONGEST = 50_000
_MOST_TRIES = 60
_HEAD = re.compile(r"\s*(?:\[\s*)?(?:print\(\s*)?(?P<name>[A-Za-z_][\w.]{0,80})\(")


def looks_so(text: str, at: int, tools: Sequence[ToolSpec]) -> bool:
    """Whether a call of a tool in Python could begin at `at`."""
    head = _HEAD.match(text, at)
    return head is not None and meant_by(head["name"].removesuffix(".call"), {}, tools).spec is not None


def read_calls(text: str, at: int, tools: Sequence[ToolSpec]) -> tuple[list[tuple[str, dict[str, Any]]], int] | None:
    """The calls in the expression that begins at `at`, and where it ends; None when there is no such expression."""
    if not looks_so(text, at, tools):
        return None
    closing = "]" if text[at:].lstrip().startswith("[") else ")"
    ends = re.compile(re.escape(closing)).finditer(text, at, at + _LONGEST)
    for found in islice(ends, _MOST_TRIES):
        tree = _parsed(text[at : found.end()].strip())
        if tree is not None:
            calls = _calls(tree.body, tools)
            return (calls, found.end()) if calls else None
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
    name = ast.unparse(node.func).removesuffix(".call")
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
        values = [(key, ast.literal_eval(value)) for key, value in given]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return (name, dict(values)) if len({key for key, _ in values}) == len(values) else None
