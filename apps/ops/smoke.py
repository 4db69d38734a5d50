"""A few harmless tasks through a running hub and the agents that are really there: does it work, and how fast?

Tasks go out in waves, as many at a time as agents are idle. So each wait for an assignment is the hub's own, and an
even spread is the matcher's doing, however fast each machine is.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet

from apps.agents.models import Agent
from apps.events.kinds import Kind
from apps.events.log import subject_of
from apps.events.models import Event
from apps.tasks.actions import Submission, submit
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.models import Attempt, Lane, Task
from apps.tasks.sweep import door_is_open

EXECUTOR = "shell"
FEW, MANY, MANY_AGENTS = 10, 20, 4
"""How many tasks are run: more where there are enough agents to see that the work spreads."""
SLOW_SECONDS = 1.0
MOST_TOKENS = 500
UNEVEN = 2
POLL_SECONDS = 0.05


class NotReady(Exception):
    """The smoke test cannot begin; the message says what is missing."""


@dataclass(frozen=True)
class Trial:
    """One task and what came of it. `wait`, from queued to first assigned, and `took`, to the end, are in seconds."""

    task: int
    status: str
    agent: str
    attempts: int
    completions: int
    tokens: int
    wait: float | None
    took: float | None


@dataclass(frozen=True)
class Finding:
    """One thing that was expected. `held` decides the verdict; a figure that merely `warns` does not."""

    held: bool
    sentence: str
    warns: bool = False


def crew() -> QuerySet[Agent]:
    """The connected agents that run commands."""
    able = [pk for pk, offered in Agent.objects.available().values_list("pk", "executors") if EXECUTOR in offered]
    return Agent.objects.available().filter(pk__in=able)


def idle() -> int:
    """How many of them hold nothing."""
    return crew().filter(~Exists(Attempt.objects.open().filter(agent=OuterRef("pk")))).count()


def how_many(agents: int) -> int:
    """Tasks for that many agents."""
    return MANY if agents >= MANY_AGENTS else FEW


def run(
    *, agents: int, tasks: int, patience: float = 60.0, told: Callable[[int, int], None] = lambda *_: None
) -> list[Trial]:
    """Run the tasks to their end, or until nothing has ended for `patience` seconds; what came of each.

    `told` hears how many have ended, of how many. Raises NotReady without a running hub or enough connected agents.
    """
    if not door_is_open():
        raise NotReady("No web process of this hub is running on this database. Start it, for example with: make run")
    if (there := crew().count()) < agents:
        raise NotReady(f"{there} of the {agents} agents that this takes are connected and can run commands.")
    made: list[int] = []
    deadline = time.monotonic() + patience
    ended = -1
    while time.monotonic() < deadline:
        if (now_ended := _ended(made)) != ended:
            ended, deadline = now_ended, time.monotonic() + patience
            told(ended, tasks)
        if ended == tasks:
            break
        if ended == len(made):
            made += [_submit(len(made) + 1 + more) for more in range(min(idle(), tasks - len(made)))]
        time.sleep(POLL_SECONDS)
    return trials(made)


def _submit(number: int) -> int:
    wanted = Submission(
        title=f"Smoke {number}", command="true", lane=Lane.URGENT, timeout_seconds=30, metadata={"smoke": True}
    )
    return submit(wanted, by="smoke")[0].pk


def _ended(made: Sequence[int]) -> int:
    return Task.objects.filter(pk__in=made, finished_at__isnull=False).count()


def trials(made: Sequence[int]) -> list[Trial]:
    """What the database says of these tasks, in order."""
    tries: dict[int, list[Attempt]] = {pk: [] for pk in made}
    for attempt in Attempt.objects.filter(task__in=made).select_related("agent").order_by("pk"):
        tries[attempt.task_id].append(attempt)
    rows = Task.objects.filter(pk__in=made).order_by("pk")
    times = _completions(rows)
    return [_trial(task, tries[task.pk], times.get(subject_of(task), 0)) for task in rows]


def _completions(rows: QuerySet[Task]) -> Mapping[str, int]:
    said = Event.objects.filter(kind=Kind.TASK_COMPLETED.value, subject__in=[subject_of(task) for task in rows])
    return dict(said.values_list("subject").annotate(times=Count("pk")).order_by())


def _trial(task: Task, tries: Sequence[Attempt], completions: int) -> Trial:
    began = task.queued_at or task.created_at
    done = [attempt for attempt in tries if attempt.outcome == Outcome.SUCCEEDED]
    return Trial(
        task=task.pk,
        status=task.status,
        agent=done[-1].agent.name if done else "",
        attempts=len(tries),
        completions=max(completions, len(done)),
        tokens=sum(_tokens(attempt.result) for attempt in tries),
        wait=max(0.0, (tries[0].assigned_at - began).total_seconds()) if tries else None,
        took=max(0.0, (task.finished_at - began).total_seconds()) if task.finished_at else None,
    )


def _tokens(result: Mapping[str, Any]) -> int:
    return sum(int(count) for count in result.get("tokens", {}).values())


def findings(found: Sequence[Trial], *, wanted: int, crew_names: Sequence[str]) -> list[Finding]:
    """What was expected of `wanted` tasks given to these agents, and whether it held. Pure."""
    completed = sum(trial.status == TaskStatus.COMPLETED for trial in found)
    twice = [trial.task for trial in found if trial.completions > 1]
    tokens = sum(trial.tokens for trial in found)
    return [
        Finding(completed == wanted, f"{completed}/{wanted} tasks completed"),
        Finding(not twice, f"done twice: {', '.join(f'#{pk}' for pk in twice)}" if twice else "none done twice"),
        Finding(tokens < MOST_TOKENS, f"{tokens} tokens spent, of less than {MOST_TOKENS}"),
        _spread(found, crew_names),
        _speed(found),
    ]


def _spread(found: Sequence[Trial], names: Sequence[str]) -> Finding:
    counts = Counter(dict.fromkeys(names, 0)) + Counter(trial.agent for trial in found if trial.agent)
    shown = ", ".join(f"{name} {counts[name]}" for name in sorted({*names, *counts}))
    if any(trial.attempts > 1 for trial in found):
        return Finding(True, f"spread not judged, since work was taken back on the way: {shown}")
    fair = len(found) / max(1, len(names))
    even = all(abs(counts[name] - fair) <= UNEVEN for name in {*names, *counts})
    return Finding(even, f"spread {'even' if even else 'uneven'}, {fair:g} ± {UNEVEN} each: {shown}")


def _speed(found: Sequence[Trial]) -> Finding:
    waits = sorted(trial.wait for trial in found if trial.wait is not None)
    if not waits:
        return Finding(False, "nothing was assigned", warns=True)
    middle, slowest = waits[len(waits) // 2], waits[-1]
    sentence = f"assigned after {middle * 1000:.0f} ms in the middle, {slowest * 1000:.0f} ms at most"
    return Finding(slowest < SLOW_SECONDS, sentence + f", of less than {SLOW_SECONDS * 1000:.0f} ms", warns=True)
