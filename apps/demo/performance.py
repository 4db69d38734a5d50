"""One demonstration from its first process to its last: the hub under its supervisor, and the story beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections

from apps.agents import operators, tokens
from apps.agents.models import Role
from apps.agents.scopes import SCOPES
from apps.demo import expectations, facts, goal_expectations, goal_facts, machines, remains
from apps.demo.errands import ERRANDS, SLOW
from apps.demo.expectations import Expectation
from apps.demo.follow import Follower
from apps.demo.ground import Ground, plant
from apps.demo.logs import Logs
from apps.demo.machines import NAMES, Machine
from apps.demo.play import REPO, Play
from apps.demo.rest import Patience, Rest, Unexpected
from apps.demo.screen import Screen, clock
from apps.demo.thinkers import thinker
from apps.ops import hub, valkey
from apps.ops.supervisor import Supervisor
from apps.repos import actions as repos
from sidecar.sandbox import Level

BIND = "127.0.0.1"
PATIENCE_SECONDS = 400.0
STOP_SECONDS = 5.0
BY = "demo"


@dataclass
class Performance:
    """`run` it once. `began` is time.monotonic() at the very start; `ring` queues a beat for a cluster."""

    ground: Ground
    port: int
    screen: Screen
    ring: Callable[[str], object]
    began: float
    once: bool = False
    held: list[Expectation] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the hub answers."""
        return hub.local_url(BIND, self.port)

    def run(self) -> bool:
        """The whole of it; true when everything held, or when a person watched and stopped it.

        Raises Unexpected when the story came to a halt, NotReady when a process did not come up.
        """
        confinement = machines.sandbox()
        self._announce(confinement)
        token = self._prepare()
        logs = Logs(self.ground.logs, aloud=lambda line: self.screen.say(f"        {line}", "dim"))
        try:
            finished = asyncio.run(self._perform(token, logs, "off" if confinement.name == "none" else "bubblewrap"))
        except Exception:
            self._show_logs(logs)
            raise
        finally:
            logs.close()
        if not self.once:
            return True
        if not finished:
            self.screen.say("Interrupted before its end.", "warn")
            return False
        return self._verdict()

    # --- before -----------------------------------------------------------------------------------------------------

    def _announce(self, confinement: Level) -> None:
        self.screen.say(
            "AgentCom, a demonstration: a hub, two sidecars, and a small Python package with bugs.", "strong"
        )
        self.screen.say(f"Everything is in {self.ground.directory}; setting it up ...", "dim")
        if confinement.name == "none":
            hint = f" {confinement.hint}" if confinement.hint else ""
            self.screen.prose(
                f"The sandbox is off for this demo, whose tasks are ours. {confinement.reason}{hint}", "warn"
            )

    def _prepare(self) -> str:
        """Tables, the sample, an operator; the token by which the story speaks to the hub."""
        plant(self.ground.sample)
        (self.ground.directory / "static").mkdir(exist_ok=True)  # WhiteNoise warns without it
        call_command("migrate", interactive=False, verbosity=0)
        repos.register(self.ground.sample.as_uri(), by=BY, slug=REPO)
        operators.first_login_link(self.url)
        operator = User.objects.get(username=operators.FIRST_OPERATOR)
        _, token = tokens.mint(Role.INTEGRATION, user=operator, scopes=SCOPES, label="the story", by=BY)
        connections.close_all()
        return token

    def _link(self) -> str:
        """A new link; called in a thread, whose database connection ends with it."""
        try:
            return operators.login_link(User.objects.get(username=operators.FIRST_OPERATOR), self.url)
        finally:
            connections.close_all()

    # --- the story --------------------------------------------------------------------------------------------------

    async def _perform(self, token: str, logs: Logs, sandbox: str) -> bool:
        """Whether the story was told to its end; false when it was interrupted."""
        ready = asyncio.Event()
        planned = valkey.plan(self.ground.directory)
        children = hub.hub_children(
            bind=BIND,
            port=self.port,
            data_dir=self.ground.directory,
            redis_url=planned.url,
            embedded=planned,
            ring=self.ring,
        )
        supervisor = Supervisor(children, output=logs, on_ready=ready.set, stop_seconds=STOP_SECONDS)
        running = asyncio.create_task(supervisor.run())
        stopping = asyncio.create_task(supervisor.stop_requested())
        story = asyncio.create_task(self._story(token, logs, supervisor, sandbox, ready))
        try:
            await asyncio.wait({running, stopping, story}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            supervisor.request_stop()
            story.cancel()
            await asyncio.wait({running, story})  # whatever has failed, everything is stopped first
        running.result()
        if story.cancelled():
            return False
        story.result()
        return True

    async def _story(self, token: str, logs: Logs, supervisor: Supervisor, sandbox: str, ready: asyncio.Event) -> None:
        await ready.wait()
        async with (
            # Unattended, every expectation has to hold whatever is installed here: then it is always the player.
            thinker(played=self.once) as thinks,
            Rest(self.url, token, Patience(PATIENCE_SECONDS)) as rest,
        ):
            crew = [Machine(name, self.ground.machines / name, sandbox, thinks) for name in NAMES]
            await machines.settle(self.url, rest, logs, supervisor, crew)
            await self._welcome()
            self.screen.prose(thinks.sentence, "dim")
            began = datetime.now(UTC) - timedelta(seconds=time.monotonic() - self.began)
            follower = Follower(self.screen, began)
            following = asyncio.create_task(follower.run())
            play = Play(rest, supervisor, crew, follower, thinks, self.began)
            try:
                await _unless(following, self._acts(play, follower))
                if not self.once:
                    await self._farewell()
                    await following
            finally:
                following.cancel()

    async def _acts(self, play: Play, follower: Follower) -> None:
        """The story; what a visitor's own hand can upset ends it, unattended it is a failure."""
        try:
            await self._told(play, follower)
        except Unexpected as halt:
            if self.once:
                raise
            await follower.say(f"{halt} The story ends here; the hub does not.", "warn")

    async def _welcome(self) -> None:
        link = await asyncio.to_thread(self._link)
        self.screen.say(f"Set up in {time.monotonic() - self.began:.1f} s.", "dim")
        self.screen.say()
        self.screen.say(f"The hub serves at {self.url}; this link logs you in, once:")
        self.screen.say(f"  {link}", "link")

    async def _told(self, play: Play, follower: Follower) -> None:
        self.screen.heading(
            f"{len(ERRANDS)} tasks: three fixes, one that needs a second try, one that cannot be done, one that waits, "
            "two in words for a model"
        )
        await play.many_tasks()
        if self.once:
            await follower.look()
            self.screen.heading("Merging, as a person would")
            await play.merge(ERRANDS)
        await follower.look()
        self.screen.heading("A machine dies in the middle of a task")
        await play.a_machine_dies()
        if self.once:
            await play.merge([SLOW])
        await play.saved()
        await follower.look()
        self.screen.heading("A goal in words: the hub makes a plan, and one pull request of all its parts")
        await play.a_goal()
        if self.once:
            await play.merge_goal()
        await follower.look()
        found = await facts.gather(play.rest, play.numbers, self.ground.sample, self._mirror)
        whole = await goal_facts.gather(play.rest, play.goal, play.numbers.values(), self.ground.sample, self._mirror)
        self.screen.heading(f"What has come of it, {clock(time.monotonic() - self.began)} after the start")
        self.screen.table(facts.HEAD, [*facts.rows(found), goal_facts.row(whole)])
        if self.once:
            self.held += [*expectations.judge(found), *goal_expectations.judge(whole)]

    @property
    def _mirror(self) -> Path:
        return self.ground.directory / "repos" / f"{REPO}.git"

    async def _farewell(self) -> None:
        link = await asyncio.to_thread(self._link)
        self.screen.heading("Now you")
        self.screen.say("  Log in, once, with this link:")
        self.screen.say(f"    {link}", "link")
        self.screen.say(
            f"  Open a pull request, read its difference and its evidence, approve it, merge it: {self.url}/pulls"
        )
        self.screen.say(f"  Then see the merge:  git -C {self.ground.sample} log --graph --oneline")
        self.screen.say(f"  What became of the goal, slice by slice, and why it was judged so: {self.url}/goals")
        self.screen.say(f"  The task that cannot be done lies here: {self.url}/dead")
        self.screen.say(f"  What each process says is in {self.ground.logs}")
        self.screen.heading("The hub goes on serving. Ctrl-C stops everything.")
        self.screen.say()

    # --- after ------------------------------------------------------------------------------------------------------

    def _verdict(self) -> bool:
        self.held += [expectations.suite(self.ground.sample), *remains.judge(self.ground.directory, self.port)]
        self.screen.heading("What had to come true")
        for one in self.held:
            self.screen.verdict(one.held, one.sentence, one.why)
        failed = [one for one in self.held if not one.held]
        took = clock(time.monotonic() - self.began)
        self.screen.say()
        if failed:
            self.screen.say(
                f"{len(failed)} of {len(self.held)} expectations did not hold. Logs: {self.ground.logs}", "bad"
            )
        else:
            self.screen.say(f"All {len(self.held)} expectations held, in {took}.", "good")
        return not failed

    def _show_logs(self, logs: Logs) -> None:
        self.screen.say()
        self.screen.say(f"The last words of each process (all of them in {self.ground.logs}):", "dim")
        for line in logs.ends():
            self.screen.say(f"  {line}", "dim")


async def _unless(other: asyncio.Task[None], story: Coroutine[Any, Any, None]) -> None:
    """Go through the story unless `other`, which never ends by itself, fails; then raise what it failed with."""
    telling = asyncio.create_task(story)
    try:
        await asyncio.wait({telling, other}, return_when=asyncio.FIRST_COMPLETED)
        if other.done():
            other.result()
        await telling
    finally:
        telling.cancel()
