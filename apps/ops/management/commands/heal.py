"""`manage.py heal`: what is wrong with the hub, and one round of healing."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.forge.plain import printable
from apps.ops.assessment import HealthReport
from apps.ops.healing import Applied, Healed, heal
from apps.ops.models import Healing

COLUMNS = 80


class Command(BaseCommand):
    """Ends with 0 when nothing is wrong afterwards, else with 1."""

    help = "Look at what is wrong and do what can be done about it; --dry-run only says what that would be."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Change nothing; say what would be done.")
        parser.add_argument("--json", action="store_true", help="The same for programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        """One round."""
        done = heal(dry_run=options["dry_run"])
        if options["json"]:
            self.stdout.write(json.dumps(as_json(done), indent=2, default=str))
        else:
            self.stdout.write("\n".join(in_words(done)))
        if not done.after.healthy:
            sys.exit(1)


def as_json(done: Healed) -> dict[str, Any]:
    """Everything, as REST says it."""
    return {
        "dry_run": done.dry_run,
        "healthy": done.after.healthy,
        "before": _report(done.before),
        "actions": [asdict(one) for one in done.actions],
        "after": _report(done.after),
    }


def _report(report: HealthReport) -> dict[str, Any]:
    issues = [{**asdict(issue), "severity": issue.severity} for issue in report.issues]
    return {"healthy": report.healthy, "critical": report.critical, "issues": issues}


def in_words(done: Healed) -> Iterator[str]:
    """Lines of at most 80 columns."""
    yield from _issues(done.before)
    if done.actions:
        yield "\nWould be done:" if done.dry_run else "\nDone:"
        for one in done.actions:
            yield from _action(one)
    elif not done.before.healthy:
        yield "\nThere is nothing that healing can do now."
    if not done.dry_run and done.actions:
        yield "\nNow:"
        yield from _issues(done.after)


def _issues(report: HealthReport) -> Iterator[str]:
    if report.healthy:
        yield "Nothing is wrong."
    for issue in report.issues:
        yield from _wrapped(f"{issue.severity:<9} {issue.subject}: {issue.detail}", 10)


def _action(one: Applied) -> Iterator[str]:
    mark = {Healing.DONE: "ok", Healing.NOTHING: "-", Healing.FAILED: "failed", Healing.PLANNED: ""}[
        Healing(one.outcome)
    ]
    detail = f" - {one.detail}" if one.detail else ""
    yield from _wrapped(f"{mark:<9} {one.subject}: {one.action}{detail}", 10)


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(printable(text), COLUMNS, subsequent_indent=" " * indent) or [""]
