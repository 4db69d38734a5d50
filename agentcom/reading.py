"""Turns what the environment says into settings: the database, the channel layer, the secret key, networks, numbers."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

SQLITE_PRAGMAS = (
    # WAL lets readers go on while one writes; FULL syncs the log at every commit, so that what was answered is on disk.
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=15000; PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-32000; PRAGMA journal_size_limit=67108864;"
)
PREPARE_AFTER = 5
"""How often PostgreSQL sees a statement before it keeps its plan."""


def database(url: str, *, prepared: bool = True) -> dict[str, Any]:
    """Django's DATABASES entry for `url`; raises ImproperlyConfigured when it cannot be read.

    `prepared`: PostgreSQL keeps the plans of frequent statements; not behind a pooler that changes the connection.
    """
    config: dict[str, Any] = environ.Env.db_url_config(url)
    if config.get("ENGINE", "").endswith("sqlite3"):
        name = config["NAME"]
        if name != ":memory:":
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        config["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "init_command": SQLITE_PRAGMAS, "timeout": 15}
        config["CONN_MAX_AGE"] = None
    else:
        config["CONN_MAX_AGE"] = 600
        config["CONN_HEALTH_CHECKS"] = True
        options = config.setdefault("OPTIONS", {})
        options.setdefault("connect_timeout", 5)
        options["prepare_threshold"] = PREPARE_AFTER if prepared else None
    return config


def channel_layer(redis_url: str) -> dict[str, Any]:
    """Channels' pub/sub layer on Redis; without a URL (tests, one-off commands) one that lives in this process."""
    if not redis_url:
        return {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    # redis-py ends a blocking read after its socket timeout, and a small pool loses group members in a mass disconnect.
    host = {"address": redis_url, "socket_timeout": None, "max_connections": 4096}
    return {"BACKEND": "apps.events.layer.Layer", "CONFIG": {"hosts": [host]}}


def whole(env: environ.Env, name: str, *, default: int, least: int, most: int) -> int:
    """A whole number from `least` to `most`; ImproperlyConfigured, which no process starts with, for anything else."""
    try:
        number = int(env.int(name, default=default))
    except ValueError:
        number = most + 1
    if not least <= number <= most:
        raise ImproperlyConfigured(f"{name} is a whole number from {least} to {most}.")
    return number


def chosen(env: environ.Env, name: str, among: Sequence[str]) -> str:
    """One of a few words, the first when nothing is said; ImproperlyConfigured for any other."""
    word: str = env.str(name, default=among[0])
    if word not in among:
        raise ImproperlyConfigured(f"{name} is one of: {', '.join(among)}.")
    return word


def secret_key(given: str, file: Path) -> str:
    """The key that signs sessions: from the environment, else from `file`, which is made on first use (mode 0600)."""
    if given:
        return given
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as out:
        out.write(secrets.token_urlsafe(50))
    with contextlib.suppress(FileExistsError):  # another process made it first; then that one counts
        os.link(draft, file)
    draft.unlink()
    return file.read_text(encoding="ascii").strip()


def networks(given: Iterable[str]) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """Networks such as 192.168.1.0/24; raises ImproperlyConfigured for one that is none."""
    try:
        return tuple(ipaddress.ip_network(one.strip()) for one in given if one.strip())
    except ValueError as wrong:
        raise ImproperlyConfigured(f"AGENTCOM_ENDPOINT_NETWORKS: {wrong}.") from wrong
