"""`manage.py smoke`: does this hub work, with the machines that are connected right now?"""

from __future__ import annotations

import logging
import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.ops import smoke, valkey
from apps.ops.smoke import Finding, Trial

HEAD = ("task", "status", "agent", "attempts", "assigned", "ended", "tokens")


class Command(BaseCommand):
    """Prints a table and a verdict; exits 1 when an expectation did not hold. A slow assignment is only a warning."""

    help = "Run a few harmless tasks on the connected agents of the running hub, and say how it went."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How many agents it takes, how many tasks to run, how long to wait."""
        parser.add_argument(
            "--agents", type=_count, default=2, help="agents that must be connected (default %(default)s)"
        )
        parser.add_argument(
            "--tasks", type=_count, help=f"default {smoke.FEW}, or {smoke.MANY} with {smoke.MANY_AGENTS} agents"
        )
        parser.add_argument(
            "--patience", type=float, default=60.0, help="seconds without any task ending (default %(default).0f)"
        )

    def handle(self, *args: Any, agents: int, tasks: int | None, patience: float, **options: Any) -> None:
        """Run, show, judge."""
        reach_the_hub()
        logging.getLogger("apps").setLevel(logging.WARNING)  # the table says it all
        names = list(smoke.crew().values_list("name", flat=True))
        wanted = tasks or smoke.how_many(len(names))
        progress = self._progress if self.stdout.isatty() else _silent
        try:
            found = smoke.run(agents=agents, tasks=wanted, patience=patience, told=progress)
        except smoke.NotReady as reason:
            raise CommandError(str(reason)) from reason
        self.stdout.write("\n".join(table(found)))
        judged = smoke.findings(found, wanted=wanted, crew_names=names)
        self.stdout.write("\n".join(["", *map(self._line, judged)]))
        if any(not one.held and not one.warns for one in judged):
            self.stdout.write(self.style.ERROR("Something is wrong with this hub."))
            sys.exit(1)
        self.stdout.write(self.style.SUCCESS("The hub works."))

    def _progress(self, ended: int, total: int) -> None:
        self.stdout.write(f"\r{ended}/{total}", ending="\n" if ended == total else "")
        self.stdout.flush()

    def _line(self, one: Finding) -> str:
        if one.held:
            return self.style.SUCCESS(f"  ok       {one.sentence}")
        return (
            self.style.WARNING(f"  warning  {one.sentence}")
            if one.warns
            else self.style.ERROR(f"  no       {one.sentence}")
        )


def reach_the_hub() -> None:
    """Without REDIS_URL the hub's processes talk over its embedded Valkey: start again, knowing where that is."""
    if settings.REDIS_URL:
        return
    try:
        embedded = valkey.plan(settings.DATA_DIR)
    except valkey.NoServer as lack:
        raise CommandError(str(lack)) from lack
    if not embedded.answers():
        raise CommandError(f"No hub runs on {settings.DATA_DIR}. Start it, for example with: make run")
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "REDIS_URL": embedded.url})  # noqa: S606  this very command


def table(found: Sequence[Trial]) -> list[str]:
    """Aligned columns, a row for each task."""
    rows = [HEAD, *map(_cells, found)]
    wide = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows]


def _cells(trial: Trial) -> tuple[str, ...]:
    wait, took = (f"{seconds * 1000:.0f} ms" if seconds is not None else "-" for seconds in (trial.wait, trial.took))
    return (f"#{trial.task}", trial.status, trial.agent or "-", str(trial.attempts), wait, took, str(trial.tokens))


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 1_000:
        raise ValueError(text)
    return number


def _silent(*_: int) -> None:
    """Where nobody watches, only the end is shown."""
