"""The published language between hub and sidecar: nouns, frames, VERSION. Imports neither side."""

from sidecar.wire.frames import (
    MAX_FRAME_BYTES,
    VERSION,
    BadFrame,
    decode_from_hub,
    decode_from_sidecar,
    encode,
)

__all__ = ["MAX_FRAME_BYTES", "VERSION", "BadFrame", "decode_from_hub", "decode_from_sidecar", "encode"]
