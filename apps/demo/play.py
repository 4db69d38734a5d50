"""The story itself: what is submitted, who is killed, what is merged, in order. It speaks to the hub over REST only."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.demo import machines, wish
from apps.demo.errands import ERRANDS, SLOW, Errand
from apps.demo.follow import Follower
from apps.demo.machines import Machine
from apps.demo.rest import Conflict, Rest, Unexpected
from apps.demo.screen import clock
from apps.demo.thinkers import Thinker
from apps.ops.supervisor import Supervisor

REPO = "textkit"
LETTERS_BEFORE_DEATH = 3
FINAL = frozenset({"completed", "dead", "cancelled"})
COME_BACK = frozenset(
    {"verification_stale", "verification_missing", "verification_pending", "repo_busy", "branch_moved"}
)
"""Refusals to merge that pass by themselves, when the checks were repeated on the base as it is now."""


@dataclass
class Play:
    """One performance. `began` is time.monotonic() at its beginning, set-up included."""

    rest: Rest
    supervisor: Supervisor
    crew: Sequence[Machine]
    follower: Follower
    thinker: Thinker
    began: float
    numbers: dict[str, int] = field(default_factory=dict)
    pulls: dict[str, int] = field(default_factory=dict)
    goal: int = 0
    first_merge: float | None = None

    async def many_tasks(self) -> None:
        """Everything is submitted at once, and runs until each has ended and each result is verified."""
        for errand in ERRANDS:
            await self._submit(errand)
        await self._ended(ERRANDS)
        await self._verified(ERRANDS)

    async def a_machine_dies(self) -> None:
        """A sidecar is killed in the middle of its work; the other one does it; the killed one comes back."""
        await self._submit(SLOW)
        victim = await self.rest.until(self._well_into, f"{SLOW.title} to be under way")
        await self.follower.say(f"SIGKILL to the sidecar of {victim}; its task is left half done", "bad")
        self.supervisor.kill(victim)
        await self.rest.until(self._other_works, "the other machine to take over")
        await self.follower.say(f"the sidecar of {victim} is started again", "dim")
        machine = next(machine for machine in self.crew if machine.name == victim)
        await self.supervisor.add(machine.child())
        await machines.idle(victim, self.rest)
        await self._ended([SLOW])
        await self._verified([SLOW])

    async def merge(self, errands: Iterable[Errand]) -> None:
        """A person would press the buttons; the same verbs over REST, one pull request after another."""
        for errand in errands:
            if errand.status == "completed":
                await self._merge(errand)
                if self.first_merge is None:
                    self.first_merge = time.monotonic() - self.began
                    await self.follower.say(f"the first merge, {clock(self.first_merge)} after the start", "dim")

    async def a_goal(self) -> None:
        """The hub gets a model to think with and a goal in words, and does the rest itself, up to a pull request."""
        added = await self.rest.post("/api/endpoints", {"url": self.thinker.url, "name": "here"})
        await self.follower.say(f"the hub may think with what answers at {self.thinker.url}", "dim")

        async def up() -> bool:
            found = await self.rest.get(f"/api/endpoints/{added['id']}")
            return bool(found["health"] == "up" and found["models"])

        await self.rest.until(up, "the hub to look at the endpoint")
        self.goal = (await self.rest.post("/api/goals", wish.submission(REPO)))["id"]
        await self.rest.until(self._goal_complete, "the goal to be complete")
        await self.rest.until(self._goal_verified, "the goal's pull request to be verified")

    async def merge_goal(self) -> None:
        """The one pull request of the goal."""
        await self._merge_pull((await self._goal())["pull"], wish.TITLE, "merge")

        async def landed() -> bool:
            return bool((await self._goal())["landed_at"])

        await self.rest.until(landed, "the goal to know that its work was merged")

    async def saved(self) -> None:
        """Wait until what unfinished attempts changed is on the hub."""

        async def look() -> bool:
            tasks = [await self._task(errand) for errand in (*ERRANDS, SLOW)]
            lost = {"unverified", "reclaimed"}
            attempts = [attempt for task in tasks for attempt in task["attempts"] if attempt["outcome"] in lost]
            return all(attempt["salvage_ref"] for attempt in attempts)

        await self.rest.until(look, "unfinished work to be saved")

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _submit(self, errand: Errand) -> None:
        made = await self.rest.post("/api/tasks", errand.submission(REPO, self.numbers))
        self.numbers[errand.key] = made["id"]

    async def _task(self, errand: Errand) -> Any:
        return await self.rest.get(f"/api/tasks/{self.numbers[errand.key]}")

    async def _ended(self, errands: Sequence[Errand]) -> None:
        async def look() -> bool:
            found = {task["id"]: task for task in await self.rest.all("/api/tasks?page_size=100")}
            mine = [found[self.numbers[errand.key]] for errand in errands]
            for errand, task in zip(errands, mine, strict=True):
                if task["status"] in FINAL and task["status"] != errand.status:
                    raise Unexpected(f"#{task['id']} {task['title']} ended as {task['status']}: {task['last_error']}")
            return all(task["status"] in FINAL for task in mine)

        await self.rest.until(look, "all tasks to end")

    async def _verified(self, errands: Sequence[Errand]) -> None:
        async def look() -> bool:
            every = {pull["task"]: pull for pull in await self.rest.all("/api/pulls?page_size=100")}
            mine = {e.key: every.get(self.numbers[e.key]) for e in errands if e.status == "completed"}
            self.pulls |= {key: pull["id"] for key, pull in mine.items() if pull}
            for pull in mine.values():
                if pull and pull["verification"] == "failed":
                    raise Unexpected(f"!{pull['id']} {pull['title']} was not verified.")
            return all(pull and pull["verification"] == "passed" for pull in mine.values())

        await self.rest.until(look, "every pull request to be opened and verified")

    async def _well_into(self) -> str | None:
        task = await self._task(SLOW)
        progress = await self.rest.get(f"/api/tasks/{task['id']}/progress")
        lines = [step for batch in progress["batches"] for step in batch["steps"] if step["kind"] == "output"]
        return str(task["attempts"][-1]["agent"]) if len(lines) >= LETTERS_BEFORE_DEATH else None

    async def _other_works(self) -> bool:
        task = await self._task(SLOW)
        return len(task["attempts"]) > 1 and task["status"] == "working"

    async def _goal(self) -> Any:
        return await self.rest.get(f"/api/goals/{self.goal}")

    async def _goal_complete(self) -> bool:
        goal = await self._goal()
        if goal["status"] in {"failed", "needs_review", "cancelled"}:
            raise Unexpected(f"The goal is {goal['status'].replace('_', ' ')}: {goal['reason']}")
        return bool(goal["status"] == "complete")

    async def _goal_verified(self) -> bool:
        pull = await self.rest.get(f"/api/pulls/{(await self._goal())['pull']}")
        if pull["verification"] == "failed":
            raise Unexpected(f"!{pull['id']} {pull['title']} was not verified.")
        return bool(pull["verification"] == "passed")

    async def _merge(self, errand: Errand) -> None:
        await self._merge_pull(self.pulls[errand.key], errand.title, errand.method)

    async def _merge_pull(self, number: int, title: str, method: str) -> None:
        path = f"/api/pulls/{number}"

        async def ready() -> bool:
            pull = await self.rest.get(path)
            if pull["verification"] == "failed" or pull["conflict"]:
                raise Unexpected(f"!{pull['id']} cannot be merged: {pull['obstacle']}")
            return bool(pull["mergeable"])

        async def merged() -> bool:
            await self.rest.until(ready, f"{title} to be ready for merging")
            try:
                await self.rest.post(f"{path}/merge", {"method": method})
            except Conflict as refused:
                if refused.code not in COME_BACK:
                    raise Unexpected(f"{path} was not merged: {refused} ({refused.code})") from refused
                return False
            return True

        await self.rest.until(ready, f"{title} to be ready for merging")
        await self.rest.post(f"{path}/approve", {"body": "The evidence convinces me."})
        await self.rest.until(merged, f"{title} to be merged")
