"""Secrets that work once: how they are written, and how one is used up by exactly one of those who try."""

from __future__ import annotations

import hashlib
import secrets
from typing import TypeVar

from django.db.models.functions import Now

from apps.agents.models import OneTime

CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_GROUPS = 4
GROUP_LENGTH = 4

Kind = TypeVar("Kind", bound=OneTime)


def draw_code() -> str:
    """A code of 80 bits that a person can read out: `7KQF-M2XD-94TB-HWZA`."""
    groups = ("".join(secrets.choice(CODE_ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(CODE_GROUPS))
    return "-".join(groups)


def draw_link() -> str:
    """The secret part of a link, 256 bits, safe in a path."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is stored of `secret`."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def normal(code: str) -> str:
    """`code` as it was shown, however it was typed."""
    typed = "".join(code.upper().split()).replace("-", "")
    return "-".join(typed[at : at + GROUP_LENGTH] for at in range(0, len(typed), GROUP_LENGTH))


def use(model: type[Kind], secret: str) -> Kind | None:
    """Use it up and return it, or None when it is unknown, used, or expired. Only one of two callers gets it."""
    rows = model._default_manager.filter(digest=digest(secret))
    if not rows.filter(used_at__isnull=True, expires_at__gt=Now()).update(used_at=Now()):
        return None
    return rows.get()
