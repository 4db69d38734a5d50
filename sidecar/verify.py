"""Prove the work mechanically: run every check of a task and say what each found.

All checks run, whatever the others say. Whatever a check starts runs in the sandbox, with the check's own deadline;
what only looks at files or at the difference is done here, without following links.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sidecar import secrets_scan
from sidecar.detect_tests import Runner, runner_of
from sidecar.executors.base import Sandbox
from sidecar.git import GitFailed
from sidecar.sandbox import Outcome, detect
from sidecar.tree import NotAWork
from sidecar.wire.nouns import Check, CheckResult, CheckStatus, Report
from sidecar.workspace import Workspace

_OUTPUT_CHARACTERS = 10_000
_WORST_FIRST: tuple[CheckStatus, ...] = ("error", "timeout", "fail", "pass")
_NO_SUCH_PROGRAM = (126, 127)
_DIFF_BYTES = 50_000_000
MOST_SECRETS = 1_000


@dataclass(frozen=True)
class _Found:
    status: CheckStatus
    output: str = ""


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What the checks look at: the tree and, for a repository, the snapshot of it that the report is bound to."""

    tree: Path
    sandbox: Sandbox
    workspace: Workspace | None
    base: str
    snapshot: str


async def verify(
    checks: Sequence[Check],
    *,
    tree: Path,
    sandbox: Sandbox,
    workspace: Workspace | None = None,
    base: str = "",
    commit: str = "",
    told: Callable[[CheckResult], None] | None = None,
) -> Report:
    """Run all `checks` in `tree` and report, bound to the tree as it was when they began.

    `workspace` is None for a task without a repository. `base` is what the difference is taken to (by default where the
    workspace started), `commit` the commit that was checked out, if that is what is verified. `told` hears each result
    as it comes. No checks is a pass with nothing in it: whether that suffices is for the hub to say.
    """
    began = time.monotonic()
    base = base or (workspace.base if workspace else "")
    snapshot, problem = await _snapshot(workspace)
    scene = _Scene(tree=tree, sandbox=sandbox, workspace=workspace, base=base, snapshot=snapshot)
    results = []
    for check in checks:
        result = await _result(check, scene, problem)
        results.append(result)
        if told:
            told(result)
    return Report(
        status=worst([result.status for result in results]),
        checks=results,
        base=base,
        commit=commit,
        tree=snapshot,
        sandbox=detect(sandbox.policy).name,
        duration_ms=_since(began),
    )


def worst(statuses: Sequence[CheckStatus]) -> CheckStatus:
    """Error over timeout over fail over pass."""
    return next((status for status in _WORST_FIRST if status in statuses), "pass")


def what_failed(report: Report) -> str:
    """The checks that did not pass, in a sentence."""
    failed = [check for check in report.checks if check.status != "pass"]
    names = ", ".join(f"{check.type} {check.target} ({check.status})".strip() for check in failed[:10])
    return f"{len(failed)} of {len(report.checks)} checks did not pass: {names}"[:4_000]


def in_words(reports: Sequence[Report]) -> str:
    """How many checks passed in the last of these, if there was one."""
    if not reports:
        return ""
    passed = sum(check.status == "pass" for check in reports[-1].checks)
    return f"{passed} of {len(reports[-1].checks)} checks passed."


async def _snapshot(workspace: Workspace | None) -> tuple[str, str]:
    """The tree's hash, or why it has none; the checks run anyway, and those that need it say so."""
    if workspace is None:
        return "", "This task has no repository."
    try:
        return await workspace.snapshot(), ""
    except (NotAWork, GitFailed) as problem:
        return "", str(problem)


async def _result(check: Check, scene: _Scene, problem: str) -> CheckResult:
    began = time.monotonic()
    try:
        if check.type in {"git_clean", "diff_contains"} and not scene.snapshot:
            found = _Found("error", problem)
        else:
            async with asyncio.timeout(check.timeout_seconds + scene.sandbox.limits.grace_seconds + 5):
                found = await _KINDS[check.type](check, scene)
    except TimeoutError:
        found = _Found("timeout", f"The check did not end within {check.timeout_seconds:g} seconds.")
    except (OSError, ValueError, RuntimeError, GitFailed, NotAWork) as failure:  # RuntimeError: a loop of links
        found = _Found("error", str(failure))
    return CheckResult(
        type=check.type,
        target=check.target,
        description=check.description,
        status=found.status,
        output=_tail(found.output),
        duration_ms=_since(began),
    )


async def _file_exists(check: Check, scene: _Scene) -> _Found:
    target = check.target.strip()
    if not target:
        return _Found("error", "The check names no file.")
    root = scene.tree.resolve()
    place = (root / target).resolve()
    if target.startswith("/") or not place.is_relative_to(root):
        return _Found("error", f"{target} leads out of the work tree.")
    return _Found("pass") if place.exists() else _Found("fail", f"{target} does not exist.")


async def _command_succeeds(check: Check, scene: _Scene) -> _Found:
    if not check.target.strip():
        return _Found("error", "The check names no command.")
    outcome = await _run(check.target, check, scene)
    return _by_exit(outcome, check)


async def _tests_pass(check: Check, scene: _Scene) -> _Found:
    target = check.target.strip()
    if target not in {"", "auto"}:
        return _by_exit(await _run(target, check, scene), check)
    runner = await asyncio.to_thread(runner_of, scene.tree)
    if runner is None:
        return _Found("error", "No tests found: nothing here says how they would be run.")
    outcome = await _run(runner.command, check, scene)
    return _by_runner(runner, outcome, check)


def _by_runner(runner: Runner, outcome: Outcome, check: Check) -> _Found:
    if outcome.ended == "exited":
        if runner.found_none(outcome.exit_code, outcome.output):
            return _Found("error", f"No tests found by {runner.name}.\n{outcome.output}")
        if outcome.exit_code in _NO_SUCH_PROGRAM or f"No module named {runner.name}" in outcome.output:
            return _Found("error", f"{runner.name} is not there to run the tests.\n{outcome.output}")
    return _by_exit(outcome, check)


def _by_exit(outcome: Outcome, check: Check) -> _Found:
    if outcome.problem:
        return _Found("error", f"{outcome.output}\n{outcome.problem}")
    if outcome.ended == "timeout":
        return _Found("timeout", f"{outcome.output}\nIt did not end within {check.timeout_seconds:g} seconds.")
    if outcome.succeeded:
        return _Found("pass", outcome.output)
    return _Found("fail", f"{outcome.output}\nIt ended with exit code {outcome.exit_code}.")


async def _git_clean(_check: Check, scene: _Scene) -> _Found:
    """The checks before this one have left the work as it was: what is published is what was verified."""
    assert scene.workspace is not None
    now = await scene.workspace.snapshot()
    if now == scene.snapshot:
        return _Found("pass")
    changed = await scene.workspace.git.text("diff-tree", "-r", "--name-status", "--no-renames", scene.snapshot, now)
    return _Found("fail", f"These files have changed since the checks began:\n{changed}")


async def _diff_contains(check: Check, scene: _Scene) -> _Found:
    if not check.target:
        return _Found("error", "The check names no text.")
    patch = await _patch(scene)
    if await asyncio.to_thread(_mentions, patch, check.target):
        return _Found("pass")
    return _Found("fail", "No added line and no changed path contains it.")


def _mentions(patch: str, wanted: str) -> bool:
    return any(wanted in text or wanted in where.rpartition(":")[0] for where, text in _added_lines(patch))


async def _no_secrets(_check: Check, scene: _Scene) -> _Found:
    if scene.workspace is not None and not scene.snapshot:
        return _Found("error", "The work cannot be read as a difference.")
    lines = _added_lines(await _patch(scene)) if scene.workspace else _all_lines(scene.tree)
    found = await asyncio.to_thread(lambda: list(islice(secrets_scan.find(lines), MOST_SECRETS)))
    return _Found("fail", "\n".join(found)) if found else _Found("pass")


async def _patch(scene: _Scene) -> str:
    """The difference that the report is bound to, without the lines around it."""
    assert scene.workspace is not None
    patch = await scene.workspace.git.run(
        "-c", "core.quotePath=false", "diff-tree", "-r", "-p", "-U0", "--text", "--no-renames", "--no-ext-diff",
        "--no-textconv", "--no-color", "--ignore-submodules=all", "--dst-prefix=b/", scene.base, scene.snapshot, "--",
        most=_DIFF_BYTES + 1,
    )  # fmt: skip
    if len(patch) > _DIFF_BYTES:
        raise ValueError("The difference is too large to be looked through.")
    return patch.decode("utf-8", "replace")


def _added_lines(patch: str) -> Iterator[tuple[str, str]]:
    """Every added line with its `path:line`, one at a time: a list of them would take a hundred times their size.

    Hunk headers say how many lines follow, so an added line that looks like a header is not mistaken for one.
    """
    path, line, left = "", 0, 0
    for text in _lines(patch):
        if left and text.startswith("+"):
            yield f"{path}:{line}", text[1:]
            line, left = line + 1, left - 1
        elif text.startswith("+++ "):
            path = text[4:].rstrip("\t").removeprefix("b/")
        elif text.startswith("@@ -"):
            start, _, count = text.split(" ")[2].lstrip("+").partition(",")
            line, left = int(start), int(count or 1)


def _all_lines(tree: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size < _DIFF_BYTES:
            name = os.fsencode(path.relative_to(tree)).decode("utf-8", "backslashreplace")
            for number, line in enumerate(_lines(path.read_bytes().decode("utf-8", "replace")), start=1):
                yield f"{name}:{number}", line


def _lines(text: str) -> Iterator[str]:
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


async def _run(command: str, check: Check, scene: _Scene) -> Outcome:
    return await scene.sandbox.run(command, tree=scene.tree, timeout_seconds=check.timeout_seconds)


_KINDS = {
    "file_exists": _file_exists,
    "command_succeeds": _command_succeeds,
    "tests_pass": _tests_pass,
    "git_clean": _git_clean,
    "diff_contains": _diff_contains,
    "no_secrets": _no_secrets,
}


def _tail(text: str) -> str:
    return text.strip("\n")[-_OUTPUT_CHARACTERS:]


def _since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
