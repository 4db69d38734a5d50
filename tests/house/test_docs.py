"""docs/lifecycles.md and docs/queue.md say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apps.agents.lifecycle import AgentState
from apps.brain.lifecycle import BRAIN
from apps.events.kinds import Kind
from apps.events.lifecycle import Lifecycle
from apps.forge.lifecycle import PULL, VERIFICATION
from apps.goals.lifecycle import GOAL, MERGE
from apps.insight.lifecycle import CHECKUP
from apps.tasks.lifecycle import ATTEMPT, TASK
from tests.model.invariants import INVARIANTS

DOCS = Path(__file__).resolve().parents[2] / "docs"
LIFECYCLES = {
    "Task": TASK,
    "Attempt": ATTEMPT,
    "Pull request": PULL,
    "Verification": VERIFICATION,
    "Goal": GOAL,
    "Merge": MERGE,
    "Brain": BRAIN,
    "Checkup": CHECKUP,
}


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the first table under `heading`, their cells without backquotes."""
    text = (DOCS / page).read_text()
    assert f"\n{heading}\n" in text, f"{page} has no {heading!r}"
    lines = text.split(f"\n{heading}\n", 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split(" | ")])
    return rows


@pytest.mark.parametrize("name", list(LIFECYCLES))
def test_the_page_has_every_status_and_says_which_are_final(name: str) -> None:
    one: Lifecycle = LIFECYCLES[name]
    expected = [[status.value, "yes" if status in one.final else "no"] for status in one.statuses]

    assert expected == [row[:2] for row in table("lifecycles.md", f"## {name}")]


@pytest.mark.parametrize("name", list(LIFECYCLES))
def test_the_page_has_every_move_with_its_meaning(name: str) -> None:
    article = "an" if name == "Attempt" else "a"
    expected = [
        [move.source.value if move.source else "—", move.target.value, move.meaning] for move in LIFECYCLES[name].moves
    ]

    assert expected == table("lifecycles.md", f"### Moves of {article} {name.lower()}")


def test_the_page_has_every_state_of_an_agent() -> None:
    assert [state.value for state in AgentState] == [row[0] for row in table("lifecycles.md", "## Agent")]


def test_the_page_has_every_kind_of_event_with_its_meaning() -> None:
    assert [[kind.value, kind.meaning] for kind in Kind] == table("lifecycles.md", "## Events")


def test_the_queue_page_has_every_invariant_that_is_checked() -> None:
    expected = [sentence.split(": ", 1) for sentence in INVARIANTS]

    assert expected == table("queue.md", "## Invariants")


@pytest.mark.parametrize("page", ["lifecycles.md", "queue.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    root = DOCS.parent
    for name in re.findall(r"`((?:apps|agentcom|tests|sidecar|docs)/[\w/.]+\.\w+)`", (DOCS / page).read_text()):
        assert (root / name).exists(), f"{page} names {name}"
