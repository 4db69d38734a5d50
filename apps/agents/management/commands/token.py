"""`manage.py token`: a token for an integration or a reader, shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from apps.agents import tokens
from apps.agents.models import Role
from apps.agents.scopes import SCOPES
from apps.events.refused import Refused

LONGEST_DAYS = 3_650


class Command(BaseCommand):
    help = "Print a new token for REST. It is shown once; the hub keeps only its digest."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--role", choices=[Role.INTEGRATION.value, Role.READER.value], default="integration")
        parser.add_argument("--user", default="operator", help="in whose name it acts (operator)")
        parser.add_argument("--scope", action="append", default=[], choices=[*SCOPES, "all"], help="may be repeated")
        parser.add_argument("--label", default="", help="what it is for")
        parser.add_argument("--days", type=int, help="how long it works; for ever when not given")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user called {options['user']}.")
        days = options["days"]
        if days is not None and not 0 < days <= LONGEST_DAYS:
            raise CommandError(f"A token works for 1 to {LONGEST_DAYS} days.")
        try:
            _, secret = tokens.mint(
                options["role"],
                user=user,
                scopes=list(SCOPES) if "all" in options["scope"] else options["scope"],
                label=options["label"][:100],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
                by="manage.py",
            )
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(secret)
