"""What the machine offers to tests: a test that needs more is skipped with its reason, and fails where CI is set.

Mark a test `redis`, `bwrap`, `netns` or `postgres`. `--only-database` keeps what touches the database, for the second
run on PostgreSQL.
"""

from __future__ import annotations

import functools
import gc
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from apps.ops import valkey

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback"}


def in_ci() -> bool:
    """Whether everything must run here."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def runs(*command: str) -> str | None:
    """None when the command succeeds, else why it does not."""
    if not shutil.which(command[0]):
        return f"{command[0]} is not installed"
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return None if done.returncode == 0 else f"{command[0]}: {done.stderr.strip()[-200:]}"


def lack_of_redis() -> str | None:
    """A server of our own can be started."""
    try:
        valkey.server_binary()
    except valkey.NoServer as lack:
        return str(lack)
    return None


def lack_of_bwrap() -> str | None:
    """Bubblewrap works for this user."""
    links = [part for name in ("bin", "lib", "lib64") for part in ("--symlink", f"usr/{name}", f"/{name}")]
    return runs("bwrap", "--unshare-all", "--ro-bind", "/usr", "/usr", *links, "/usr/bin/true")


def lack_of_netns() -> str | None:
    """Network namespaces can be made and removed."""
    name = f"agentcom-probe-{os.getpid()}"
    return runs("ip", "netns", "add", name) or runs("ip", "netns", "delete", name)


def lack_of_postgres() -> str | None:
    """The tests' database is PostgreSQL."""
    if "postgresql" in settings.DATABASES["default"]["ENGINE"]:
        return None
    return "the tests run on SQLite; DATABASE_URL=postgres://… or `make check` runs this on PostgreSQL"


NEEDS: dict[str, Callable[[], str | None]] = {
    "redis": functools.cache(lack_of_redis),
    "bwrap": functools.cache(lack_of_bwrap),
    "netns": functools.cache(lack_of_netns),
    "postgres": functools.cache(lack_of_postgres),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--only-database`."""
    parser.addoption("--only-database", action="store_true", help="run only the tests that touch the database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop what no database matters to, when asked."""
    if not config.getoption("--only-database"):
        return
    kept = [item for item in items if touches_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if not touches_database(item)])
    items[:] = kept


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was loaded stays to the end, so that the collector need not go through it again and again."""
    gc.collect()
    gc.freeze()


def touches_database(item: pytest.Item) -> bool:
    """Whether the outcome may depend on which database is used."""
    if item.get_closest_marker("one_database"):
        return False
    marked = any(item.get_closest_marker(name) for name in ("django_db", "postgres"))
    return marked or bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here; in CI nothing may be missing, except the database that the other run is for."""
    for name, lack in NEEDS.items():
        if item.get_closest_marker(name) and (reason := lack()):
            if in_ci() and name != "postgres":
                pytest.fail(f"needs {name}, which CI must have: {reason}", pytrace=False)
            pytest.skip(f"needs {name}: {reason}")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey of the tests' own."""
    if reason := NEEDS["redis"]():
        (pytest.fail if in_ci() else pytest.skip)(reason)
    with valkey.start(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url
