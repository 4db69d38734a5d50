"""What an agent may ask of us: text files of the work tree, and leave to use a tool. Nobody is ever asked in turn."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from sidecar.acp.protocol import INVALID_PARAMS, METHOD_NOT_FOUND, Fault, Params, Request
from sidecar.agent.tools.confined import Files
from sidecar.agent.tools.refused import Missing, ToolRefused

Permissions = Literal["allow", "reject"]

CAPABILITIES = {"fs": {"readTextFile": True, "writeTextFile": True}, "terminal": False}
PERMISSION = "session/request_permission"
NOT_FOUND = -32002
ANSWER_BYTES = 1_000_000
"""Of a longer text an agent may ask for some of the lines."""
_OPTIONS = 100
_WISHES: Mapping[Permissions, tuple[str, str]] = {
    "allow": ("allow_once", "allow_always"),
    "reject": ("reject_once", "reject_always"),
}


class Refusal(Exception):
    """A request that is not granted, as the agent will be told."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.fault = Fault(code, message)


class Client:
    """Our side of one session.

    Files are reached through descriptors, below the tree and without following links, for the agent's own walls are not
    around us. `permissions` is the operator's answer to every question; once the turn is `cancelled`, that is it.
    """

    def __init__(self, tree: Path, permissions: Permissions) -> None:
        self.permissions = permissions
        self._files = Files(tree)
        self._wishes = _WISHES[permissions]
        self._methods: Mapping[str, Callable[[Params], Any]] = {
            "fs/read_text_file": self._read,
            "fs/write_text_file": self._write,
            PERMISSION: self._permit,
        }
        self.session = ""
        self.cancelled = False

    def answer(self, request: Request) -> Any:
        """The result of one request; may read and write files. Raises Refusal."""
        method = self._methods.get(request.method)
        if method is None:
            raise Refusal(METHOD_NOT_FOUND, f"There is no {request.method[:100]} here.")
        if not self.session or request.params.get("sessionId") != self.session:
            raise Refusal(INVALID_PARAMS, "There is no such session.")
        try:
            return method(request.params)
        except Missing as missing:
            raise Refusal(NOT_FOUND, missing.message) from missing
        except ToolRefused as refused:
            raise Refusal(INVALID_PARAMS, refused.message) from refused

    def _read(self, params: Params) -> Any:
        first, most = _count(params, "line"), _count(params, "limit")
        try:
            text = self._files.read(self._files.parts(_word(params, "path"))).decode()
        except UnicodeDecodeError:
            raise Refusal(INVALID_PARAMS, "That file is no text.") from None
        if first is not None or most is not None:
            start = max(first or 1, 1) - 1
            lines = io.StringIO(text, newline="\n").readlines()[start:]
            text = "".join(lines if most is None else lines[:most])
        if len(text.encode()) > ANSWER_BYTES:
            raise Refusal(INVALID_PARAMS, f"That is more than {ANSWER_BYTES:,} bytes: ask for fewer lines.")
        return {"content": text}

    def _write(self, params: Params) -> Any:
        self._files.write(self._files.parts(_word(params, "path")), _word(params, "content").encode())
        return {}

    def _permit(self, params: Params) -> Any:
        offered = _options(params)
        chosen = next((offered[wish] for wish in self._wishes if wish in offered), None)
        if self.cancelled or chosen is None:
            return {"outcome": {"outcome": "cancelled"}}
        return {"outcome": {"outcome": "selected", "optionId": chosen}}


def _options(params: Params) -> dict[str, str]:
    """The first option of each kind."""
    options = params.get("options")
    if not isinstance(options, list) or len(options) > _OPTIONS:
        raise Refusal(INVALID_PARAMS, f"`options` is a list of at most {_OPTIONS}.")
    found: dict[str, str] = {}
    for option in options:
        if not isinstance(option, dict):
            raise Refusal(INVALID_PARAMS, "An option is an object.")
        found.setdefault(_word(option, "kind"), _word(option, "optionId"))
    return found


def _word(params: Params, name: str) -> str:
    found = params.get(name)
    if not isinstance(found, str):
        raise Refusal(INVALID_PARAMS, f"`{name}` is text.")
    return found


def _count(params: Params, name: str) -> int | None:
    found = params.get(name)
    if found is None or (type(found) is int and found >= 0):
        return found
    raise Refusal(INVALID_PARAMS, f"`{name}` is a number, 0 or more.")
