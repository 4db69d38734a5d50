"""Find what looks like a credential in text, and show it only masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_KINDS = (
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{16,}")),
    ("an OpenAI key", re.compile(r"\bsk-(?!ant-)(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("an AgentCom token", re.compile(r"\bact_[a-z]+_[A-Za-z0-9]{4,}_[A-Za-z0-9_]{16,}")),
    ("an AWS key id", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("an AWS secret key", re.compile(r"(?i)aws_?secret_?(?:access_?)?key['\"]?\s*[:=]\s*['\"]?([A-Za-z0-9/+]{40})\b")),
    ("a Google key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    ("a Slack token", re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}")),
)
_LINE_CHARACTERS = 10_000


def find(lines: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One sentence for each secret in `lines` (where, text): what it is and where, its value masked."""
    for where, text in lines:
        for name, pattern in _KINDS:
            for match in pattern.finditer(text[:_LINE_CHARACTERS]):
                yield f"{where}: {name} ({masked(match[match.lastindex or 0])})"


def masked(value: str) -> str:
    """Enough of a secret to find it again, and no more."""
    return f"{value[:4]}… {len(value)} characters"
