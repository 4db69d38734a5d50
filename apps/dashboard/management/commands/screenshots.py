"""`manage.py screenshots`: take the pictures of the documentation from a hub of its own, with invented data."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

DESKTOP, PHONE = (1280, 960), (390, 844)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"]
START_SECONDS = 60.0


class Command(BaseCommand):
    """Pictures of the pages, light and dark, on a desk and on a phone."""

    help = "Take the pictures of the documentation; needs Playwright and chromium. Touches no data of this hub."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Where they go."""
        parser.add_argument("--out", type=Path, default=settings.BASE_DIR / "docs" / "pictures")
        parser.add_argument("--full", action="store_true", help="the whole length of each page")
        parser.add_argument("--seed", type=Path, help="only invent the data, in the hub that the environment names")

    def handle(self, *args: Any, **options: Any) -> None:
        """Seed, serve, look."""
        if options["seed"]:
            self.stdout.write(seed(options["seed"]))
            return
        with (
            tempfile.TemporaryDirectory(prefix="agentcom-pictures-") as place,
            hub(Path(place)) as (base_url, facts),
        ):
            for name in take(base_url, facts, options["out"], full=options["full"]):
                self.stdout.write(name)


def seed(where: Path) -> str:
    """Invent the data; the ids and a login link as JSON."""
    if not Path(settings.DATA_DIR).is_relative_to(where):
        raise CommandError("Pictures are taken of a hub of their own; this one is in use.")
    from apps.agents.operators import login_link
    from apps.dashboard.scene import busy_hub

    scene = busy_hub(where)
    return json.dumps({"login": login_link(scene.operator, ""), **scene.ids})


@contextlib.contextmanager
def hub(place: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A hub with invented data on a port of its own; its URL and what `seed` said."""
    keep = {
        name: value for name, value in os.environ.items() if not name.startswith(("AGENTCOM_", "DATABASE_", "REDIS_"))
    }
    env = keep | {
        "AGENTCOM_DATA_DIR": str(place / "data"),
        "AGENTCOM_LEASE_WORKING_SECONDS": "86400",
        "AGENTCOM_LEASE_ASSIGNED_SECONDS": "86400",
        "AGENTCOM_BASE_URL": "https://hub.example",
        "AGENTCOM_HTTPS": "false",
        "AGENTCOM_LOG_LEVEL": "ERROR",
    }
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    subprocess.run([*manage, "migrate", "-v", "0"], env=env, check=True, cwd=settings.BASE_DIR)
    told = subprocess.run(
        [*manage, "screenshots", "--seed", str(place)],
        env=env,
        check=True,
        stdout=subprocess.PIPE,
        cwd=settings.BASE_DIR,
    )
    port = free_port()
    serve = [*manage, "web", "--port", str(port)]
    with subprocess.Popen(
        serve, env=env, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as web:
        try:
            base_url = f"http://127.0.0.1:{port}"
            until_it_answers(base_url, web)
            yield base_url, json.loads(told.stdout)
        finally:
            web.terminate()


def free_port() -> int:
    """A port that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_it_answers(base_url: str, web: subprocess.Popen[bytes]) -> None:
    """Wait for the first answer; CommandError when the server ends or says nothing for too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if web.poll() is not None:
            raise CommandError(f"The server ended with {web.returncode}.")
        try:
            urllib.request.urlopen(f"{base_url}/login", timeout=5).close()  # noqa: S310  our own address
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise CommandError("The server did not answer.")


def browser_path() -> str:
    """The chromium of this machine."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise CommandError("Install chromium to take pictures (Debian: apt-get install chromium).")


def take(base_url: str, facts: dict[str, Any], out: Path, *, full: bool) -> Iterator[str]:
    """Take every picture; the paths, as they are written."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as missing:
        raise CommandError("Install requirements/dev.txt to take pictures.") from missing
    out.mkdir(parents=True, exist_ok=True)
    pages = {
        "overview": "/",
        "goal": f"/goals/{facts['goal']}",
        "goals": "/goals",
        "brain": "/brain",
        "health": "/health",
        "task": f"/tasks/{facts['running']}",
        "pull-request": f"/pulls/{facts['pull']}",
        "dead-letter": "/dead",
        "machines": "/machines",
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=FLAGS)
        state = log_in(browser, base_url + facts["login"])
        for scheme in ("light", "dark"):
            for device, (width, height) in (("", DESKTOP), ("-phone", PHONE)):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    reduced_motion="reduce",
                    device_scale_factor=1.5,
                    storage_state=state,
                )
                page = context.new_page()
                for name, path in pages.items():
                    page.goto(base_url + path, wait_until="networkidle")
                    path_out = out / f"{name}{device}{'-dark' if scheme == 'dark' else ''}.png"
                    page.screenshot(path=path_out, full_page=full)
                    yield str(path_out)
                context.close()
        browser.close()


def log_in(browser: Any, link: str) -> Any:
    """Use the link up; the cookies it brings."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#running")
    state = context.storage_state()
    context.close()
    return state
