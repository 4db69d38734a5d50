"""Tokens: minted once, known again by their digest, rotated with an overlap, revoked at once."""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents import secrets
from apps.agents.models import Agent, Role, Token
from apps.agents.scopes import FOR_OPERATORS, SCOPES
from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid, Refused

REMEMBERED_SECONDS = 2.0
"""How long another process may go on believing in a token that was revoked; the gateway closes sockets by hint."""
REMEMBERED_TOKENS = 4_096
USED_PRECISION = timedelta(minutes=1)


class _Memory:
    """Tokens seen within the last two seconds, by digest, so that a hot route does not ask the database each time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, Token]] = {}

    def recall(self, digest: str) -> Token | None:
        until, token = self._seen.get(digest, (0.0, None))
        return token if until > time.monotonic() else None

    def keep(self, digest: str, token: Token) -> None:
        with self._lock:
            if len(self._seen) >= REMEMBERED_TOKENS:
                self._seen.clear()
            self._seen[digest] = (time.monotonic() + REMEMBERED_SECONDS, token)

    def forget(self) -> None:
        with self._lock:
            self._seen.clear()


_memory = _Memory()


@transaction.atomic
def mint(
    role: Role | str,
    *,
    agent: Agent | None = None,
    user: AbstractBaseUser | None = None,
    scopes: Iterable[str] = (),
    label: str = "",
    expires_at: datetime | None = None,
    by: str,
) -> tuple[Token, str]:
    """A new token, and its secret, which is never seen again. Raises Invalid for a holder or scopes that do not fit."""
    role = Role(role)
    granted = sorted(set(scopes))
    check(role, agent, user, granted)
    key, secret = secrets.draw(role.value)
    token = Token.objects.create(
        key=key,
        digest=secrets.digest(secret),
        role=role,
        label=label,
        agent=agent,
        user_id=user.pk if user else None,
        scopes=granted,
        expires_at=expires_at,
    )
    _record(Kind.TOKEN_MINTED, token, by)
    return token, secret


def check(role: Role, agent: Agent | None, user: AbstractBaseUser | None, scopes: list[str]) -> None:
    """Raises Invalid, with the field at fault, when no such token can be."""
    if role is Role.AGENT:
        if agent is None or user is not None:
            raise Invalid("agent", "An agent's token belongs to an agent.")
    elif user is None or agent is not None:
        raise Invalid("user", f"The token of {'a reader' if role is Role.READER else 'an integration'} needs a user.")
    if scopes and role is not Role.INTEGRATION:
        raise Invalid("scopes", "Only the token of an integration has scopes.")
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise Invalid("scopes", f"No such scope: {', '.join(unknown)}.")
    if FOR_OPERATORS & set(scopes) and not getattr(user, "is_staff", False):
        raise Invalid("scopes", f"Only an operator may hold {', '.join(sorted(FOR_OPERATORS & set(scopes)))}.")


def authenticate(secret: str) -> Token | None:
    """The live token that `secret` is, with its agent or user; None when there is none, or its holder is gone."""
    parts = secrets.read(secret)
    if parts is None:
        return None
    digest = secrets.digest(secret)
    token = _memory.recall(digest)
    if token is None:
        token = _look_up(parts, digest)
        if token is None:
            return None
        _memory.keep(digest, token)
    return None if token.expires_at is not None and token.expires_at <= timezone.now() else token


def _look_up(parts: secrets.Parts, digest: str) -> Token | None:
    found = Token.objects.live().filter(key=parts.key, role=parts.role).select_related("agent", "user").first()
    if found is None or not hmac.compare_digest(found.digest, digest) or not _holder_is_active(found):
        return None
    if found.last_used_at is None or found.last_used_at < timezone.now() - USED_PRECISION:
        stale = Q(last_used_at__isnull=True) | Q(last_used_at__lt=Now() - USED_PRECISION)
        Token.objects.filter(stale, pk=found.pk).update(last_used_at=Now())
    return found


def _holder_is_active(token: Token) -> bool:
    if token.agent is not None:
        return token.agent.retired_at is None
    return token.user is not None and token.user.is_active


@transaction.atomic
def rotate(token: Token, *, by: str) -> tuple[Token, str]:
    """A successor with the same holder and rights; the old one goes on for `TOKEN_OVERLAP` and then ends.

    Raises Refused for a token that is not live.
    """
    old = (
        Token.objects.live().select_for_update(of=("self",)).select_related("agent", "user").filter(pk=token.pk).first()
    )
    if old is None:
        raise Refused("token_not_live", "This token has expired or was revoked; mint a new one.", token=token.pk)
    now = timezone.now()
    lifetime = old.expires_at - old.created_at if old.expires_at else None
    successor = mint(
        old.role,
        agent=old.agent,
        user=old.user,
        scopes=old.scopes,
        label=old.label,
        expires_at=now + lifetime if lifetime else None,
        by=by,
    )
    ends = now + settings.TOKEN_OVERLAP
    Token.objects.filter(pk=old.pk).update(expires_at=min(ends, old.expires_at) if old.expires_at else ends)
    _record(Kind.TOKEN_ROTATED, old, by, successor=successor[0].key)
    return successor


@transaction.atomic
def revoke(token: Token, *, by: str) -> None:
    """End it now; the gateway hears of it and closes the agent's sockets. Twice is once."""
    if not Token.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=Now()):
        return
    token.refresh_from_db(fields=["revoked_at"])
    _record(Kind.TOKEN_REVOKED, token, by)


@transaction.atomic
def revoke_all(holder: Agent, *, by: str) -> list[Token]:
    """End every token of an agent; those that were alive."""
    alive = list(Token.objects.live().filter(agent=holder))
    for token in alive:
        revoke(token, by=by)
    return alive


def _record(kind: Kind, token: Token, by: str, **facts: Any) -> None:
    tell = ["dashboard", *([f"agent.{token.agent_id}"] if token.agent_id else [])]
    transaction.on_commit(_memory.forget, robust=True)
    record(kind, token, tell=tell, actor=by, key=token.key, role=str(token.role), label=token.label, **facts)
