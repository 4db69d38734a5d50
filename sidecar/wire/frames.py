"""Frames to text and back. A frame that cannot be read becomes `BadFrame`, which says why in a way that can be sent."""

from __future__ import annotations

import json
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from sidecar.wire.messages import ErrorFrame, Frame, FromHub, FromSidecar

VERSION = 1
MAX_FRAME_BYTES = 1_048_576

_from_sidecar: TypeAdapter[Any] = TypeAdapter(FromSidecar)
_from_hub: TypeAdapter[Any] = TypeAdapter(FromHub)


class BadFrame(Exception):
    """What arrived is not a frame of this protocol. `answer` is the error frame to send back."""

    def __init__(self, code: str, message: str, *, about: str = "", errors: list[str] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.answer = ErrorFrame(code=code, message=message, about=about, errors=errors or [])


def encode(frame: Frame) -> str:
    """One frame as JSON text; fields at their defaults are left out."""
    return frame.model_dump_json(exclude_defaults=False, exclude_none=True)


def decode_from_sidecar(raw: str | bytes) -> Frame:
    """Read what a sidecar sent. Raises BadFrame."""
    return _decode(_from_sidecar, raw)


def decode_from_hub(raw: str | bytes) -> Frame:
    """Read what the hub sent. Raises BadFrame."""
    return _decode(_from_hub, raw)


def schemas() -> dict[str, Any]:
    """The published JSON Schemas of both directions, generated from the classes that read the frames."""
    return {
        "version": VERSION,
        "max_frame_bytes": MAX_FRAME_BYTES,
        "from_sidecar": _from_sidecar.json_schema(),
        "from_hub": _from_hub.json_schema(),
    }


def _decode(adapter: TypeAdapter[Any], raw: str | bytes) -> Frame:
    size = len(raw if isinstance(raw, bytes) else raw.encode("utf-8", "surrogatepass"))
    if size > MAX_FRAME_BYTES:
        raise BadFrame("frame_too_large", f"A frame has at most {MAX_FRAME_BYTES} bytes; this one has {size}.")
    try:
        return cast(Frame, adapter.validate_json(raw))
    except (ValidationError, ValueError) as bad:
        raise _explain(raw, bad) from bad


def _explain(raw: str | bytes, bad: Exception) -> BadFrame:
    """Tell apart "not JSON", "no such frame" and "this field", and find the frame's id if it has one."""
    if not isinstance(bad, ValidationError):
        return BadFrame("invalid_json", "A frame is one JSON object in a text message.")
    problems = bad.errors(include_url=False, include_context=False, include_input=False)
    kinds = {problem["type"] for problem in problems}
    if "json_invalid" in kinds:
        return BadFrame("invalid_json", "A frame is one JSON object in a text message.")
    about = _id_of(raw)
    if kinds & {"union_tag_invalid", "union_tag_not_found", "model_attributes_type", "dict_type"}:
        return BadFrame("unknown_type", problems[0]["msg"][:1_900], about=about)
    errors = [f"{'.'.join(str(at) for at in p['loc'][1:]) or 'frame'}: {p['msg']}"[:1_900] for p in problems[:20]]
    return BadFrame("invalid_frame", "The frame does not fit its schema.", about=about, errors=errors)


def _id_of(raw: str | bytes) -> str:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    mark = found.get("id", "") if isinstance(found, dict) else ""
    return mark[:64] if isinstance(mark, str) and mark.isprintable() else ""
