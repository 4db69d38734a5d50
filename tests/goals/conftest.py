"""A hub with an operator's model, which says what a test's oracles and cheats say, at a price."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from apps.demo.ollama import NAME, OllamaServer
from apps.endpoints import actions as endpoints
from apps.endpoints import jobs
from apps.endpoints.rules import rule_of
from apps.events import hints
from apps.ledger import prices
from apps.ledger.models import Price
from tests import cast
from tests.apps.ledger import till
from tests.foundry import LOCAL, crew
from tests.goals import oracles
from tests.goals.cases import Case
from tests.goals.works import Voices, Works
from tests.providers.ollama import serving
from tests.providers.running import Running

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
MICRO_IN, MICRO_OUT = 1, 4
"""Micro-USD that a token of a prompt and of an answer costs here, so that there is money to count."""


@pytest.fixture
def works(
    db: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Works]]:
    """Makes the works for a case; in the end the hub has sent nothing that it may not, and the books are right."""
    monkeypatch.setattr(hints, "send", lambda _: None)
    settings.DATA_DIR = tmp_path / "data"
    prices.load()
    Price.objects.create(
        model=f"ollama:{NAME}", input=MICRO_IN * 1_000_000, output=MICRO_OUT * 1_000_000, effective_from="2020-01-01"
    )
    voices = Voices(oracles.planner, oracles.judge)
    server = OllamaServer(player=voices)
    running = Running(serving(server))
    running.start()
    settings.ENDPOINT_NETWORKS = LOOPBACK
    settings.ENDPOINT_PORTS = (int(server.url.rpartition(":")[2]), 1)
    jobs.look(endpoints.add(server.url, by="olga").pk)
    crew()
    offers = [{**LOCAL, "model": f"model-of-{grade}", "grade": grade} for grade in rule_of("standard").chain[1:]]
    cast.agent("eve", executors=["shell", "verify", "ollama"], offers=offers)  # for what is beyond a local model

    def made(case: Case, **options: Any) -> Works:
        return Works(tmp_path, server, voices, case, **options)

    yield made
    running.stop()
    assert [] == till.faults()
