"""The part of a model that the hub asks: to plan a goal, and to judge what came of it. Played by what the prompt shows.

It plans the demonstration's own goal, and says of every other that it cannot. It judges any: a criterion is met when a
function that it names, as `name()`, is defined in a changed file, and each file that it names was changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from apps.demo import wish
from apps.goals.wording import DECOMPOSE, JUDGE

PLANNING = DECOMPOSE.partition("{repo}")[0]
JUDGING = JUDGE.partition("\n")[0]
STRANGER = "I am no model, only a player of the demonstration's own goal, and this is none. Add an Ollama to the hub."
BLOCK = re.compile(r"^\[data (\w+): ([^\n]*)\]\n(.*?)\n\[end of data \1\]$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`(\w+)\(")
FILE = re.compile(r"\b[\w/]+\.(?:md|py)\b")


def thought(prompt: str) -> str | None:
    """The answer to a question of the hub's; None when this is none."""
    if prompt.startswith(PLANNING):
        return json.dumps(_plan(_quoted(prompt)))
    if prompt.startswith(JUDGING):
        return json.dumps(_judgement(_quoted(prompt)))
    return None


def _quoted(prompt: str) -> dict[str, str]:
    """What is quoted, by its label."""
    return {label: text for _, label, text in BLOCK.findall(prompt)}


def _plan(shown: Mapping[str, str]) -> Mapping[str, Any]:
    listed = next((text.split("\n") for label, text in shown.items() if "files of the repository" in label), [])
    slices = [piece.planned() for piece in wish.PIECES]
    if shown.get("the goal's title") != wish.TITLE or not {path for one in slices for path in one["files"]} <= {
        *listed
    }:
        return {"slices": [], "impossible": STRANGER}
    return {"slices": slices}


def _judgement(shown: Mapping[str, str]) -> Mapping[str, Any]:
    wanted = [line.partition(". ")[2] for line in shown.get("the goal's criteria", "").split("\n")]
    changed = [line.rpartition(" (+")[0] for line in shown.get("changed files", "").split("\n")]
    defined = {
        name: label.removeprefix("patch of ")
        for label, text in shown.items()
        if label.startswith("patch of ")
        for name in re.findall(r"^\+def (\w+)\(", text, re.MULTILINE)
    }
    found = [_where(text, changed, defined) for text in wanted]
    broken = [line for line in shown.get("checks on the combined work", "").split("\n") if not line.endswith(": pass")]
    gaps = [f"Nothing shows this: {text}" for text, where in zip(wanted, found, strict=True) if not where]
    gaps += [f"A check does not pass: {line}" for line in broken]
    return {
        "criteria": [
            {"number": number, "where": ", ".join(where), "met": bool(where)} for number, where in enumerate(found, 1)
        ],
        "gaps": [{"description": gap, "severity": "critical"} for gap in gaps[:8]],
        "reason": "What the criteria name is in the changed files, and the checks pass." if not gaps else gaps[0],
        "verdict": "fail" if gaps else "pass",
    }


def _where(criterion: str, changed: Sequence[str], defined: Mapping[str, str]) -> list[str]:
    """The files that show it; none when something that it names is nowhere."""
    files = [defined.get(name, "") for name in NAMED.findall(criterion)]
    files += [path if path in changed else "" for path in FILE.findall(criterion)]
    return files if all(files) else []
