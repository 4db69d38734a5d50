"""The queue under test: every operation that may happen to it, on whichever rows two drawn numbers point at.

An operation either does what it says, or is refused (`Refused`, of which `Stale` is one). Anything else it raises is a
bug. Numbers are taken modulo what there is, so that a drawn sequence means something whatever came before it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from django.apps import apps
from django.db import connection, transaction
from django.db.models.functions import Now

from apps.agents import presence
from apps.agents.models import Agent
from apps.events.refused import Refused
from apps.repos.models import Repo
from apps.tasks import actions, attempts
from apps.tasks.actions import Submission
from apps.tasks.attempts import Fence
from apps.tasks.lifecycle import Outcome
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task
from apps.tasks.sweep import sweep, sweep_deeply
from tests import cast

KEYS = 3
ROOMS = ("agents", "repos", "tasks", "events", "django_q")


class World:
    """What the test knows by itself: what it handed in, and who there is."""

    def __init__(self, *, quick: bool) -> None:
        """`quick`: whether a commit is followed by matching at once, as when the hub does not die in between."""
        self.quick = quick
        self.tasks: list[int] = []
        self.keys: dict[str, int] = {}
        self.numbers = itertools.count(1)
        self.repos = [cast.repo("free").pk, cast.repo("narrow", max_running=1).pk]
        self.agents = [
            cast.agent("ada").pk,
            cast.agent("ben", capabilities=["gpu"]).pk,
            cast.agent("cyd", online=False).pk,
        ]

    def task(self, number: int) -> Task:
        """One of the tasks that were handed in; refused while there is none."""
        if not self.tasks:
            raise Refused("nothing_there", "No task yet.")
        return Task.objects.get(pk=self.tasks[number % len(self.tasks)])

    def fence(self, number: int) -> Fence | None:
        """Two times in three that of an open attempt, else that of any attempt there ever was; None without any."""
        rows = Attempt.objects.open() if number % 3 else Attempt.objects.all()
        found = list(rows.order_by("id").values_list("task_id", "pk", "agent_id"))
        return Fence(*found[number // 3 % len(found)]) if found else None

    def agent(self, number: int) -> Agent:
        return Agent.objects.get(pk=self.agents[number % len(self.agents)])

    def repo(self, number: int) -> Repo:
        return Repo.objects.get(pk=self.repos[number % len(self.repos)])


def empty_the_database() -> None:
    """As after the first migration. In any order: keys are checked at commit."""
    models = [model for room in ROOMS for model in apps.get_app_config(room).get_models(include_auto_created=True)]
    with transaction.atomic(), connection.cursor() as cursor:
        for model in models:
            cursor.execute(f"DELETE FROM {connection.ops.quote_name(model._meta.db_table)}")  # noqa: S608  our own


# --- what people do ---------------------------------------------------------------------------------------------------


def submit(world: World, a: int, b: int) -> None:
    wanted: dict[str, Any] = {"command": "true", "lane": a % 4, "max_attempts": 1 + b % 3}
    if a % 5 == 1:
        wanted["repo"] = world.repo(b)
    if a % 7 == 2:
        wanted["capabilities"] = ["gpu"]
    if a % 11 == 3:
        wanted["target"] = world.agent(b)
    if a % 13 == 4:
        wanted["avoid"] = world.agent(b)
    if a % 2:
        wanted["checks"] = [cast.CHECK]
    _submit(world, Submission(title="one", **wanted))


def submit_again(world: World, a: int, b: int) -> None:
    key = f"key-{a % KEYS}"
    before = world.keys.get(key)
    task, new = _submit(world, Submission(title="keyed", command="true", idempotency_key=key))
    assert before is None or (before, False) == (task, new), "a key gave two tasks"
    assert world.keys.setdefault(key, task) == task, "a key gave two tasks"


def submit_after(world: World, a: int, b: int) -> None:
    before = {world.task(a).pk, world.task(b).pk}
    _submit(world, Submission(title="after", command="true", depends_on=sorted(before)))


def _submit(world: World, wanted: Submission) -> tuple[int, bool]:
    task, new = actions.submit(wanted, by="model")
    if new:
        world.tasks.append(task.pk)
    return task.pk, new


def cancel(world: World, a: int, b: int) -> None:
    actions.cancel(world.task(a), by="model")


def revive(world: World, a: int, b: int) -> None:
    dead = [pk for pk in world.tasks if Task.objects.filter(pk=pk, status="dead").exists()]
    actions.revive(Task.objects.get(pk=dead[a % len(dead)]) if dead else world.task(a), by="model")


def add_prerequisite(world: World, a: int, b: int) -> None:
    actions.add_prerequisite(world.task(a), world.task(b).pk, by="model")


def drop_prerequisite(world: World, a: int, b: int) -> None:
    task = world.task(a)
    known = list(task.prerequisites.order_by("prerequisite").values_list("prerequisite", flat=True))
    actions.drop_prerequisite(task, known[b % len(known)] if known else world.task(b).pk, by="model")


def set_deadline(world: World, a: int, b: int) -> None:
    """Rarely: what is overdue is gone for good."""
    if b % 4 == 0:
        Task.objects.filter(pk=world.task(a).pk, finished_at__isnull=True).update(complete_by=Now())


def pause_repo(world: World, a: int, b: int) -> None:
    Repo.objects.filter(pk=world.repo(a).pk).update(paused=bool(b % 2))


# --- what agents do ---------------------------------------------------------------------------------------------------


def connect(world: World, a: int, b: int) -> None:
    agent = world.agent(a)
    cast.connect(agent, f"again-{next(world.numbers)}", capabilities=agent.capabilities)
    match()


def disconnect(world: World, a: int, b: int) -> None:
    agent = world.agent(a)
    presence.leave(agent, agent.connection or "none")


def pause_agent(world: World, a: int, b: int) -> None:
    (presence.pause if b % 2 else presence.resume)(world.agent(a), by="model")


def reports(fence: Fence, status: str) -> Sequence[dict[str, Any]]:
    return [cast.report(Task.objects.get(pk=fence.task).checks, status)]


def accept(fence: Fence, b: int) -> None:
    attempts.accept(fence)


def renew(fence: Fence, b: int) -> None:
    attempts.renew(fence)


def progress(fence: Fence, b: int) -> None:
    attempts.progress(fence, b % 3, [])


def block(fence: Fence, b: int) -> None:
    attempts.block(fence, "waits")


def unblock(fence: Fence, b: int) -> None:
    attempts.unblock(fence)


def complete(fence: Fence, b: int) -> None:
    assert Outcome.SUCCEEDED == attempts.complete(fence, {"commit": "c" * 40}, reports(fence, "pass"))


def complete_unproven(fence: Fence, b: int) -> None:
    """Says that it is done, and brings a report that shows otherwise, or none."""
    checks = Task.objects.get(pk=fence.task).checks
    if checks:
        shown = reports(fence, "fail") if b % 2 else []
        assert Outcome.UNVERIFIED == attempts.complete(fence, {"commit": "c" * 40}, shown)


def fail(fence: Fence, b: int) -> None:
    attempts.fail(fence, "command_failed", "exit 1")


def fail_with_report(fence: Fence, b: int) -> None:
    attempts.fail(fence, "verification_failed", "", {}, reports(fence, "fail"))


def release(fence: Fence, b: int) -> None:
    attempts.release(fence, "drained", "")


def come_back_without(fence: Fence, b: int) -> None:
    attempts.reclaim(fence, "came back without it", only_lapsed=False)


# --- what time does ---------------------------------------------------------------------------------------------------


def lapse(world: World, a: int, b: int) -> None:
    fence = world.fence(3 * a + 1)
    if fence is not None:
        Attempt.objects.open().filter(pk=fence.attempt).update(lease_until=Now())


def rest_over(world: World, a: int, b: int) -> None:
    Task.objects.filter(pk=world.task(a).pk, not_before__isnull=False).update(not_before=Now())


def match_now(world: World, a: int, b: int) -> None:
    match()


def sweep_now(world: World, a: int, b: int) -> None:
    (sweep if a % 2 else sweep_deeply)()


VERBS: dict[str, Callable[[Fence, int], None]] = {
    verb.__name__: verb
    for verb in (
        accept,
        renew,
        progress,
        block,
        unblock,
        complete,
        complete_unproven,
        fail,
        fail_with_report,
        release,
        come_back_without,
    )
}
"""What an agent says of an attempt; held against the fence."""

EVENTS: dict[str, Callable[[World, int, int], None]] = {
    event.__name__: event
    for event in (
        submit,
        submit_again,
        submit_after,
        cancel,
        revive,
        add_prerequisite,
        drop_prerequisite,
        set_deadline,
        pause_repo,
        connect,
        disconnect,
        pause_agent,
        lapse,
        rest_over,
        match_now,
        sweep_now,
    )
}
"""Everything else that happens."""


def happen(world: World, name: str, a: int, b: int) -> None:
    """Do it, or be refused; anything else is a bug and rises."""
    with contextlib.suppress(Refused):  # losing a race, or asking for what cannot be, is normal
        if name in EVENTS:
            EVENTS[name](world, a, b)
        elif fence := world.fence(a):
            VERBS[name](fence, b)
