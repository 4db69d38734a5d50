"""A hub that carries out goals in a real mirror, with a model that says what it is told and agents that do the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from apps.agents.models import Agent
from apps.endpoints import completion
from apps.endpoints.completion import Answer, Question
from apps.goals import actions
from apps.goals.actions import Wanted
from apps.goals.models import Goal, Merge, Slice
from apps.repos import mirror
from apps.tasks import attempts
from apps.tasks.models import Attempt, Task
from tests import cast
from tests.apps.forge.workshop import Workshop, drain

LOCAL = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0}
TESTS = {"type": "command_succeeds", "target": "make test", "description": "", "timeout_seconds": 60.0}
Reply = str | Exception | Callable[[Question], str]


def crew() -> list[Agent]:
    """Agents with a local model each, enough for slices and for checks beside them."""
    facts: dict[str, Any] = {"executors": ["shell", "verify", "ollama"], "offers": [LOCAL]}
    return [cast.agent(name, **facts) for name in ("ada", "bob", "cleo", "dan")]


def piece(title: str, *, after: Sequence[int] = (), new: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """A slice as a planner writes it."""
    return {
        "title": title,
        "description": f"Do {title}.",
        "success_criteria": [f"{title} is done"],
        "files": [],
        "new_files": list(new),
        "checks": [{"type": "command_succeeds", "target": f"check {title}"}],
        "after": list(after),
        "tier": "standard",
        **more,
    }


def plan(*pieces: Mapping[str, Any]) -> str:
    """A planner's answer."""
    return json.dumps({"slices": list(pieces)})


def verdict(question: Question, *, met: bool = True, where: str = "", gaps: Sequence[str] = ()) -> str:
    """A judge's answer on the one criterion of a goal."""
    return json.dumps(
        {
            "criteria": [{"number": 1, "where": where, "met": met}],
            "gaps": [{"description": gap, "severity": "critical"} for gap in gaps],
            "reason": "I looked at it.",
            "verdict": "pass" if met else "fail",
        }
    )


class Foundry:
    """`replies` are what the model says, in order; the last one again and again."""

    def __init__(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workshop = workshop
        self.replies: list[Reply] = []
        self.asked: list[Question] = []
        monkeypatch.setattr(completion, "ask", self._ask)

    def _ask(self, question: Question) -> Answer:
        self.asked.append(question)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        text = reply(question) if callable(reply) else reply
        return Answer(text, "scripted", "local", 100, 50, 0)

    def goal(self, title: str = "Say more", **wanted: Any) -> Goal:
        """Handed in by a person."""
        wanted.setdefault("success_criteria", ["It says more."])
        wanted.setdefault("checks", [TESTS])
        goal, _ = actions.submit(Wanted(title=title, repo=self.workshop.repo, **wanted), by="ann")
        return goal

    def begun(self, *pieces: Mapping[str, Any], title: str = "Say more", **wanted: Any) -> Goal:
        """A goal whose plan has these slices, with those handed in whose turn it is."""
        goal = self.goal(title, **wanted)
        self.replies = [plan(*pieces)]
        actions.begin(goal)
        drain()
        return cast.fresh(goal)

    def slice(self, goal: Goal, number: int) -> Slice:
        return Slice.objects.select_related("task").get(goal=goal, number=number)

    def states(self, goal: Goal) -> list[str]:
        """How each slice stands, in order."""
        from apps.goals.standing import parts_of, slices_of

        return [part.state.value for part in parts_of(slices_of(goal), list(goal.merges.order_by("pk")))]

    def deliver(self, goal: Goal, number: int, files: Mapping[str, str | None]) -> Attempt:
        """An agent does the slice, and the hub begins to merge it if nothing else is being merged."""
        one = self.slice(goal, number)
        assert one.task is not None
        attempt = self.workshop.deliver(one.task, files)
        drain()
        return attempt

    def checked(self, goal: Goal, status: str = "pass", output: str = "") -> Merge:
        """An agent repeats the checks on the merged tree of the pending merge, with this result."""
        pending = Merge.objects.select_related("task").get(goal=goal, status="pending")
        assert pending.task is not None
        attempt = cast.working(pending.task)
        report = cast.report(
            pending.task.checks, status, commit=pending.commit, tree=pending.tree, sandbox="bubblewrap"
        )
        for check in report["checks"]:
            check["output"] = output
        attempts.complete(cast.fence(attempt), {}, [report])
        drain()
        return cast.fresh(pending)

    def done(self, goal: Goal, number: int, files: Mapping[str, str | None]) -> None:
        """The slice is delivered, checked and merged."""
        self.deliver(goal, number, files)
        self.checked(goal)

    def open_tasks(self, goal: Goal) -> list[Task]:
        return list(Task.objects.filter(goal=goal.pk, finished_at__isnull=True).order_by("pk"))

    def shown(self, goal: Goal, name: str) -> str:
        """A file as the goal's branch has it."""
        head = mirror.head(self.workshop.mirror, cast.fresh(goal).branch)
        assert head is not None
        return (mirror.read(self.workshop.mirror, head, name) or b"").decode()
