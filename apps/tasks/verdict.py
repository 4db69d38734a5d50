"""Whether a report of completion means completed. Pure: the sidecar says what it saw, the hub decides.

A report that leaves out a check, or ran another one, proves nothing, so the checks of the task are held against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.tasks.lifecycle import Outcome

NO_CHANGE = "no_change"
"""The code of work after which the repository is as it was."""


@dataclass(frozen=True)
class Verdict:
    """`outcome` for the attempt; `code` and `message` say what was missing when it did not succeed."""

    outcome: Outcome
    code: str = ""
    message: str = ""


def judge(
    checks: Sequence[Mapping[str, Any]],
    reports: Sequence[Mapping[str, Any]],
    *,
    changes_repo: bool,
    commit: str,
    verifies: str = "",
) -> Verdict:
    """The outcome of an attempt that reports success.

    `changes_repo`: the task has a repository, so a pushed `commit` must exist. `verifies`: this attempt repeats checks
    on that commit; then a complete report of exactly that commit is the success, whatever the checks found.
    """
    if changes_repo and not verifies and not commit:
        return Verdict(Outcome.FAILED, NO_CHANGE, "The attempt changed nothing.")
    if checks and not reports:
        return Verdict(Outcome.UNVERIFIED, "no_report", "The checks of this task were not run.")
    last = reports[-1] if reports else {}
    if verifies and last.get("commit") != verifies:
        return Verdict(Outcome.UNVERIFIED, "wrong_commit", "The report is about another commit than the one asked for.")
    if left_out := _left_out(checks, last.get("checks", ())):
        return Verdict(Outcome.UNVERIFIED, "check_left_out", f"The report leaves out a check: {left_out}.")
    if verifies:
        return Verdict(Outcome.SUCCEEDED)
    if commit and last.get("commit", commit) not in ("", commit):
        return Verdict(Outcome.UNVERIFIED, "wrong_commit", "The checks ran on another commit than the one pushed.")
    failed = failing(last)
    if failed or last.get("status", "pass") != "pass":
        return Verdict(Outcome.UNVERIFIED, "verification_failed", summary(failed))
    return Verdict(Outcome.SUCCEEDED)


def failing(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checks of `report` that did not pass."""
    return [check for check in report.get("checks", ()) if check.get("status") != "pass"]


def summary(failed: Sequence[Mapping[str, Any]]) -> str:
    """One line that names what did not pass."""
    if not failed:
        return "The verification did not pass."
    names = ", ".join(name_of(check) for check in failed[:5])
    return f"{len(failed)} check{'s' if len(failed) != 1 else ''} did not pass: {names}"[:2_000]


def name_of(check: Mapping[str, Any]) -> str:
    """How a check is called on pages and in messages: `command_succeeds make test`."""
    return f"{check.get('type', '?')} {check.get('target', '')}".strip()[:200]


def _left_out(checks: Sequence[Mapping[str, Any]], ran: Sequence[Mapping[str, Any]]) -> str:
    left = [(check.get("type"), check.get("target", "")) for check in ran]
    for check in checks:
        wanted = (check.get("type"), check.get("target", ""))
        if wanted not in left:
            return name_of(check)
        left.remove(wanted)
    return ""
