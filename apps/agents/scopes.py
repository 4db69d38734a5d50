"""What a token may do. Pure."""

from __future__ import annotations

from collections.abc import Iterable

SCOPES = {
    "tasks:read": "See tasks, their attempts and their history.",
    "tasks:write": "Submit, cancel and retry tasks.",
    "goals:read": "See goals, their plans and what they cost.",
    "goals:write": "Hand in, change, approve and cancel goals.",
    "agents:read": "See agents and what they do.",
    "agents:write": "Pause agents, mint enrolment codes and tokens. Operators only.",
    "endpoints:read": "See endpoints of models, and machines with their load.",
    "endpoints:write": "Add, change, drain and remove endpoints. Operators only.",
    "repos:read": "See repositories.",
    "repos:write": "Register, pause and synchronise repositories.",
    "brain:read": "See what the hub does by itself.",
    "brain:write": "Pause the hub and let it go on. Operators only.",
    "pulls:read": "See pull requests, their diff and evidence.",
    "pulls:write": "Comment on pull requests and have them verified.",
    "pulls:review": "Approve, request changes, merge and close, as the token's user. Operators only.",
    "ops:read": "See alerts, the health report and what healing did.",
    "ops:write": "Acknowledge alerts. Operators only.",
}
READING = frozenset(scope for scope in SCOPES if scope.endswith(":read"))
FOR_OPERATORS = frozenset({"agents:write", "brain:write", "endpoints:write", "pulls:review", "ops:write"})
"""Scopes that work only while the token's user is an active operator."""


def scopes_of(role: str, granted: Iterable[str]) -> frozenset[str]:
    """What a token of `role` with these `granted` scopes may do over REST: a reader reads all, an agent nothing."""
    if role == "reader":
        return READING
    return frozenset(granted) & SCOPES.keys() if role == "integration" else frozenset()
