"""The tasks of the demonstration: what is asked for, by which script, and how it has to end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent / "scripts"
SUITE = {"type": "tests_pass", "target": "auto", "description": "the whole test suite"}
NO_SECRETS = {"type": "no_secrets", "target": "", "description": "no secrets in the change"}


def tests(module: str) -> dict[str, Any]:
    """The check that one test module passes."""
    return {
        "type": "command_succeeds",
        "target": f"python3 -m unittest tests.{module}",
        "description": f"tests/{module}.py",
    }


def adds(text: str) -> dict[str, Any]:
    """The check that the change adds this text."""
    return {"type": "diff_contains", "target": text, "description": f"the change has “{text}”"}


@dataclass(frozen=True)
class Errand:
    """One task; `key` names its script, unless it is only `words`. `outcomes` are those of its attempts, in order."""

    key: str
    title: str
    description: str
    checks: tuple[Mapping[str, Any], ...]
    status: str = "completed"
    outcomes: tuple[str, ...] = ("succeeded",)
    after: str = ""
    method: str = "merge"
    words: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)

    def submission(self, repo: str, numbers: Mapping[str, int]) -> dict[str, Any]:
        """The body of `POST /api/tasks`; `numbers` holds the tasks submitted before, by key."""
        return {
            "title": self.title,
            "description": self.description,
            "repo": repo,
            "command": "" if self.words else (SCRIPTS / f"{self.key}.sh").read_text(encoding="utf-8"),
            "verification_steps": [dict(check) for check in self.checks],
            "depends_on": [numbers[self.after]] if self.after else [],
            "timeout_seconds": 120,
            "idempotency_key": f"demo-{self.key}",
            **self.more,
        }


SLOW = Errand(
    key="letters",
    title="Write the table of odd letters",
    description="ß, æ, ø and others are no accented letters; say what stands for each of them.",
    checks=(tests("test_letters"), SUITE, NO_SECRETS),
    outcomes=("reclaimed", "succeeded"),
    more={"priority": "high"},
)
"""The one in the middle of which a machine dies."""

ERRANDS = (
    Errand(
        key="slugs",
        title="Keep accented letters in slugs",
        description="`Crème brûlée` becomes `cr-me-br-l-e`; it should be `creme-brulee`.",
        checks=(tests("test_slugs"), SUITE, NO_SECRETS),
    ),
    Errand(
        key="durations",
        title="Add up the parts of a duration",
        description="`1h30m` is read as half an hour. Rubbish such as `10 parsecs` has to be refused.",
        checks=(tests("test_durations"), SUITE),
        outcomes=("unverified", "succeeded"),
    ),
    Errand(
        key="rows",
        title="Double the quotes in a row",
        description="A quote inside a field makes a row that cannot be read back.",
        checks=(tests("test_rows"), adds("replace"), NO_SECRETS),
        more={"priority": "high"},
    ),
    Errand(
        key="wrapping",
        title="Never split a word nor exceed 10",
        description="wrap() shall never split a word, and never make a line longer than the width.",
        checks=(tests("test_wrapping_strictly"),),
        status="dead",
        outcomes=("unverified", "unverified"),
        more={"max_attempts": 2},
    ),
    Errand(
        key="shorten",
        title="Count the ellipsis in shorten()",
        description="The result is up to three characters longer than asked for.",
        checks=(tests("test_wrapping"), SUITE, NO_SECRETS),
    ),
    Errand(
        key="titles",
        title="Mend capitals after apostrophes",
        description=(
            "title() in textkit/titles.py makes `Don'T` of `don't`. Only the first letter of a word shall be a "
            "capital. The test of it is marked as an expected failure; that mark has to go."
        ),
        checks=(tests("test_titles"), SUITE, NO_SECRETS),
        words=True,
    ),
    Errand(
        key="sentences",
        title="Count sentences",
        description=(
            "Add count_sentences(text) to textkit/counting.py: how many sentences a text has. Three dots are one end, "
            "a dot in a number is none. Test it in tests/test_sentences.py."
        ),
        checks=(tests("test_sentences"), SUITE, adds("def count_sentences"), NO_SECRETS),
        words=True,
    ),
    Errand(
        key="manual",
        title="Describe slugs in the manual",
        description="Once slugs keep their letters, say so.",
        checks=({"type": "file_exists", "target": "docs/slugs.md", "description": "docs/slugs.md"}, adds("creme")),
        after="slugs",
        method="squash",
        more={"priority": "low"},
    ),
)
"""Submitted together, in this order."""
