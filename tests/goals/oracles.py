"""Who plans and judges in the place of a model: they know of a goal what the prompt shows them of it, and no more.

A speaker takes what the hub asks and says an answer in words, as a model would on Ollama's wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.goals.cases import BY_TITLE, Case, Criterion

_QUOTED = re.compile(r"^\[data ([a-p]+): ([^\n]*)\]\n(.*?)\n\[end of data \1\]$", re.MULTILINE | re.DOTALL)
_CHANGED = re.compile(r"^(.+) \(\+\d+ -\d+\)$", re.MULTILINE)


@dataclass(frozen=True)
class Heard:
    """A prompt of the hub, taken apart: what is quoted in it, by label."""

    text: str
    quoted: Mapping[str, str]

    @property
    def plans(self) -> bool:
        """Whether a plan is asked for, and no verdict."""
        return self.text.startswith("Make a plan")

    @property
    def repaired(self) -> bool:
        """Whether it says what was wrong with an answer before."""
        return "what is wrong with it" in self.quoted

    @property
    def title(self) -> str:
        return self.quoted["the goal's title"]


Speaker = Callable[[Heard], str]


def heard(prompt: str) -> Heard:
    return Heard(prompt, {label: text for _, label, text in _QUOTED.findall(prompt)})


def planner(asked: Heard) -> str:
    """The plan that is known to be right, with the thoughts of a model around it."""
    return f"<think>Where to cut?</think>Here is the plan.\n```json\n{json.dumps(case_of(asked).plan)}\n```"


def judge(asked: Heard) -> str:
    """Goes through the criteria and believes nothing but the difference and the checks that it is shown."""
    found = [(criterion, is_met(criterion, asked)) for criterion in case_of(asked).criteria]
    gaps = [f"Not met: {criterion.text}" for criterion, met in found if not met]
    return verdict([(met, criterion.where if met else "") for criterion, met in found], gaps)


def is_met(criterion: Criterion, asked: Heard) -> bool:
    checks = dict(line.rsplit(": ", 1) for line in asked.quoted["checks on the combined work"].split("\n"))
    if criterion.where in checks:
        return checks[criterion.where] == criterion.shows
    patch = asked.quoted.get(f"patch of {criterion.where}", "")
    return any(line.startswith("+") and criterion.shows in line for line in patch.split("\n"))


def changed(asked: Heard) -> list[str]:
    """The paths that a judge is shown as changed."""
    return _CHANGED.findall(asked.quoted["changed files"])


def verdict(criteria: list[tuple[bool, str]], gaps: list[str]) -> str:
    """A judge's answer; it passes when there is no gap."""
    answer: dict[str, Any] = {
        "criteria": [{"number": n, "where": where, "met": met} for n, (met, where) in enumerate(criteria, 1)],
        "gaps": [{"description": gap, "severity": "critical"} for gap in gaps],
        "reason": "I went through the difference." if not gaps else "Something is missing.",
        "verdict": "fail" if gaps else "pass",
    }
    return json.dumps(answer)


def case_of(asked: Heard) -> Case:
    return BY_TITLE[asked.title]
