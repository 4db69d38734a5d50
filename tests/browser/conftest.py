"""A real hub and a real browser. Without chromium these tests are skipped with a line that says so; CI must have it."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from apps.dashboard.management.commands.screenshots import BROWSERS, FLAGS
from tests.conftest import in_ci
from tests.hub import Hub, hub_at

LEAVE_OPEN = {"AGENTCOM_SWEEP_SECONDS": "1"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Ends with the module: while Playwright runs, it holds this thread's event loop, and asynchronous tests cannot."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        (pytest.fail if in_ci() else pytest.skip)("chromium is not installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Hub]:
    with hub_at(tmp_path_factory.mktemp("hub"), redis_url, env=LEAVE_OPEN) as running:
        yield running


@pytest.fixture(scope="module")
def session(hub: Hub, browser: Any) -> Any:
    """The cookies of an operator who came in by a link."""
    link = hub.shell(
        "from django.contrib.auth.models import User; from apps.agents.operators import login_link;"
        f"print(login_link(User.objects.get(username='tester'), {hub.url!r}))"
    )
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(hub.url + "/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page(browser: Any, session: Any) -> Iterator[Any]:
    """A page that remembers in `wrong` whatever the browser complained about."""
    context = browser.new_context(storage_state=session, viewport={"width": 390, "height": 844})
    opened = context.new_page()
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("console", lambda said: said.type == "error" and opened.wrong.append(f"{said.text} {said.location}"))
    yield opened
    context.close()
