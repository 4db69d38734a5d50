"""An agent in plain Python: JSON over one WebSocket, nothing of AgentCom imported. See docs/wire.md.

    AGENTCOM_SOCKET=ws://hub:8000/agent AGENTCOM_TOKEN=act_agent_… python foreign_agent.py

It takes tasks without a repository, "does" each by answering its description, and reports. A real one would run
`brief.command` in a sandbox of its own, and for a task with a repository push `branch` to the hub's git.
"""

import asyncio
import json
import os
import random

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

PASSED = {"status": "pass", "output": "taken on trust by this example", "duration_ms": 0}


class Agent:
    def __init__(self):
        self.holding = {}  # attempt -> task: accepted and not finished
        self.reports = {}  # attempt -> terminal frame: said again until the hub has settled it

    async def live(self, address, token):
        wait = 1
        while True:
            try:
                headers = {"Authorization": f"Bearer {token}"}
                async with connect(address, additional_headers=headers, proxy=None, max_size=2**20) as socket:
                    wait = 1
                    await self.talk(socket)
            except (OSError, WebSocketException) as problem:
                print("not connected:", problem)
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  jitter
            wait = min(wait * 2, 60)

    async def talk(self, socket):
        owed = [(attempt, report["task"]) for attempt, report in self.reports.items()]
        named = {"holding": self.named(self.holding.items()), "undelivered": self.named(owed)}
        await self.say(socket, type="hello", version=1, software="foreign-agent", executors=["shell"],
                       sandbox={"level": "off", "detail": "runs nothing"}, **named)  # fmt: skip
        beating = None
        try:
            async for text in socket:
                frame = json.loads(text)
                if frame["type"] == "welcome":
                    for verdict in frame["verdicts"]:
                        if verdict["verdict"] == "drop":
                            self.forget(verdict["attempt"])
                    beating = beating or asyncio.create_task(self.beat(socket, frame["heartbeat_seconds"]))
                    for report in self.reports.values():
                        await self.say(socket, **report)
                elif frame["type"] == "task.assign":
                    await self.take(socket, frame)
                elif frame["type"] in ("task.settled", "task.drop", "task.cancel"):
                    self.forget(frame["attempt"])
                elif frame["type"] == "error":
                    print("the hub objects:", frame)
        finally:
            if beating:
                beating.cancel()

    async def take(self, socket, assign):
        fence = {"task": assign["task"], "attempt": assign["attempt"]}
        if assign["attempt"] in self.reports:  # done already; the hub has not heard of it yet
            return await self.say(socket, **self.reports[assign["attempt"]])
        self.holding[assign["attempt"]] = assign["task"]  # a real agent writes this to disk first
        await self.say(socket, type="task.accepted", **fence)
        if assign.get("repo"):
            error = {"code": "no_git", "message": "This agent does not work on repositories."}
            report = {"type": "task.released", **fence, "error": error}
        else:
            checks = [{"type": c["type"], "target": c.get("target", ""), **PASSED} for c in assign["checks"]]
            result = {"executor": "shell", "summary": "Read: " + assign["brief"]["title"], "exit_code": 0}
            report = {"type": "task.completed", **fence, "result": result}
            report["reports"] = [{"status": "pass", "checks": checks}] if checks else []
        del self.holding[assign["attempt"]]
        self.reports[assign["attempt"]] = report
        return await self.say(socket, **report)

    async def beat(self, socket, seconds):
        while True:
            await asyncio.sleep(seconds)
            await self.say(socket, type="heartbeat", holding=self.named(self.holding.items()))

    def forget(self, attempt):
        self.holding.pop(attempt, None)
        self.reports.pop(attempt, None)

    def named(self, pairs):
        return [{"attempt": attempt, "task": task} for attempt, task in pairs]

    async def say(self, socket, **frame):
        await socket.send(json.dumps(frame))


if __name__ == "__main__":
    asyncio.run(Agent().live(os.environ["AGENTCOM_SOCKET"], os.environ["AGENTCOM_TOKEN"]))
