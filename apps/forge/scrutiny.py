"""What a pull request really changes, read from the objects in the mirror, and how risky that is.

Nothing here believes the agent: facts, findings and conflicts come from git alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.forge import risk
from apps.forge.models import PullRequest, Verification
from apps.repos import diff, findings, merge, mirror
from apps.repos.diff import DiffFacts, visible
from apps.repos.findings import Finding
from apps.repos.models import Repo

MAX_FINDINGS = 200
RUNNING = frozenset({"command_succeeds", "tests_pass"})
"""Checks that run something, and so can be changed by changing what they run."""
MAX_READ = 4 * 1024 * 1024


@dataclass(frozen=True)
class Look:
    """A head seen against its base as both are now. `conflict` names the paths that do not merge."""

    base: str
    head: str
    tree: str
    conflict: tuple[str, ...]
    facts: DiffFacts
    found: tuple[Finding, ...]
    tests_exist: bool | None


def look(repo: Repo, base_branch: str, head: str) -> Look:
    """Read the change. Raises AlreadyMerged, BranchMissing, Unrelated or Unsupported."""
    path = repo.mirror
    candidate = merge.candidate(path, base_branch, head)
    patch = diff.patch(path, candidate.base, head, max_bytes=MAX_READ)
    return Look(
        base=candidate.base,
        head=head,
        tree=mirror.tree_of(path, head),
        conflict=candidate.conflicts,
        facts=patch.facts,
        found=tuple(findings.find(patch.facts, patch)),  # what the patch was too large for is a finding itself
        tests_exist=_tests_exist(path, head),
    )


def _tests_exist(path: Path, commit: str) -> bool | None:
    tree = mirror.tree(path, commit)
    if any(findings.is_test(name) for name in tree.paths):
        return True
    return None if tree.truncated else False


def columns(seen: Look, pull: PullRequest, proven: Verification | None) -> dict[str, Any]:
    """The fields of `pull`, which need not be saved yet, that follow from `seen` and from its latest verification."""
    before = str(proven.report.get("as_before", "")) if proven else ""
    judged = risk.assess(
        seen.facts,
        verification=_known(proven.status if proven else None, pull),
        broken_tests=findings.tests_before(seen.facts) if before not in {"", "pass"} else (),
        run_by_checks=[str(check.get("target", "")) for check in pull.checks if check.get("type") in RUNNING],
        tests_exist=seen.tests_exist,
        task_tier=pull.tier,
        declared=[hint["path"] for hint in pull.file_hints],
        findings=seen.found,
        protected=pull.repo.protected_paths,
    )
    return {
        "base": seen.base,
        "head": seen.head,
        "tree": seen.tree,
        "conflict": [visible(name) for name in seen.conflict][:MAX_FINDINGS],
        "stats": {
            "files": len(seen.facts.files),
            "added": seen.facts.added,
            "deleted": seen.facts.deleted,
            "new_files": seen.facts.new_files,
            "blocked": judged.blocked,
        },
        "risk": judged.tier,
        "risk_reasons": [{"code": reason.code, "sentence": visible(reason.sentence)} for reason in judged.reasons],
        "findings": [{**asdict(one), "path": visible(one.path)} for one in seen.found[:MAX_FINDINGS]],
    }


def _known(status: str | None, pull: PullRequest) -> str:
    if not pull.checks:
        return risk.Verification.NONE
    return status if status in set(risk.Verification) else risk.Verification.UNKNOWN


def latest_of(pull: PullRequest, seen: Look) -> Verification | None:
    """The newest verification of exactly this head on this base, None when there is none."""
    return pull.verifications.filter(base=seen.base, head=seen.head).first()
