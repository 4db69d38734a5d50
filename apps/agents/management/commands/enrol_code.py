"""`manage.py enrol_code`: a code with which one machine becomes an agent."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.agents.enrolment import mint_code
from apps.events.refused import Refused


class Command(BaseCommand):
    help = "Print a one-time code, valid for ten minutes, with which one machine becomes an agent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", default="", help="what the agent will be called (the machine may choose)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            _, code = mint_code(None, options["name"])
        except Refused as refused:
            raise CommandError(refused.message) from refused
        self.stdout.write(code)
