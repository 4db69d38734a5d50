#!/usr/bin/env python
"""Django's command line for the hub."""

import os
import sys


def main() -> None:
    """Run what the arguments say; a database that was never set up is a sentence, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentcom.settings")
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as problem:
        if _has_tables():
            raise
        sys.exit(f"The hub's database has no tables yet; `make run` or `manage.py migrate` makes them. ({problem})")


def _has_tables() -> bool:
    """True as well when the database cannot be asked: then its own error says more."""
    from django.db import DatabaseError, connection

    try:
        return "django_migrations" in connection.introspection.table_names()
    except DatabaseError:
        return True


if __name__ == "__main__":
    main()
