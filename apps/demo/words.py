"""Events in plain words. Pure: what is known of tasks and agents is in a Memory that the events themselves fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.demo.screen import Line
from apps.events.kinds import Kind

OUTPUT_EVERY_MS = 3_000
"""How often a line that a command prints is shown."""


@dataclass(frozen=True)
class Happened:
    """An event; `seconds` since the beginning of the story."""

    seconds: float
    kind: str
    subject: str
    actor: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The id of the row that it happened to."""
        return int(self.subject.rpartition("/")[2])


@dataclass(frozen=True)
class Known:
    """A task: its title, the pull request that it verifies (0: it is a change), and what it waits for.

    `goal` is the number of the goal that it is for (0: none), `merges` the slice whose merge into it is checked.
    """

    title: str
    verifies: int = 0
    waits_for: tuple[int, ...] = ()
    goal: int = 0
    merges: int | None = None


@dataclass
class Memory:
    """Who does what, as far as it has been told."""

    tasks: dict[int, Known] = field(default_factory=dict)
    workers: dict[int, str] = field(default_factory=dict)
    pulls: dict[int, int] = field(default_factory=dict)
    verifications: dict[int, int] = field(default_factory=dict)
    agents: dict[int, str] = field(default_factory=dict)
    goals: dict[int, str] = field(default_factory=dict)
    wholes: dict[int, int] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    shown: dict[int, int] = field(default_factory=dict)


Said = tuple[str, str] | None
"""What to say, and the mood: good, bad, warn or none."""


def line_of(event: Happened, memory: Memory) -> Line | None:
    """The event as a line of the story; None when it says nothing new to a person."""
    _remember(event, memory)
    room = event.subject.partition("/")[0]
    if room == "task":
        return _of_task(event, memory)
    if room in {"pullrequest", "verification"}:
        return _of_pull(event, memory)
    if room == "goal":
        return _of_goal(event, memory)
    if room == "agent" and (said := AGENT.get(event.kind)):
        return Line(event.seconds, "", "", f"{memory.agents.get(event.number, 'an agent')}: {said[0]}", said[1])
    return None


def _remember(event: Happened, memory: Memory) -> None:
    if event.kind == Kind.TASK_ASSIGNED:
        memory.workers[event.number] = str(event.data.get("agent", ""))
        memory.tries[event.number] = memory.tries.get(event.number, 0) + 1
    elif event.kind == Kind.PULL_OPENED:
        memory.pulls[event.number] = int(event.data.get("task", 0))
        if event.data.get("goal"):
            memory.wholes[event.number] = int(event.data["goal"])
    elif event.kind == Kind.PULL_VERIFYING:
        memory.verifications[int(event.data["verification"])] = int(event.data["task"])


def _of_task(event: Happened, memory: Memory) -> Line | None:
    task = memory.tasks.get(event.number, Known(""))
    table = VERIFYING if task.verifies else WORKING if task.merges is None else MERGING
    tell = table.get(event.kind)
    said = tell(event, memory) if tell else None
    if said is None:
        return None
    subject, title = f"#{event.number}", task.title
    if task.merges is not None:
        subject, title = f"G{task.goal}", memory.goals.get(task.goal, "")
    if task.verifies:
        subject, title = f"!{task.verifies}", _pull_title(task.verifies, memory)
    return Line(event.seconds, subject, title, *said)


def _of_pull(event: Happened, memory: Memory) -> Line | None:
    pull = int(event.data.get("pull", event.number))
    tell = PULL.get(event.kind)
    said = tell(event, memory) if tell else None
    return Line(event.seconds, f"!{pull}", _pull_title(pull, memory), *said) if said else None


def _of_goal(event: Happened, memory: Memory) -> Line | None:
    tell = GOAL.get(event.kind)
    said = tell(event, memory) if tell else None
    return Line(event.seconds, f"G{event.number}", memory.goals.get(event.number, ""), *said) if said else None


def _pull_title(pull: int, memory: Memory) -> str:
    if pull in memory.wholes:
        return memory.goals.get(memory.wholes[pull], "")
    return memory.tasks.get(memory.pulls.get(pull, 0), Known("")).title


# --- tasks ------------------------------------------------------------------------------------------------------------


def _submitted(event: Happened, memory: Memory) -> Said:
    task = memory.tasks.get(event.number, Known(""))
    if task.goal:
        return f"handed in by the hub, for G{task.goal}", ""
    if waits := task.waits_for:
        return f"submitted; waits until {_and(waits)} is done", ""
    return "submitted", ""


def _assigned(event: Happened, memory: Memory) -> Said:
    again = memory.tries.get(event.number, 1)
    who = _worker(event, memory)
    return f"matched with {who}, pushed: attempt {again}" if again > 1 else f"matched with {who}, pushed to it", ""


def _accepted(event: Happened, memory: Memory) -> Said:
    return f"{_worker(event, memory)} works on it", ""


def _completed(event: Happened, memory: Memory) -> Said:
    return f"completed by {_worker(event, memory)}: every check passed", "good"


def _retried(event: Happened, _: Memory) -> Said:
    return f"{_error(event)}; it goes back in line, with what failed", "warn"


def _reclaimed(event: Happened, _: Memory) -> Said:
    return f"reclaimed: {event.data.get('error') or 'its agent fell silent.'}", "warn"


def _released(event: Happened, memory: Memory) -> Said:
    return f"handed back by {_worker(event, memory)}: {_error(event)}", "warn"


def _buried(event: Happened, _: Memory) -> Said:
    return f"into the dead letter, with its evidence: {_error(event)}", "bad"


def _simply(text: str, mood: str = "") -> Callable[[Happened, Memory], Said]:
    return lambda _event, _memory: (text, mood)


def _by(text: str, mood: str = "") -> Callable[[Happened, Memory], Said]:
    return lambda event, _memory: (f"{text} by {event.actor}" if event.actor else text, mood)


def _error(event: Happened) -> str:
    """The reason, without the list of checks that the story has told already."""
    reason = str(event.data.get("error") or event.data.get("reason") or event.data.get("note") or "no reason given")
    return reason.partition(" did not pass: ")[0] + " did not pass" if " did not pass: " in reason else reason


def _worker(event: Happened, memory: Memory) -> str:
    return memory.workers.get(event.number) or "somebody"


def _and(numbers: tuple[int, ...]) -> str:
    return " and ".join(f"#{number}" for number in numbers)


Tell = Callable[[Happened, Memory], Said]

WORKING: dict[str, Tell] = {
    Kind.TASK_SUBMITTED: _submitted,
    Kind.TASK_READY: _simply("waits no longer: what it needs is done"),
    Kind.TASK_ASSIGNED: _assigned,
    Kind.TASK_ACCEPTED: _accepted,
    Kind.TASK_COMPLETED: _completed,
    Kind.TASK_RETRIED: _retried,
    Kind.TASK_RECLAIMED: _reclaimed,
    Kind.TASK_RELEASED: _released,
    Kind.TASK_BURIED: _buried,
    Kind.TASK_CANCELLED: _by("cancelled", "warn"),
    Kind.TASK_REVIVED: _by("taken out of the dead letter"),
    Kind.TASK_STRANDED: _simply("stranded: what it waits for will not come", "bad"),
    Kind.TASK_SALVAGED: _simply("what the attempt changed is saved on a ref"),
}


# --- pull requests ----------------------------------------------------------------------------------------------------


def _verifies(event: Happened, memory: Memory) -> Said:
    return f"{_worker(event, memory)} repeats the checks on a clean checkout", ""


def _verified(event: Happened, memory: Memory) -> Said:
    who = memory.workers.get(memory.verifications.get(event.number, 0), "")
    return f"verified{f' by {who}' if who else ''}: ready to be merged", "good"


def _opened(event: Happened, _: Memory) -> Said:
    if event.data.get("goal"):
        return f"one pull request opened for the whole of G{event.data['goal']}", "good"
    return f"pull request opened for #{event.data.get('task')}", "good"


def _refused(event: Happened, _: Memory) -> Said:
    return f"no pull request: {_error(event)}", "bad"


VERIFYING: dict[str, Tell] = {
    Kind.TASK_ACCEPTED: _verifies,
    Kind.TASK_RECLAIMED: _reclaimed,
    Kind.TASK_BURIED: _buried,
}
PULL: dict[str, Tell] = {
    Kind.PULL_OPENED: _opened,
    Kind.PULL_UPDATED: _simply("new work on its branch"),
    Kind.PULL_VERIFIED: _verified,
    Kind.PULL_REFUTED: lambda event, _memory: (f"not verified: {_error(event)}", "bad"),
    Kind.PULL_STALE: _simply("the base moved, so the evidence is stale: the checks are repeated"),
    Kind.PULL_REFUSED: _refused,
    Kind.PULL_COMMENTED: _by("commented on"),
    Kind.PULL_APPROVED: _by("approved"),
    Kind.PULL_CHANGES_REQUESTED: _by("changes requested"),
    Kind.PULL_MERGED: _by("merged", "good"),
    Kind.PULL_CLOSED: _by("closed", "warn"),
}


# --- goals ------------------------------------------------------------------------------------------------------------


def _planned(event: Happened, _: Memory) -> Said:
    return f"planned by {event.data.get('model') or 'a model'}: {event.data.get('slices')} slices", "good"


def _checks_merge(event: Happened, memory: Memory) -> Said:
    number = memory.tasks.get(event.number, Known("")).merges
    what = f"slice {number}" if number else "the default branch"
    return f"{_worker(event, memory)} repeats the checks with {what} merged in", ""


def _merged(event: Happened, _: Memory) -> Said:
    number = event.data.get("slice")
    return f"{f'slice {number}' if number else 'the default branch'} is in the goal's branch", "good"


def _unmerged(event: Happened, _: Memory) -> Said:
    return f"slice {event.data.get('slice')} comes back: {_error(event)}", "warn"


MERGING: dict[str, Tell] = {
    Kind.TASK_ACCEPTED: _checks_merge,
    Kind.TASK_RECLAIMED: _reclaimed,
    Kind.TASK_BURIED: _buried,
}
GOAL: dict[str, Tell] = {
    Kind.GOAL_SUBMITTED: _simply("handed in, in words"),
    Kind.GOAL_BEGUN: _simply("its turn has come: a model is asked for a plan"),
    Kind.GOAL_PLANNED: _planned,
    Kind.GOAL_MERGED: _merged,
    Kind.GOAL_UNMERGED: _unmerged,
    Kind.GOAL_JUDGING: _simply("all is merged: a model is asked whether it meets the criteria"),
    Kind.GOAL_CONTINUED: lambda event, _memory: (f"goes on: {_error(event)}", "warn"),
    Kind.GOAL_RETRIED: lambda event, _memory: (f"the answer could not be used: {_error(event)}", "warn"),
    Kind.GOAL_COMPLETED: _simply("complete: every criterion is met", "good"),
    Kind.GOAL_FAILED: lambda event, _memory: (f"cannot be reached: {_error(event)}", "bad"),
    Kind.GOAL_REVIEW_WANTED: lambda event, _memory: (f"waits for a person: {_error(event)}", "warn"),
    Kind.GOAL_CANCELLED: _by("cancelled", "warn"),
    Kind.GOAL_LANDED: _simply("its work is on the default branch", "good"),
    Kind.GOAL_REJECTED: _simply("its pull request was closed", "warn"),
}
AGENT: dict[str, tuple[str, str]] = {
    Kind.AGENT_JOINED: ("its sidecar is connected", ""),
    Kind.AGENT_LEFT: ("its sidecar's connection is gone", "warn"),
    Kind.AGENT_PAUSED: ("paused", "warn"),
    Kind.AGENT_RESUMED: ("works again", ""),
}


# --- live progress ----------------------------------------------------------------------------------------------------


def line_of_step(seconds: float, task: int, attempt: int, step: Mapping[str, Any], memory: Memory) -> Line | None:
    """A step of an attempt: its checks, a model's tools, now and then what a command prints. None for the rest."""
    known = memory.tasks.get(task, Known(""))
    kind, text, at = step.get("kind"), str(step.get("text", "")), int(step.get("at_ms", 0))
    if known.verifies or known.merges is not None:
        return None
    if kind == "check":
        status, _, what = text.partition(": ")
        passed = status == "pass"
        return Line(
            seconds, f"#{task}", known.title, what if passed else f"{what}: {status}", "good" if passed else "bad"
        )
    if kind == "tool":
        return Line(seconds, f"#{task}", known.title, text)
    if kind == "output" and at - memory.shown.get(attempt, -OUTPUT_EVERY_MS) >= OUTPUT_EVERY_MS:
        memory.shown[attempt] = at
        return Line(seconds, f"#{task}", known.title, f"“{text}”")
    return None
