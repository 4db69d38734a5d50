"""One hub and its crew for the tests of a module: starting them costs more than most walks do."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from apps.ops import valkey
from tests.hub import Hub, eventually, hub_at
from tests.journey import BRISK, Upstream, idle
from tests.providers.policy import Providers
from tests.sidecars import Sidecar, sidecars


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Environment of the module's hub; a module that needs another one says so."""
    return BRISK


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journey")


@pytest.fixture(scope="module")
def hints(base: Path) -> Iterator[list[valkey.Embedded]]:
    """The module's own Valkey, for a test to end and replace on the same socket."""
    with valkey.start(base / "hints") as server:
        running = [server]
        yield running
        running[-1].stop()


@pytest.fixture(scope="module")
def queues() -> tuple[str, ...]:
    """Those of the module's hub that have a cluster."""
    return ("default",)


@pytest.fixture(scope="module")
def hub(base: Path, hints: list[valkey.Embedded], settings: dict[str, str], queues: tuple[str, ...]) -> Iterator[Hub]:
    data = base / "hub"
    data.mkdir()
    with hub_at(data, hints[-1].url, clusters=True, env=settings, queues=queues) as running:
        yield running


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path) -> Iterator[list[Sidecar]]:
    with sidecars(hub, base, "ada", "bob") as running:
        yield running


@pytest.fixture(scope="module")
def providers() -> Iterator[Providers]:
    """An Ollama and a Claude, for a module whose tasks are in words."""
    made = Providers()
    yield made
    made.stop()


@pytest.fixture
def crew(hub: Hub, machines: list[Sidecar]) -> list[Sidecar]:
    """Both sidecars, up and idle."""
    for one in machines:
        if not one.running:
            one.start()
    eventually(lambda: idle(hub), within=60, what="an idle crew")
    return machines


@pytest.fixture
def upstream(hub: Hub, tmp_path: Path) -> Upstream:
    """A repository of the test's own."""
    return Upstream.make(hub, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the processes said when a journey fails."""
    report = yield
    if report.failed:
        found = getattr(item, "funcargs", {})
        if "hub" in found:
            report.sections.append(("hub", found["hub"].logs()))
        for one in found.get("machines", []):
            report.sections.append((one.name, one.log()))
    return report
