"""The forge's workshop: two agents, a person, and a real repository."""

import pytest

from apps.brain import actions as brain
from tests.apps.forge.conftest import agents, ann, data_dir, workshop, workshop_upstream

__all__ = ["agents", "ann", "data_dir", "workshop", "workshop_upstream"]


@pytest.fixture(autouse=True)
def nobody_thinks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is looked at by the tests, not by the brain."""
    monkeypatch.setattr(brain, "think", lambda: None)
