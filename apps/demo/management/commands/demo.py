"""`manage.py demo`: the first ten minutes with AgentCom, for real."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from apps.demo import ground
from apps.demo.screen import Screen
from apps.ops import hub, valkey
from apps.ops.supervisor import NotReady

INTERRUPTED = 130


class Command(BaseCommand):
    """Prepares a directory and starts itself anew in the environment of a hub that lives there."""

    help = "A hub, two sidecars and a handful of tasks in a directory of their own, from submission to pull request."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How it is watched, and where."""
        parser.add_argument("--once", action="store_true", help="unattended: merge everything, check it, and exit")
        parser.add_argument(
            "--port", type=hub.port_number, help=f"port to serve on ({hub.DEFAULT_PORT}, or the next free one)"
        )
        parser.add_argument(
            "--directory",
            type=Path,
            default=settings.BASE_DIR / ".demo",
            help="where everything is kept; emptied at each start (default %(default)s)",
        )

    def handle(self, *args: Any, once: bool, port: int | None, directory: Path, **options: Any) -> None:
        """Exit status 0 when all went well, or when it was stopped while a person watched; else 1."""
        try:
            directory = ground.claim(directory)
            if os.environ.get(ground.INSIDE) is None:
                self.begin_anew(directory)
            if not self.perform(directory, port, once=once):
                sys.exit(1)
        except (ground.Unusable, hub.Occupied, valkey.NoServer, NotReady) as reason:
            raise CommandError(str(reason)) from reason
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def begin_anew(self, directory: Path) -> None:
        """The same command, with the settings of the demonstration's own hub."""
        sys.stdout.flush()
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, ground.environment(directory, os.environ))  # noqa: S606 - ourselves again

    def perform(self, directory: Path, wanted: int | None, *, once: bool) -> bool:
        """Everything that needs the directory to itself."""
        from apps.demo.performance import Performance
        from apps.demo.rest import Unexpected
        from apps.ops.management.commands.run import queue_beat

        screen, began = Screen(sys.stdout), float(os.environ[ground.INSIDE])
        with ground.taken(directory) as place:
            port = hub.choose_port("127.0.0.1", wanted)
            try:
                return Performance(place, port, screen, queue_beat, began, once=once).run()
            except Unexpected as halt:
                raise CommandError(str(halt)) from halt
