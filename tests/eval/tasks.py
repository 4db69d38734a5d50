"""The tasks of the evaluation as they lie in fixtures/eval: a small tree each, words, checks, and how it has to end."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.hub import ROOT

PLACE = ROOT / "fixtures" / "eval"
Expected = Literal["solved", "no_change", "dead"]
TAG = re.compile(r"\[([\w-]+) ([\w-]+)\]$", re.MULTILINE)
"""The end of a title that says who plays on which task."""


@dataclass(frozen=True)
class EvalTask:
    """One task. `expect`: a verified pull request, nothing because nothing is to do, or an honest failure."""

    name: str
    kind: str
    language: str
    title: str
    description: str
    checks: Sequence[Mapping[str, Any]]
    expect: Expected
    success_criteria: Sequence[str] = ()
    file_hints: Sequence[Mapping[str, str]] = field(default_factory=list)

    @property
    def tree(self) -> Path:
        return PLACE / self.name / "tree"

    def submission(self, player: str = "", **more: Any) -> dict[str, Any]:
        """The body of `POST /api/tasks`; a scripted model is told by the title's end who it is."""
        return {
            "title": f"{self.title} [{self.name} {player}]" if player else self.title,
            "description": self.description,
            "repo": self.name,
            "complexity_tier": "standard",
            "verification_steps": [dict(check) for check in self.checks],
            "success_criteria": list(self.success_criteria),
            "file_hints": [dict(hint) for hint in self.file_hints],
            "metadata": {"eval": self.name, "player": player},
            "max_attempts": 1,
            **more,
        }


def load(name: str) -> EvalTask:
    """Raises KeyError when there is no such task."""
    about = PLACE / name / "task.json"
    if not about.exists():
        raise KeyError(name)
    return EvalTask(name=name, **json.loads(about.read_text("utf-8")))


def every() -> list[EvalTask]:
    """All of them, by name."""
    return [load(place.name) for place in sorted(PLACE.iterdir())]
