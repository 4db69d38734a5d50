"""How risky a pull request is: tier 1 to 3 with reasons, from what was really pushed and what was really verified.

Pure, and decided by the hub alone: no model and no sidecar sets it. What is not known counts as the worst.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from apps.repos import findings as found
from apps.repos.admission import shown

if TYPE_CHECKING:
    from apps.repos.diff import DiffFacts, FileChange
    from apps.repos.findings import Finding

LOW, MEDIUM, HIGH = 1, 2, 3

PROTECTED = (
    ".github/", ".gitlab-ci.yml", ".circleci/", "CODEOWNERS", "**/auth/**", "**/authentication/**", "**/security/**",
    "**/crypto/**", "**/payment*/**", "**/billing/**", "**/migrations/**", "**/secrets/**", "**/*.pem", "**/*.key",
    "**/.env*", "terraform/", "infra/", "deploy/", "k8s/", "helm/",
)  # fmt: skip
LOCKFILES = frozenset(
    {
        "package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.yaml", "bun.lockb", "poetry.lock",
        "uv.lock", "pipfile.lock", "cargo.lock", "go.sum", "go.mod", "gemfile.lock", "composer.lock", "mix.lock",
        "flake.lock", "requirements.txt", "gradle.lockfile", "packages.lock.json",
    }
)  # fmt: skip
_REQUIREMENTS = re.compile(r"(?i)(?:^|/)requirements(?:/[^/]*|[^/]*)\.(?:txt|in)$")
_EXECUTABLE = "100755"
_INTERPRETERS = frozenset({"sh", "bash", "python", "python3", "node", "ruby", "perl", "env"})


class Verification(StrEnum):
    """What the hub knows of the checks on exactly the pushed tree."""

    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"  # there was nothing to check
    STALE = "stale"  # base or tree moved since
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's thresholds; a path ends in / for a directory, and may hold * and **."""

    max_lines: int = 20
    max_files: int = 3
    high_lines: int = 1_000
    high_files: int = 50
    low_tiers: frozenset[str] = frozenset({"trivial", "standard"})
    protected: tuple[str, ...] = PROTECTED


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a pull request is not in a lower tier. `tier` is the lowest one it allows."""

    code: str
    sentence: str
    tier: int
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class Risk:
    """The tier (1 low, 2 medium, 3 high) and every reason for it; `blocked` must not be merged as it is."""

    tier: int
    reasons: tuple[Reason, ...] = field(default=())
    blocked: bool = False


def assess(
    facts: DiffFacts | None,
    *,
    verification: Verification | str,
    tests_exist: bool | None,
    task_tier: str,
    declared: Sequence[str] = (),
    findings: Sequence[Finding] | None,
    settings: Settings | None = None,
    protected: Sequence[str] = (),
    broken_tests: Sequence[str] = (),
    run_by_checks: Sequence[str] = (),
) -> Risk:
    """The risk of a difference.

    `declared` are the paths the task was about (empty: it did not say), `protected` the repository's own additions,
    `tests_exist` whether the tree has tests. None for facts, findings or tests means that they could not be had.
    `broken_tests` are tests that the change alters, when the checks do not pass with them as they were;
    `run_by_checks` the commands of the task's own checks.
    """
    rules = settings or Settings()
    if facts is None:
        return _conclude([Reason("unknown_changes", "What the pull request changes could not be computed.", HIGH)])
    reasons = [
        *_verified(verification, tests_exist),
        *_sized(facts, rules),
        *_task(task_tier, rules),
        *_paths(facts.files, (*rules.protected, *protected)),
        *_kinds(facts.files),
        *_drift(facts.files, declared),
        *_findings(findings),
        *_tests_before(broken_tests),
        *_own_checks(facts.files, run_by_checks, declared),
    ]
    return _conclude(reasons)


def _conclude(reasons: list[Reason]) -> Risk:
    ordered = sorted(reasons, key=lambda reason: (-reason.blocks, -reason.tier))
    tier = max((reason.tier for reason in reasons), default=LOW)
    return Risk(tier=tier, reasons=tuple(ordered), blocked=any(reason.blocks for reason in reasons))


def _verified(verification: str, tests_exist: bool | None) -> Iterator[Reason]:
    match verification:
        case Verification.PASSED:
            pass
        case Verification.FAILED:
            yield Reason("verification_failed", "The checks failed on the pushed tree.", HIGH)
        case Verification.STALE:
            yield Reason("verification_stale", "The checks ran on another base or tree.", HIGH)
        case Verification.NONE:
            yield Reason("not_verified", "There was nothing to check the change with.", MEDIUM)
        case _:
            yield Reason("verification_unknown", "Whether the checks pass on the pushed tree is not known.", HIGH)
    if tests_exist is None:
        yield Reason("tests_unknown", "Whether the repository has tests is not known.", HIGH)
    elif not tests_exist:
        yield Reason("no_tests", "The repository has no tests.", MEDIUM)


def _sized(facts: DiffFacts, rules: Settings) -> Iterator[Reason]:
    lines, files = facts.lines, len(facts.files)
    if not files:
        yield Reason("empty", "Nothing is changed.", HIGH)
    if lines >= rules.max_lines:
        yield Reason("lines", f"{lines} lines are changed.", HIGH if lines >= rules.high_lines else MEDIUM)
    if files > rules.max_files:
        yield Reason("files", f"{files} files are changed.", HIGH if files >= rules.high_files else MEDIUM)
    if facts.new_files:
        yield Reason("new_files", f"{_count(facts.new_files, 'file is', 'files are')} new.", MEDIUM)
    if facts.deleted > rules.max_lines and facts.deleted > 4 * facts.added:
        yield Reason("mostly_deletes", f"{facts.deleted} lines are deleted and {facts.added} added.", MEDIUM)


def _task(tier: str, rules: Settings) -> Iterator[Reason]:
    if tier in rules.low_tiers:
        return
    if tier == "complex":
        yield Reason("complex_task", "The task is complex.", MEDIUM)
    else:
        yield Reason("unknown_task", "How complex the task is, is not known.", HIGH)


def _paths(files: Iterable[FileChange], protected: Sequence[str]) -> Iterator[Reason]:
    touched = [file for file in files if any(matches(name, rule) for name in _names(file) for rule in protected)]
    if touched:
        yield Reason("protected_paths", f"Protected: {_list(touched)}.", HIGH)


def _kinds(files: Sequence[FileChange]) -> Iterator[Reason]:
    links = [file for file in files if file.symlink]
    if links:
        yield Reason("symlink", f"Symbolic links: {_list(links)}.", HIGH)
    submodules = [file for file in files if file.gitlink]
    if submodules:
        yield Reason("gitlink", f"Submodules: {_list(submodules)}.", HIGH, blocks=True)
    odd = [file for file in files if file.status == "T" and file not in links + submodules]
    if odd:
        yield Reason("type_changed", f"Files of another kind than before: {_list(odd)}.", HIGH)
    executable = [file for file in files if file.new_mode == _EXECUTABLE != file.old_mode]
    if executable:
        yield Reason("executable", f"Executable from now on: {_list(executable)}.", HIGH)
    binary = [file for file in files if file.binary]
    if binary:
        yield Reason("binary", f"Binary, so nobody can read the change: {_list(binary)}.", HIGH)
    locks = [file for file in files if any(_is_lock(name) for name in _names(file))]
    if locks:
        yield Reason("dependencies", f"Dependencies: {_list(locks)}.", HIGH)
    unknown = [file for file in files if file.status not in set("AMDRT")]
    if unknown:
        yield Reason("unknown_change", f"Changed in a way that is not known: {_list(unknown)}.", HIGH)


def _drift(files: Iterable[FileChange], declared: Sequence[str]) -> Iterator[Reason]:
    if not declared:
        return
    # A test of the declared file is part of doing it well.
    outside = [
        file
        for file in files
        if not any(matches(name, rule) for name in _names(file) for rule in declared) and not found.is_test(file.path)
    ]
    if outside:
        yield Reason("scope_drift", f"Outside of what the task was about: {_list(outside)}.", HIGH)


def _tests_before(paths: Sequence[str]) -> Iterator[Reason]:
    if paths:
        named = _join([shown(path) for path in paths])
        yield Reason("tests_before", f"With these tests as they were, the checks do not pass: {named}.", HIGH)


def _own_checks(files: Iterable[FileChange], commands: Sequence[str], declared: Sequence[str]) -> Iterator[Reason]:
    """Who changes the program that judges the change can have it say anything."""
    run = {program for command in commands for program in _programs(command)}
    judges = [file for file in files if file.path in run and not any(matches(file.path, rule) for rule in declared)]
    if judges:
        yield Reason("own_checks", f"The task's checks run what is changed: {_list(judges)}.", HIGH)


def _programs(command: str) -> Iterator[str]:
    """The files that a command runs: the first word of each part of it, or the first argument of an interpreter."""
    for part in re.split(r"[;&|()\n]+", command):
        words = [word.strip("\"'") for word in part.split() if word != "!"]
        if words and words[0].rsplit("/", 1)[-1] in _INTERPRETERS:
            words = [word for word in words[1:] if not word.startswith("-")]
        if words:
            yield words[0].removeprefix("./")


_FINDINGS = {
    found.SECRET: ("secrets", "What looks like a secret is added in"),
    found.HIDDEN_CHARACTER: ("hidden_characters", "Characters that cannot be seen or reorder others are in"),
    found.TEST_DELETED: ("weakened_tests", "Tests are deleted:"),
    found.TEST_SKIPPED: ("weakened_tests", "Tests are skipped in"),
    found.ASSERT_REMOVED: ("weakened_tests", "Tests assert less than before in"),
    found.RUNS_ELSEWHERE: ("runs_elsewhere", "What runs in builds or on other machines is changed:"),
    found.NOT_READ: ("not_read", "Too large to be read to the end:"),
}
_BLOCKING = frozenset({found.SECRET})


def _findings(findings: Sequence[Finding] | None) -> Iterator[Reason]:
    if findings is None:
        yield Reason("not_scanned", "The change was not looked through.", HIGH)
        return
    for code in dict.fromkeys(finding.code for finding in findings):
        paths = list(dict.fromkeys(finding.path for finding in findings if finding.code == code))
        name, words = _FINDINGS.get(code, (code, "Found something unknown in"))
        yield Reason(name, f"{words} {_join([shown(path) for path in paths])}.", HIGH, blocks=code in _BLOCKING)


def matches(path: str, rule: str) -> bool:
    """Whether a path is what the rule names: a file, a directory and all below it, or a pattern with * and **.

    Case does not matter, as on the machines where it does not.
    """
    path, rule = path.casefold(), rule.casefold().removeprefix("./").removeprefix("/")
    if not rule:
        return False
    if rule.endswith("/"):
        return path.startswith(rule)
    if not any(sign in rule for sign in "*?["):
        return path == rule or path.startswith(rule + "/")
    tried = {rule, rule.removeprefix("**/")}
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in tried)


def _names(file: FileChange) -> list[str]:
    return [name for name in (file.old_path, file.path) if name]


def _is_lock(path: str) -> bool:
    return path.rsplit("/", 1)[-1].casefold() in LOCKFILES or _REQUIREMENTS.search(path) is not None


def _list(files: Sequence[FileChange]) -> str:
    return _join([file.shown for file in files])


def _join(names: Sequence[str]) -> str:
    first = ", ".join(name[:120] for name in names[:5])
    return first if len(names) <= 5 else f"{first} and {len(names) - 5} more"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
