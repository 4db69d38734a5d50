"""The forge's workshop: two agents, a person, and a real repository."""

from tests.apps.forge.conftest import agents, ann, data_dir, workshop, workshop_upstream

__all__ = ["agents", "ann", "data_dir", "workshop", "workshop_upstream"]
