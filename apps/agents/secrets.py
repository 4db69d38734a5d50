"""How a token is written: `act_<role>_<key>_<secret>_<checksum>`. Pure.

The prefix lets scanners find a leaked token and tells the role at a glance; the checksum refuses a mistyped one without
asking the database.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
KEY_LENGTH = 8
SECRET_BYTES = 32
SECRET_LENGTH = 43
CHECKSUM_LENGTH = 6
LONGEST = 100


@dataclass(frozen=True)
class Parts:
    """What a well-formed token says of itself; nothing of it is proven yet."""

    role: str
    key: str


def draw(role: str) -> tuple[str, str]:
    """A new token for `role`: its public key, and the whole secret."""
    key = "".join(secrets.choice(BASE62) for _ in range(KEY_LENGTH))
    number = int.from_bytes(secrets.token_bytes(SECRET_BYTES), "big")
    body = f"act_{role}_{key}_{_base62(number, SECRET_LENGTH)}"
    return key, f"{body}_{_checksum(body)}"


def read(token: str) -> Parts | None:
    """The parts of `token`, or None when it cannot be one of ours."""
    if len(token) > LONGEST or not token.isascii():
        return None
    body, _, checksum = token.rpartition("_")
    parts = body.split("_")
    if len(parts) != 4 or parts[0] != "act" or len(parts[2]) != KEY_LENGTH or len(parts[3]) != SECRET_LENGTH:
        return None
    return Parts(parts[1], parts[2]) if checksum == _checksum(body) else None


def digest(secret: str) -> str:
    """What is stored of a secret of high entropy: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
