"""What is wrong with a head, from what was found: faults, and what each says as the wish of a goal. Pure.

A fault has a `key` that is the same at the next commit, so that one trouble is one goal however many pushes come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LONGEST_TAIL = 2_000
MOST_COMMITS = 20
MARKERS = "conflict-markers"


def of_markers(found: Sequence[tuple[str, int]]) -> list[dict[str, Any]]:
    """One fault for all files with conflicts, each with the line where the first one begins; none without any."""
    if not found:
        return []
    files = [{"path": path[:500], "line": line} for path, line in found]
    return [{"key": MARKERS, "kind": "markers", "name": "conflict markers", "files": files}]


def of_checks(failed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One fault for each check that did not pass, in the order of the report; the same check twice is one."""
    faults: dict[str, dict[str, Any]] = {}
    for check in failed:
        key, kind, target = key_of(check), check.get("type", ""), check.get("target", "")
        tail = str(check.get("output", ""))[-LONGEST_TAIL:]
        fault = {"key": key, "kind": "check", "name": f"{kind} {target}".strip()[:200], "output": tail}
        faults.setdefault(key, fault)
    return list(faults.values())


def key_of(check: Mapping[str, Any]) -> str:
    """The key of the fault that it is when this check does not pass."""
    kind, target = str(check.get("type", "")), str(check.get("target", ""))
    return f"{kind}-{hashlib.sha256(f'{kind} {target}'.encode()).hexdigest()[:12]}"


def demands(
    fault: Mapping[str, Any], *, checks: Sequence[Mapping[str, Any]], ran: Iterable[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Which of a repository's `checks` must pass after every part of the mending, and which when all of it is done.

    What passed must go on to pass: `ran` are the checks as they were found at the broken head. What another fault is
    about is for another goal; asked of both, each would need the other to be done first.
    """
    if fault["kind"] == "markers":  # no check was run, and none can be expected to pass between two conflicts
        return [], list(checks)
    passed = {key_of(check) for check in ran if check.get("status") == "pass"}
    return (
        [check for check in checks if key_of(check) in passed],
        [check for check in checks if key_of(check) == fault["key"]],
    )


def title(fault: Mapping[str, Any], branch: str) -> str:
    """What the goal that mends it is called."""
    if fault["kind"] == "markers":
        return f"fix: Resolve the conflicts that were left in {branch}"[:200]
    return f"fix: {fault['name'][:120]} passes on {branch} again"[:200]


def criterion(fault: Mapping[str, Any]) -> str:
    """When the goal is reached."""
    if fault["kind"] == "markers":
        return "No file holds lines that begin with the marks of a merge conflict, and both sides' intent is kept."
    return f"The check {fault['name'][:200]} passes, and no check is weakened or removed to reach that."


def diagnosis(fault: Mapping[str, Any], *, branch: str, commit: str, green: str, commits: Sequence[str]) -> str:
    """What is known of it, for whoever mends it. What a program or a person wrote stands in it as a quotation."""
    lines = [f"At {commit[:12]} the branch {branch} is broken: {_what(fault)}."]
    if fault["kind"] == "markers":
        lines += ["", *(f"- {file['path']}, line {file['line']}" for file in fault["files"])]
    elif fault["output"]:
        lines += ["", "The end of what the check printed, as data:", "", *_quoted(fault["output"])]
    since = f"since it was last well, at {green[:12]}" if green else "the latest, since it was never seen well"
    if commits:
        lines += ["", f"Commits {since}:", "", *_quoted("\n".join(commits[:MOST_COMMITS]))]
    return "\n".join(lines)[:9_000]


def _what(fault: Mapping[str, Any]) -> str:
    return "marks of a merge were left in it" if fault["kind"] == "markers" else f"{fault['name']} does not pass"


def _quoted(text: str) -> list[str]:
    return [f"    {line}" for line in text.splitlines()]
