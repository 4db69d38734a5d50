"""Structured logs: readable in development, one JSON object a line in production; secrets redacted at any depth."""

from __future__ import annotations

import logging.config
import re
from typing import Any

import structlog

SECRETS = re.compile(
    r"act_[a-z]+_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}_?[A-Za-z0-9]*|sk-ant-[A-Za-z0-9_-]{8,}|gh[psour]_[A-Za-z0-9]{16,}"
    r"|(?<=://)[^/\s:@]+:[^/\s:@]+(?=@)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
    r"|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+|AKIA[0-9A-Z]{16}"
)
SECRET_NAMES = re.compile(r"token|secret|password|passwd|authorization|api_?key|cookie|credential", re.IGNORECASE)
MASK = "[redacted]"


def redact(value: Any, depth: int = 0) -> Any:
    """`value` with every known secret pattern, and every value under a telling name, replaced. Any depth up to 12."""
    if depth > 12:
        return MASK
    if isinstance(value, str):
        return SECRETS.sub(MASK, value)
    if isinstance(value, dict):
        return {
            key: MASK if isinstance(key, str) and SECRET_NAMES.search(key) and inner else redact(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(inner, depth + 1) for inner in value]
    return value


def _redact_event(_: Any, __: str, event: Any) -> Any:
    return redact(event)


def configure(config: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook. `config` holds `format` ("console" or "json") and `level`."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    last: Any = (
        structlog.processors.JSONRenderer()
        if config["format"] == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=28)
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
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
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": {
                "django.server": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                "django.channels.server": {"level": "WARNING"},
                "daphne": {"level": "WARNING"},
                "django-q": {"level": "WARNING"},  # otherwise two lines for each job
                "httpx": {"level": "WARNING"},
            },
        }
    )
