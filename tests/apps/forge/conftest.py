"""Two agents, a person, and a workshop with a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from apps.agents.models import Agent
from tests import cast
from tests.apps.forge.workshop import Workshop


@pytest.fixture
def data_dir(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path


@pytest.fixture
def agents(db: None) -> tuple[Agent, Agent]:
    return cast.agent("ada"), cast.agent("bob")


@pytest.fixture
def workshop(data_dir: Path, agents: tuple[Agent, Agent]) -> Workshop:
    return Workshop(data_dir)


@pytest.fixture
def workshop_upstream(data_dir: Path, agents: tuple[Agent, Agent]) -> Workshop:
    return Workshop(data_dir, upstream=True)


@pytest.fixture
def ann(db: None) -> User:
    return User.objects.create_user("ann", "ann@example.invalid", is_staff=True)
