"""`manage.py login_link`: a link that logs an operator in once."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.operators import login_link


class Command(BaseCommand):
    help = "Print a link that logs an operator in once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", default="operator", help="whom it logs in (operator)")
        parser.add_argument("--url", default=settings.BASE_URL or "http://127.0.0.1:8000", help="how you reach the hub")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["user"], is_active=True, is_staff=True).first()
        if user is None:
            raise CommandError(f"There is no active operator called {options['user']}.")
        self.stdout.write(login_link(user, options["url"]))
