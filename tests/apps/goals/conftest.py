"""A foundry: a real mirror, a scripted model, and two agents with a model each."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_django import Settings

from tests.apps.forge.workshop import Workshop
from tests.foundry import Foundry, crew


@pytest.fixture
def foundry(db: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foundry:
    settings.DATA_DIR = tmp_path / "data"
    crew()
    return Foundry(Workshop(tmp_path), monkeypatch)
