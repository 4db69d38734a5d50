"""An Ollama that plans, judges and works as a test tells it to, by title; it keeps waiting whom the test says."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from apps.demo import trial
from apps.demo.acting import seen_in
from apps.demo.loopback import listening
from apps.goals.wording import DECOMPOSE, JUDGE
from tests.providers import ollama
from tests.providers.policy import Calls
from tests.providers.running import Running

PLANNING, JUDGING = DECOMPOSE.partition("{repo}")[0], JUDGE.partition("\n")[0]
TITLE = re.compile(r"^\[data \w+: the goal's title\]\n(.+)$", re.MULTILINE)
CHANGED = re.compile(r"^\[data \w+: changed files\]\n(.+) \(\+", re.MULTILINE)
CRITERIA = re.compile(r"^\[data (\w+): the goal's criteria\]\n(.*?)\n\[end of data \1\]$", re.MULTILINE | re.DOTALL)


class Mind:
    """`plans` by the title of a goal, `work` by the title of a slice; `held` are those that get no answer for now.

    `asked` counts the questions by what they are about: ("plan", title), ("judge", title), ("work", title).
    """

    def __init__(self) -> None:
        self.plans: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.work: dict[str, Calls] = {}
        self.held: set[str] = set()
        self.together: set[str] = set()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.billed: list[tuple[str, int, int]] = []
        self.server = ollama.OllamaServer(player=self._play)
        self._running = Running(listening(self.server))
        self._running.start()

    @property
    def port(self) -> int:
        return int(self.server.url.rpartition(":")[2])

    @property
    def settings(self) -> dict[str, str]:
        """What a hub needs that shall think with it, loaded as its agents load it."""
        return {
            "AGENTCOM_ENDPOINT_NETWORKS": "127.0.0.0/8",
            "AGENTCOM_ENDPOINT_PORTS": str(self.port),
            "AGENTCOM_THINKING_CONTEXT": "16384",
        }

    def stop(self) -> None:
        self.held.clear()
        self._running.stop()

    async def _play(self, asked: Any) -> Any:
        first = next(str(message["content"]) for message in asked.messages if message["role"] == "user")
        if acts := trial.passed(first, seen_in(asked.messages)):
            return ollama.Answer(calls=[{"name": act.tool, "arguments": dict(act.arguments)} for act in acts])
        if first.startswith((PLANNING, JUDGING)):
            return await self._think(asked, "plan" if first.startswith(PLANNING) else "judge", first)
        return await self._work(asked, first.partition("\n")[0].removeprefix("# "))

    async def _think(self, asked: Any, about: str, prompt: str) -> Any:
        found = TITLE.search(prompt)
        title = found[1] if found else ""
        self.asked[about, title] += 1
        text = json.dumps({"slices": self.plans[title]}) if about == "plan" else _content(prompt)
        answer = ollama.Answer(text=text, piece=500)
        bill = ollama.bill(answer, asked)
        self.billed.append((title, bill.prompt, bill.output))
        await self._wait(about)
        return answer

    async def _work(self, asked: Any, title: str) -> Any:
        done = sum(message["role"] == "tool" for message in asked.messages)
        if not done:
            self.asked["work", title] += 1
        await self._wait("work")
        if title in self.together:
            while not all(self.asked["work", other] for other in self.together):  # noqa: ASYNC110 - as below
                await asyncio.sleep(0.02)
        steps = self.work[title]
        name, arguments = steps[min(done, len(steps) - 1)]
        return ollama.Answer(calls=[{"name": name, "arguments": arguments}])

    async def _wait(self, about: str) -> None:
        while about in self.held:  # noqa: ASYNC110 - a test in another thread lets go
            await asyncio.sleep(0.02)


def _content(prompt: str) -> str:
    """A judge that finds everything in the first changed file."""
    file, criteria = CHANGED.search(prompt), CRITERIA.search(prompt)
    count = len(criteria[2].split("\n")) if criteria else 1
    where = file[1] if file else ""
    return json.dumps(
        {
            "criteria": [{"number": number, "where": where, "met": True} for number in range(1, count + 1)],
            "gaps": [],
            "reason": "It is all there.",
            "verdict": "pass",
        }
    )
