"""The example agent of the documentation, run as its first lines say, takes and completes tasks."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from sidecar.wire import messages
from sidecar.wire.nouns import Check, RepoRef
from tests.sidecar.hub import ModelHub, assignment, listening

AGENT = Path(__file__).parents[2] / "docs" / "foreign_agent.py"


async def started(address):
    environment = {
        "PATH": os.environ["PATH"],
        "AGENTCOM_SOCKET": address.replace("http", "ws") + "/agent",
        "AGENTCOM_TOKEN": "act_agent_foreign",
    }
    return await asyncio.create_subprocess_exec(sys.executable, str(AGENT), env=environment)


async def test_it_takes_and_completes_a_task_and_goes_on_beating():
    hub = ModelHub()
    hub.beat_seconds = 0.2
    check = Check(type="command_succeeds", target="true")
    async with listening(hub) as address:
        agent = await started(address)
        try:
            await hub.expect(messages.Hello)
            await hub.say(assignment("true", checks=[check]))
            report = await hub.expect(messages.TaskCompleted)
            await hub.expect(messages.Heartbeat)
        finally:
            agent.kill()
            await agent.wait()

    assert [1] == [frame.attempt for frame in hub.all(messages.TaskAccepted)]
    assert [("command_succeeds", "true", "pass")] == [(c.type, c.target, c.status) for c in report.reports[0].checks]


async def test_it_says_an_unsettled_report_again_and_releases_what_it_cannot_do():
    hub = ModelHub()
    hub.settles = False
    async with listening(hub) as address:
        agent = await started(address)
        try:
            await hub.expect(messages.Hello)
            await hub.say(assignment("true"))
            await hub.expect(messages.TaskCompleted)
            await hub.socket.close(1012)
            again = await hub.expect(messages.Hello, count=2)
            await hub.expect(messages.TaskCompleted, count=2)
            await hub.say(assignment("true", attempt=2, task=2, repo=RepoRef(slug="shop", path="/git/shop.git")))
            released = await hub.expect(messages.TaskReleased)
        finally:
            agent.kill()
            await agent.wait()

    assert [1] == [owed.attempt for owed in again.undelivered]
    assert 2 == released.attempt
