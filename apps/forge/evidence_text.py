"""The evidence block as Markdown, from a fixed template. Pure.

No dynamic text in it is markup, calls people or closes issues.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from apps.forge.evidence import Evidence
from apps.forge.plain import code, code_block, escaped

MAX_CHECKS = 50
MAX_REASONS = 30
LEVELS = {1: "low", 2: "medium", 3: "high"}


def markdown(it: Evidence) -> str:
    """The whole block."""
    return "\n\n".join(part for part in _parts(it) if part) + "\n"


def _parts(it: Evidence) -> Iterator[str]:
    yield "## Evidence"
    yield f"**{escaped(it.summary)}**"
    yield _table(["", ""], _facts(it))
    yield "### Checks"
    yield _checks(it) if it.checks else "The task has no checks."
    yield f"### Risk: {LEVELS.get(it.risk, 'high')} ({it.risk})"
    reasons = [f"- {escaped(reason['sentence'])}" for reason in it.risk_reasons]
    yield "\n".join(_capped(reasons, MAX_REASONS)) or "- Nothing speaks against it."
    if it.judgement:
        yield "### Judgement"
        yield f"{escaped(it.judgement.get('reason') or '')} ({code(it.judgement.get('model') or 'no model')})"
        yield _table(
            ["criterion", "met", "seen in"],
            [
                [escaped(one["criterion"], 200), "yes" if one["met"] else "no", escaped(one["where"] or "-", 200)]
                for one in it.judgement.get("criteria") or ()
            ],
        )
    if it.parts:
        yield "### Parts"
        yield _table(
            ["task", "what", "agent", "model", "attempts", "checks", "cost", "commit"],
            [
                [
                    str(one.task), escaped(one.title, 120), code(one.agent), code(one.model) if one.model else "none",
                    str(one.attempts), f"{one.passed} of {one.checks} passed",
                    f"${one.cost_microusd / 1_000_000:.4f}", code(one.commit[:12]),
                ]
                for one in it.parts
            ],
        )  # fmt: skip
    yield "### Attempts"
    yield _table(
        ["attempt", "agent", "outcome", "why"],
        [[str(one.id), code(one.agent), escaped(one.outcome), escaped(one.error, 200)] for one in it.attempts],
    )
    yield "### Reproduce"
    yield code_block(it.reproduce)


def _facts(it: Evidence) -> list[list[str]]:
    rows = [
        ["Task", f"{it.task}: {escaped(it.title)}"],
        ["Goal", escaped(it.goal)],
        *(["Criterion", escaped(criterion)] for criterion in it.success_criteria[:20]),
        ["Agent", code(it.agent)],
        ["Executor", code(it.executor)],
        ["Model", code(it.model) if it.model else "none"],
        ["Cost", f"${it.cost_microusd / 1_000_000:.4f}" + _tokens(it)],
        ["Difference", f"{it.files} files, {it.added} lines added, {it.deleted} deleted"],
        ["Base", f"{code(it.base_branch)} at {code(it.base)}"],
        ["Commit", code(it.head)],
        ["Tree", code(it.tree)],
        ["Sandbox", code(it.sandbox) if it.sandbox else "not reported"],
        ["Output", f"sha256 {code(it.log_digest)}"],
    ]
    if it.verification is not None:
        seen = it.verification
        rows += [
            ["Verified", f"{code(seen.commit)}, tree {code(seen.tree)}, on base {code(seen.base)}"],
            ["Verifier", f"{code(seen.verifier or 'nobody yet')}, sandbox {code(seen.sandbox or 'not reported')}"],
            ["Note", escaped(seen.note)],
        ]
    return [row for row in rows if row[1]]


def _tokens(it: Evidence) -> str:
    return "".join(f", {count} {escaped(kind, 40)} tokens" for kind, count in sorted(it.tokens.items()))


def _checks(it: Evidence) -> str:
    rows = [
        [
            code(check.name),
            *(escaped(s or "-") for s in (check.first, check.last, check.verified)),
            f"{check.duration_ms} ms",
        ]
        for check in it.checks[:MAX_CHECKS]
    ]
    return _table(["check", "first run", "as pushed", "clean checkout", "took"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _capped(lines: list[str], most: int) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"- … and {len(lines) - most} more"]
