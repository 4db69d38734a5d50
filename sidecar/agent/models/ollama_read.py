"""What we take from an Ollama server's answers: bytes within bounds, and fields that are what they should be.

Whatever is not is Garbled. A field that is absent or null is only missing: servers of other versions tell less.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from sidecar.agent import faults
from sidecar.report import storable

ANSWER_BYTES = 16_000_000
"""No answer that we can use has more bytes than this."""

LARGEST = 2**63 - 1
"""A count that no frame and no database could hold is none, and a float of it may be none either."""
_CLIPPED = 500  # characters


async def read_body(response: httpx.Response, most: int) -> bytes:
    """The body, no more than `most` bytes of it."""
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= most:
            break
    return bytes(content[:most])


def object_of(content: bytes) -> dict[str, Any]:
    """The JSON object that these bytes are."""
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise faults.Garbled(clipped(f"This is no JSON: {problem}")) from problem
    if not isinstance(value, dict):
        raise faults.Garbled("This is JSON, but no object.")
    return value


def objects(holder: Mapping[str, Any], field: str) -> list[dict[str, Any]]:
    """A list of objects, empty when it is absent or null."""
    value = holder.get(field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise faults.Garbled(f"{field} is not a list of objects.")
    return value


def string(holder: Mapping[str, Any], field: str) -> str:
    """A string that can be stored and sent, empty when it is absent or null."""
    return storable(words(holder, field))


def words(holder: Mapping[str, Any], field: str) -> str:
    """A model's words as they are, empty when absent or null; half a character in them is for the tools to refuse."""
    value = holder.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise faults.Garbled(f"{field} is not a text.")
    return value


def number(holder: Mapping[str, Any], field: str) -> int | None:
    """A count, None when it is absent or null."""
    value = holder.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST:
        raise faults.Garbled(f"{field} is not a count.")
    return value


def clipped(text: str) -> str:
    """Words of a server, short enough for a message."""
    return text.strip()[:_CLIPPED]
