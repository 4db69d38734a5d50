"""Structured logs of the sidecar: readable on a terminal, one JSON object a line elsewhere; secrets never get in."""

from __future__ import annotations

import logging
import logging.config
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

MASK = "[redacted]"
DEPTH = 12
SECRET_NAMES = re.compile(r"token|secret|password|passwd|authorization|api_?key|cookie|credential", re.IGNORECASE)
SECRETS = re.compile(
    r"\bact_[a-z]+_[A-Za-z0-9_]{8,}"  # ours
    r"|sk-ant-[A-Za-z0-9_-]{8,}"
    r"|gh[psour]_[A-Za-z0-9]{16,}|github_pat_\w{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]+"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user information of an address
    r"|(?i:(?<=bearer )|(?<=basic ))[A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def redact(value: Any, depth: int = 0) -> Any:
    """`value` with everything that looks like a secret, or stands under a telling name, replaced; at any depth."""
    if depth > DEPTH:
        return MASK
    if isinstance(value, str):
        return SECRETS.sub(MASK, value)
    if isinstance(value, bytes):
        return redact(value.decode("utf-8", "replace"), depth)
    if isinstance(value, dict):
        return {key: MASK if _telling(key) and inner else redact(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, depth + 1) for inner in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), depth + 1)


def _telling(key: Any) -> bool:
    return isinstance(key, str) and SECRET_NAMES.search(key) is not None


def _redact_event(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    kept = {key: event.pop(key) for key in ("_record", "_from_structlog") if key in event}
    return {**redact(dict(event)), **kept}


def configure(*, level: str = "INFO", form: str | None = None) -> None:
    """Log to stderr. `form` is `console` or `json`; without one (nor AGENTCOM_LOG_FORMAT) the terminal decides."""
    form = form or os.environ.get("AGENTCOM_LOG_FORMAT") or ("console" if sys.stderr.isatty() else "json")
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    last: Any = (
        structlog.dev.ConsoleRenderer(colors=False, pad_event_to=28)
        if form == "console"
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        "foreign_pre_chain": shared,
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"all": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "all"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
            # The bytes of every frame, headers and all, are no business of a log.
            "loggers": {name: {"level": "WARNING"} for name in ("websockets", "httpx", "httpcore", "asyncio")},
        }
    )
