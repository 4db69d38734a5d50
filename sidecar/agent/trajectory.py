"""How a run went, step by step: on disk as soon as a step is over, and in the result when the attempt ends."""

from __future__ import annotations

import json
from pathlib import Path

from sidecar.agent.dialects.native import in_words
from sidecar.agent.loop import Step, Used
from sidecar.report import clip, storable
from sidecar.wire.nouns import AgentStep, ToolUse

FILE = "trajectory.jsonl"
WORDS, JSON_TEXT, DIFF, NOTE, COMPLAINT = 4_000, 6_000, 10_000, 500, 2_000
USES, NOTES = 20, 20


class Trajectory:
    """The steps of one run. The file lies beside the work tree, out of reach of what runs in it."""

    def __init__(self, directory: Path, run: int) -> None:
        self._path = directory / FILE
        self._run = run
        self.steps: list[AgentStep] = []

    def keep(self, step: Step, at_ms: int, diff: str = "") -> AgentStep:
        """Write one step down, cut to what a report may hold. Raises OSError when the disk does not take it."""
        kept = _noun(step, self._run, at_ms, diff)
        self.steps.append(kept)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(kept.model_dump_json() + "\n")
        return kept


def read(directory: Path) -> list[AgentStep]:
    """What an earlier process had written down; a last line that was cut off by its end is left out."""
    found: list[AgentStep] = []
    try:
        lines = (directory / FILE).read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            found.append(AgentStep.model_validate_json(line))
        except ValueError:
            break
    return found


def _noun(step: Step, run: int, at_ms: int, diff: str) -> AgentStep:
    reply, complaint = step.answer.reply, step.answer.reading.complaint
    return AgentStep(
        number=step.number,
        run=run,
        at_ms=at_ms,
        said=clip(storable(in_words(reply) if complaint else reply.text), WORDS),
        thinking=clip(storable(reply.thinking), WORDS),
        uses=[_use(used) for used in step.used[:USES]],
        tokens=reply.usage.by_class(),
        first_ms=round(reply.first_seconds * 1000),
        model_ms=round(reply.seconds * 1000),
        notes=[storable(note)[:NOTE] for note in (*step.answer.notes, *step.notes)][:NOTES],
        diff=clip(storable(diff), DIFF),
        complaint=clip(storable(complaint), COMPLAINT),
    )


def _use(used: Used) -> ToolUse:
    return ToolUse(
        name=storable(used.call.name)[:64],
        arguments=clip(storable(json.dumps(used.call.arguments, ensure_ascii=False)), JSON_TEXT),
        observation=clip(storable(used.observation), JSON_TEXT),
        ok=used.outcome.ok,
        duration_ms=round(used.seconds * 1000),
    )
