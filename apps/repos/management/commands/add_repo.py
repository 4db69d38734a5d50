"""`manage.py add_repo`: register a repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.events.refused import Refused
from apps.repos import actions


class Command(BaseCommand):
    help = "Register a repository by its URL, which becomes the upstream, or by a path, which is copied once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", help="https://…, ssh://…, user@host:path, file:///… or a path on this machine")
        parser.add_argument("--slug", default="", help="what it is called here (the last part of the address)")
        parser.add_argument("--branch", default="", help="the default branch (what the repository says)")

    def handle(self, *args: Any, **options: Any) -> None:
        source = options["source"]
        if Path(source).is_dir():
            source = str(Path(source).resolve())
        try:
            repo = actions.register(source, slug=options["slug"], default_branch=options["branch"], by="command line")
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(f"{repo.slug}: registered, default branch {repo.default_branch}.")
