"""JSON-RPC 2.0, a message a line: what one side of a conversation reads and writes. Pure: bytes in, bytes out.

What the other side sends is bounded: each line, all of them together, and how many of its requests wait for an answer.
Whatever breaks a rule is Garbled, and ends the conversation: what came after it could not be believed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

LINE_BYTES = 4 * 1024 * 1024
TOTAL_BYTES = 64 * 1024 * 1024
OPEN_REQUESTS = 100

PARSE_ERROR = -32700
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602

_HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")

Id = int | str | None
Params = Mapping[str, Any]


class Garbled(Exception):
    """The other side broke the rules of the protocol: what it did, and the whole line as far as that says more."""

    def __init__(self, what: str, line: bytes = b"") -> None:
        super().__init__(f"{what}: {line.decode('utf-8', 'replace').strip()}" if line else what)


@dataclass(frozen=True)
class Request:
    """The other side asks, and waits for the answer with this id."""

    id: Id
    method: str
    params: Params


@dataclass(frozen=True)
class Notification:
    """The other side tells something, and waits for nothing."""

    method: str
    params: Params


@dataclass(frozen=True)
class Fault:
    """The other side could not do what it was asked: its code and its words."""

    code: int
    message: str


@dataclass(frozen=True)
class Answer:
    """What came of a request of ours: the result, or a Fault in its place."""

    method: str
    result: Any = None
    fault: Fault | None = None


class Wire:
    """One side of a conversation."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._heard = 0
        self._asked: dict[int, str] = {}
        self._next = 0
        self._open: set[Id] = set()

    def feed(self, chunk: bytes) -> Iterator[Request | Notification | Answer]:
        """Take the next bytes; the messages that are complete now, in their order. Raises Garbled."""
        self._heard += len(chunk)
        if self._heard > TOTAL_BYTES:
            raise Garbled(f"sent more than {TOTAL_BYTES:,} bytes in all")
        *lines, rest = chunk.split(b"\n")
        for part in lines:
            self._extend(part)
            line = bytes(self._rest)
            self._rest.clear()
            if line.strip():
                yield self._message(line)
        self._extend(rest)

    def ask(self, method: str, params: Params) -> bytes:
        """A request of ours; its answer will come with the name of the method."""
        number, self._next = self._next, self._next + 1
        self._asked[number] = method
        return _line(id=number, method=method, params=params)

    def tell(self, method: str, params: Params) -> bytes:
        """A notification of ours."""
        return _line(method=method, params=params)

    def answer(self, request: Request, result: Any) -> bytes:
        """What came of a request of the other side."""
        return _line(id=request.id, result=result)

    def refuse(self, request: Request, fault: Fault) -> bytes:
        """Why there is nothing to answer to a request of the other side."""
        return _line(id=request.id, error={"code": fault.code, "message": fault.message})

    def answered(self, request: Request) -> None:
        """The answer has been taken off our hands: there is room for another request."""
        self._open.discard(request.id)

    def _extend(self, part: bytes) -> None:
        self._rest += part
        if len(self._rest) > LINE_BYTES:
            raise Garbled(f"sent a line of more than {LINE_BYTES:,} bytes")

    def _message(self, line: bytes) -> Request | Notification | Answer:
        message = _parsed(line)
        if message.get("jsonrpc") != "2.0":
            raise Garbled("sent what is no JSON-RPC 2.0", line)
        if "method" not in message:
            return self._answer(message, line)
        method, params = message["method"], message.get("params") or {}
        if not isinstance(method, str) or not isinstance(params, dict) or "result" in message or "error" in message:
            raise Garbled("sent a request that is none", line)
        if "id" not in message:
            return Notification(method, params)
        return self._request(Request(_id(message, line), method, params))

    def _request(self, request: Request) -> Request:
        if request.id in self._open:
            raise Garbled(f"used the id {str(request.id)[:100]!r} again before it was answered")
        if len(self._open) >= OPEN_REQUESTS:
            raise Garbled(f"sent more than {OPEN_REQUESTS} requests without waiting for an answer")
        self._open.add(request.id)
        return request

    def _answer(self, message: dict[str, Any], line: bytes) -> Answer:
        if ("result" in message) == ("error" in message):
            raise Garbled("sent neither a request nor an answer", line)
        fault = _fault(message["error"], line) if "error" in message else None
        number = _id(message, line) if "id" in message else None
        if number is None and fault is not None:
            raise Garbled("could not read what it was sent", line)
        method = self._asked.pop(number, None) if isinstance(number, int) else None
        if method is None:
            raise Garbled("answered what was not asked", line)
        return Answer(method, message.get("result"), fault)


def _line(**members: Any) -> bytes:
    text = json.dumps({"jsonrpc": "2.0", **members}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace") + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode(), parse_constant=_no_number)
        if _HALF_A_CHARACTER.search(
            line
        ):  # half an emoji, cut off by a program that counts in UTF-16: "?" takes its place
            message = json.loads(json.dumps(message, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise Garbled("sent a line that is no JSON", line) from None
    if not isinstance(message, dict):
        raise Garbled("sent a line that is no JSON object", line)
    return message


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _id(message: dict[str, Any], line: bytes) -> Id:
    found = message["id"]
    if found is not None and (isinstance(found, bool) or not isinstance(found, (int, str))):
        raise Garbled("sent an id that is neither a number nor a word", line)
    return found


def _fault(error: Any, line: bytes) -> Fault:
    if isinstance(error, dict) and type(error.get("code")) is int and isinstance(error.get("message"), str):
        return Fault(error["code"], error["message"])
    raise Garbled("sent an error without a code and words", line)
