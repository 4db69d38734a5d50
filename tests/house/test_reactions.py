"""The doors of reactions and of the clock name functions that are there, and every kind of event does happen."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.module_loading import import_string

from agentcom.reactions import REACTIONS, Reaction
from agentcom.schedules import SCHEDULES, Every
from apps.brain import cycles
from apps.events.kinds import Kind

ROOT = Path(__file__).resolve().parents[2]
CLUSTERS = {settings.Q_CLUSTER["name"], *settings.Q_CLUSTER["ALT_CLUSTERS"]}
LINES = [(kind, reaction) for kind, reactions in REACTIONS.items() for reaction in reactions]


@pytest.mark.parametrize(("kind", "reaction"), LINES, ids=lambda value: getattr(value, "job", value))
def test_a_reaction_names_a_function_that_takes_the_id_of_the_subject(kind: Kind, reaction: Reaction) -> None:
    job = import_string(reaction.job)
    inspect.signature(job).bind(1)

    assert reaction.job.split(".")[-2] == "jobs"
    assert (job.__doc__ or "").strip()
    assert reaction.cluster in CLUSTERS


@pytest.mark.parametrize("path", [path for paths in cycles.WORK.values() for path in paths] + [*cycles.JOBS.values()])
def test_the_cycles_of_the_brain_name_functions_that_are_there(path: str) -> None:
    assert (import_string(path).__doc__ or "").strip()


@pytest.mark.parametrize("every", SCHEDULES, ids=lambda every: every.job)
def test_the_clock_names_a_function_that_needs_nothing(every: Every) -> None:
    job = import_string(every.job)
    inspect.signature(job).bind()

    assert every.minutes >= 1
    assert every.cluster in CLUSTERS


def test_each_event_has_one_line() -> None:
    """A dict drops the first of two without a word."""
    (table,) = (
        node.value
        for node in ast.parse((ROOT / "agentcom/reactions.py").read_text()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    )
    keys = [ast.unparse(key) for key in table.keys if key is not None]

    assert sorted(set(keys)) == sorted(keys)
    assert len(REACTIONS) == len(keys)


def test_nothing_follows_twice_from_the_same_event() -> None:
    assert len(LINES) == len({(kind, reaction.job) for kind, reaction in LINES})


@cache
def recorded() -> frozenset[str]:
    """The members of Kind that some code of the hub names."""
    found: set[str] = set()
    for file in (ROOT / "apps").rglob("*.py"):
        if file.name == "kinds.py" or "migrations" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Kind":
                found.add(node.attr)
    return frozenset(found)


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_every_kind_of_event_is_recorded_somewhere(kind: Kind) -> None:
    assert kind.name in recorded()


@pytest.mark.parametrize("kind", list(Kind), ids=lambda kind: kind.value)
def test_a_kind_is_named_after_its_subject_and_explained_in_a_sentence(kind: Kind) -> None:
    assert kind.name == kind.value.replace(".", "_").upper()
    assert kind.meaning.endswith(".")
