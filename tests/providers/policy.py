"""An Ollama and a Claude that do what a journey tells them, and pass a sidecar's trial as it asks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from apps.demo import trial
from apps.demo.acting import Seen, seen_in
from apps.demo.loopback import listening
from tests.providers import anthropic, ollama
from tests.providers.running import Running

Calls = list[tuple[str, dict[str, Any]]]
FIX: Calls = [
    ("read_file", {"path": "calc.py"}),
    ("edit_file", {"path": "calc.py", "old": "return a - b", "new": "return a + b"}),
    ("finish_task", {"summary": "add() adds."}),
]


class Policy:
    """What both models do: `steps` in order, one a turn; the trial of a sidecar is answered as it asks."""

    def __init__(self) -> None:
        self.steps: Calls = FIX
        self.silent = False

    def calls(self, first: str, done: int, observed: Sequence[Seen]) -> Calls:
        if acts := trial.passed(first, observed):
            return [(act.tool, dict(act.arguments)) for act in acts]
        return [self.steps[min(done, len(self.steps) - 1)]]


def as_ollama(policy: Policy, asked: Any) -> Any:
    """What an Ollama says that follows `policy`."""
    if policy.silent:
        return ollama.Fault(name="silent_midway")
    done = sum(message["role"] == "tool" for message in asked.messages)
    first = next(message["content"] for message in asked.messages if message["role"] == "user")
    calls = policy.calls(first, done, seen_in(asked.messages))
    return ollama.Answer(calls=[{"name": name, "arguments": arguments} for name, arguments in calls])


class Providers:
    """An Ollama and a Claude that follow one policy."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.ollama = ollama.OllamaServer(player=partial(as_ollama, self.policy))
        self.claude = anthropic.AnthropicServer(player=self._claude)
        self._running = [Running(listening(self.ollama)), Running(anthropic.serving(self.claude))]
        for one in self._running:
            one.start()

    @property
    def claude_key(self) -> dict[str, str]:
        """What a machine has in its environment that may ask Claude."""
        return {"ANTHROPIC_API_KEY": anthropic.KEY, "ANTHROPIC_BASE_URL": self.claude.url}

    def stop(self) -> None:
        for one in self._running:
            one.stop()

    def _claude(self, asked: Any) -> Any:
        first = str(asked.messages[0]["content"])
        if isinstance(asked.messages[0]["content"], list):
            first = "".join(block.get("text", "") for block in asked.messages[0]["content"])
        done = sum(message["role"] == "assistant" for message in asked.messages)
        calls = self.policy.calls(first, done, _results(asked.messages))
        return anthropic.Answer(calls=[{"name": name, "input": arguments} for name, arguments in calls])


def _results(messages: list[dict[str, Any]]) -> list[Seen]:
    """The observations of a talk on Anthropic's wire."""
    blocks = [block for message in messages if isinstance(message["content"], list) for block in message["content"]]
    told = [block["content"] for block in blocks if block["type"] == "tool_result"]
    return seen_in([{"role": "tool", "content": text if isinstance(text, str) else text[0]["text"]} for text in told])
