"""Reads what happens out of the hub's own memory and tells it, as it happens."""

from __future__ import annotations

import asyncio
from datetime import datetime

from apps.agents.models import Agent
from apps.demo.screen import Line, Screen
from apps.demo.words import Happened, Known, Memory, line_of, line_of_step
from apps.events.models import Event
from apps.goals.models import Goal, Merge
from apps.tasks.models import Dependency, ProgressBatch, Task, Work

LOOK_SECONDS = 0.15
AT_ONCE = 500


class Follower:
    """Looks again and again; `run` until cancelled."""

    def __init__(self, screen: Screen, began: datetime) -> None:
        """`began` is where the story's clock stands at zero."""
        self._screen = screen
        self._began = began
        self._memory = Memory()
        self._event = 0
        self._batch = 0
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Tell everything, in the order in which it happened."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Tell what is new, all of it."""
        async with self._turn:
            await self._look()

    async def say(self, text: str, mood: str = "") -> None:
        """Put in a word, behind what has happened so far."""
        await self.look()
        self._screen.say(f"        {text}", mood)

    async def _look(self) -> None:
        events = [event async for event in Event.objects.filter(id__gt=self._event).order_by("id")[:AT_ONCE]]
        rows = ProgressBatch.objects.filter(id__gt=self._batch).select_related("attempt").order_by("id")
        batches = [batch async for batch in rows[:AT_ONCE]]
        told = [(event.at, event) for event in events] + [(batch.at, batch) for batch in batches]
        for at, row in sorted(told, key=lambda one: one[0]):
            seconds = (at - self._began).total_seconds()
            if isinstance(row, Event):
                await self._tell_event(seconds, row)
                self._event = max(self._event, row.pk)
            else:
                await self._tell_steps(seconds, row)
                self._batch = max(self._batch, row.pk)

    async def _tell_event(self, seconds: float, event: Event) -> None:
        happened = Happened(seconds, event.kind, event.subject, event.actor, event.data)
        room, _, number = event.subject.partition("/")
        if room == "task":
            await self._know_task(int(number))
        elif room == "agent":
            agent = await Agent.objects.only("name").aget(pk=int(number))
            self._memory.agents[agent.pk] = agent.name
        elif room == "goal":
            await self._know_goal(int(number))
        self._show(line_of(happened, self._memory))

    async def _tell_steps(self, seconds: float, batch: ProgressBatch) -> None:
        task = batch.attempt.task_id
        await self._know_task(task)
        for step in batch.steps:
            self._show(line_of_step(seconds, task, batch.attempt_id, step, self._memory))

    async def _know_task(self, number: int) -> None:
        if number in self._memory.tasks:
            return
        task = await Task.objects.only("title", "work", "metadata", "goal").aget(pk=number)
        before = Dependency.objects.filter(task=number).values_list("prerequisite", flat=True)
        verifies = int(task.metadata.get("pull_request", 0)) if task.work == Work.VERIFICATION else 0
        merges = task.metadata.get("merge") if task.goal and task.work == Work.VERIFICATION else None
        self._memory.tasks[number] = Known(
            task.title,
            verifies,
            tuple([one async for one in before]),
            goal=task.goal or 0,
            merges=await self._slice_of(merges) if merges else None,
        )
        if task.goal:
            await self._know_goal(task.goal)

    async def _slice_of(self, merge: int) -> int:
        """The number of the slice that it brings in; 0 for the default branch."""
        found = await Merge.objects.select_related("slice").aget(pk=merge)
        return found.slice.number if found.slice else 0

    async def _know_goal(self, number: int) -> None:
        if number not in self._memory.goals:
            self._memory.goals[number] = (await Goal.objects.only("title").aget(pk=number)).title

    def _show(self, line: Line | None) -> None:
        if line is not None:
            self._screen.tell(line)
