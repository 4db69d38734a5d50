"""`manage.py run`: the whole hub in one command."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django_q.tasks import async_task

from apps.agents.operators import first_login_link
from apps.ops import hub, valkey
from apps.ops.supervisor import NotReady, Supervisor
from apps.ops.voices import Voices


class Command(BaseCommand):
    """Starts web, job clusters and (without REDIS_URL) Valkey; one Ctrl-C stops them."""

    help = "Run the hub: web, job clusters and, without REDIS_URL, an embedded Valkey. Ctrl-C stops all of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where to listen."""
        parser.add_argument(
            "--bind", default="127.0.0.1", help="address to listen on (0.0.0.0: all; default %(default)s)"
        )
        parser.add_argument(
            "--port", type=hub.port_number, help=f"port to listen on (default {hub.DEFAULT_PORT}, or the next free one)"
        )

    def handle(self, *args: Any, bind: str, port: int | None, **options: Any) -> None:
        """Prepare the database, then supervise until Ctrl-C."""
        data_dir: Path = settings.DATA_DIR
        try:
            with hub.only_one(data_dir):
                self.serve(data_dir, bind, port)
        except (hub.Occupied, valkey.NoServer, NotReady) as reason:
            raise CommandError(str(reason)) from reason

    def serve(self, data_dir: Path, bind: str, wanted: int | None) -> None:
        """Everything that needs the data directory to itself."""
        port = hub.choose_port(bind, wanted)
        if wanted is None and port != hub.DEFAULT_PORT:
            self.stdout.write(f"Port {hub.DEFAULT_PORT} is taken; using {port}. Give another with --port.")
        prepare_database()
        url = settings.BASE_URL or hub.local_url(bind, port)
        link = first_login_link(url)
        connections.close_all()
        embedded = None if settings.REDIS_URL else valkey.plan(data_dir)
        children = hub.hub_children(
            bind=bind,
            port=port,
            data_dir=data_dir,
            redis_url=embedded.url if embedded else settings.REDIS_URL,
            embedded=embedded,
            ring=queue_beat,
        )

        def welcome() -> None:
            self.stdout.write(f"\nAgentCom serves at {url}  (data in {data_dir}; Ctrl-C stops it)")
            if link:
                self.stdout.write(f"Log in as the first operator, once, with this link:\n  {link}")
            self.stdout.write("")
            self.stdout.flush()

        asyncio.run(Supervisor(children, output=Voices(sys.stdout), on_ready=welcome).run())


def prepare_database() -> None:
    """Bring tables and schedules up to date. Raises CommandError when the database cannot be reached."""
    try:
        call_command("migrate", interactive=False, verbosity=0)
        if "sync_schedules" in get_commands():
            call_command("sync_schedules", verbosity=0)
    except DatabaseError as error:
        raise CommandError(f"The database cannot be used: {str(error).strip()}") from error


def queue_beat(cluster: str) -> None:
    """Queue the job that shows that `cluster` works; called in a thread of its own."""
    try:
        async_task("apps.ops.jobs.beat", cluster=cluster)
    finally:
        connections.close_all()
