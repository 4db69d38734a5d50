"""`manage.py brain`: what the hub does by itself, and why; pause and resume."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from apps.brain import actions, read
from apps.brain.budgets import ALL_STATES, Purse
from apps.brain.models import Stay
from apps.forge.plain import printable
from apps.ledger.accounts import shown

BY = "manage.py"


class Command(BaseCommand):
    help = "Show what the hub does by itself, and why; pause it, resume it, or have it think at once."

    def add_arguments(self, parser: CommandParser) -> None:
        commands = parser.add_subparsers(dest="command", metavar="status | pause | resume | history | think")
        commands.add_parser("status", help="what it does, what it would do next, what holds it back (the default)")
        pause = commands.add_parser("pause", help="begin nothing by itself; what agents have in hand goes on")
        pause.add_argument("reason", nargs="?", default="", help="why, for those who wonder")
        commands.add_parser("resume", help="go on")
        history = commands.add_parser("history", help="where it was, newest first")
        history.add_argument("--last", type=int, default=20, help="so many (20)")
        commands.add_parser("think", help="look at how things are, and go where that leads")

    def handle(self, *args: Any, **options: Any) -> None:
        command = options["command"] or "status"
        getattr(self, f"_{command}")(options)

    def _status(self, _: dict[str, Any]) -> None:
        for line in status(read.report(stays=0)):
            self.stdout.write(printable(line))

    def _pause(self, options: dict[str, Any]) -> None:
        done = actions.pause(by=BY, reason=options["reason"])
        self.stdout.write("The hub is paused: it begins nothing by itself." if done else "It was paused already.")

    def _resume(self, _: dict[str, Any]) -> None:
        self.stdout.write("The hub goes on." if actions.resume(by=BY) else "It was not paused.")

    def _history(self, options: dict[str, Any]) -> None:
        for stay in Stay.objects.all()[: max(1, options["last"])]:
            self.stdout.write(printable(line_of(stay)))

    def _think(self, options: dict[str, Any]) -> None:
        before = actions.current().transition_count
        actions.think()
        moved = list(Stay.objects.filter(move__gt=before).order_by("move"))
        for stay in moved:
            self.stdout.write(printable(line_of(stay)))
        if not moved:
            self.stdout.write("It stays where it is.")
        self._status(options)


def status(report: read.Report) -> list[str]:
    """The report in lines."""
    lines = [
        f"{report.state} for {lasting(report.seconds)}, since {report.since:%Y-%m-%d %H:%M:%S}Z",
        *([f"  because  {report.why}"] if report.why else []),
        f"  now      {report.doing}",
        f"  next     {report.next or 'nothing'}{'' if report.holds else ', at once'}",
        *(f"  held by  {hold}" for hold in report.holds),
    ]
    if report.pause:
        why = f": {report.pause.reason}" if report.pause.reason else ""
        lines.append(f"  paused   by {report.pause.by}, since {report.pause.since:%Y-%m-%d %H:%M}Z{why}")
    lines.append(f"  goals    {report.pending} can begin, {report.active} under way, {report.waiting} wait for people")
    if report.critical:
        lines.append(f"  health   {report.critical} critical")
    return [*lines, *(f"  budget   {spent(purse)}" for purse in report.budgets)]


def spent(purse: Purse) -> str:
    per = purse.period if purse.period == "in all" else f"this {purse.period}"
    used, limit = shown(purse.measure, purse.used), shown(purse.measure, purse.limit)
    return f"{purse.state or ALL_STATES:13} {per:9} {used} of {limit}{'' if purse.enforced else ' (warns only)'}"


def line_of(stay: Stay) -> str:
    lasted = "lasts" if stay.seconds is None else lasting(stay.seconds)
    mark = " [watchdog]" if stay.alarm else ""
    return f"{stay.at:%Y-%m-%d %H:%M:%S}Z  {stay.status:13} {lasted:>8}  {stay.reason}{mark}"


def lasting(seconds: float) -> str:
    """`42 s`, `5 min`, `3.5 h`, `2.1 d`."""
    for size, unit, digits in ((86_400, "d", 1), (3_600, "h", 1), (60, "min", 0)):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"
