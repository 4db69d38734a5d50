"""The machines of the demonstration: real sidecars, joined with real codes, each with a root of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.demo.logs import Logs
from apps.demo.rest import Rest, Unexpected
from apps.demo.thinkers import Thinker
from apps.ops.child import Child
from apps.ops.supervisor import Supervisor
from sidecar.sandbox import Level, Policy, detect

NAMES = ("carry-the-one", "off-by-none")
LAST_STAGE = 3
"""Started after the hub, stopped before it."""
JOIN_SECONDS = 60


def sandbox() -> Level:
    """How tasks can be confined on this machine; `none` means that the demonstration goes without."""
    return detect(Policy())


@dataclass(frozen=True)
class Machine:
    """One agent's place on disk, and how its sidecar is spoken to."""

    name: str
    base: Path
    sandbox: str
    thinker: Thinker

    def _command(self, *arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "sidecar", *arguments, "--name", self.name, "--root", str(self.base))

    async def join(self, url: str, rest: Rest, logs: Logs) -> None:
        """Enrol with a one-time code, as an operator would on another machine. Raises Unexpected."""
        code = (await rest.post("/api/agents/enrolment-codes", {"name": self.name}))["code"]
        joining = await asyncio.create_subprocess_exec(
            *self._command("join", url, "--code", code, "--sandbox", self.sandbox, "--model", self.thinker.model),
            cwd=settings.BASE_DIR,
            env={**os.environ, "OLLAMA_HOST": self.thinker.url},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                said, _ = await joining.communicate()
        except TimeoutError:
            raise Unexpected(f"{self.name} did not join within {JOIN_SECONDS} s.") from None
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended, as it should
                joining.kill()
        for line in said.decode(errors="replace").splitlines():
            logs(self.name, line)
        if joining.returncode != 0:
            raise Unexpected(f"{self.name} could not join: {said.decode(errors='replace').strip()[-500:]}")

    def child(self) -> Child:
        """The sidecar as a process; its death is final, until the story starts it again."""
        command = self._command("run", "--log-format", "console")
        return Child(self.name, command, stage=LAST_STAGE, cwd=settings.BASE_DIR, restart=False)


async def settle(url: str, rest: Rest, logs: Logs, supervisor: Supervisor, machines: list[Machine]) -> None:
    """Join all machines at once, start their sidecars, and wait until the hub sees them idle."""
    try:
        async with asyncio.TaskGroup() as group:
            for machine in machines:
                group.create_task(machine.join(url, rest, logs))
    except* Unexpected as failed:
        raise failed.exceptions[0] from None
    for machine in machines:
        await supervisor.add(machine.child())
    for machine in machines:
        await idle(machine.name, rest)


async def idle(name: str, rest: Rest) -> None:
    """Wait until the hub sees this agent connected and free."""

    async def look() -> bool:
        return bool((await rest.get(f"/api/agents/{name}"))["state"] == "idle")

    await rest.until(look, f"{name} to be idle")
