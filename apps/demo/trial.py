"""How a player passes the trial of the sidecar: it does what it is asked to, and reads what it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from apps.demo.acting import Act, Acting, Seen, next_act, text_of

CALLS = re.compile(r"^Call (\w+) with these arguments: (\{.*\})$", re.MULTILINE)
THE_WORD = re.compile(r"The word is (\w+)\.")
WHERE = re.compile(r"^Where is the function (\w+) defined\? Search", re.MULTILINE)
REPLACE = re.compile(r"^In ([\w.]+), replace the line that returns (.+) by one that returns (.+)\.$", re.MULTILINE)
LINES = re.compile(r"^Read the lines (\d+) to (\d+) of ([\w.]+)\.$", re.MULTILINE)
HOW_MANY = re.compile(r"^Mend \w+\(\) in ([\w.]+); .* say how many tests ran\.$", re.MULTILINE)


def passed(first: str, observed: Sequence[Seen]) -> list[Act]:
    """What to do next in a trial that began with the words `first`; nothing when this is no trial."""
    if wanted := CALLS.findall(first):
        return [Act(name, json.loads(arguments)) for name, arguments in wanted]
    if found := THE_WORD.search(first):
        return [Act("finish_task", {"summary": found[1]})]
    for asked, part in PARTS.items():
        if found := asked.search(first):
            return [next_act(part(found), observed)]
    return []


def _where(found: re.Match[str]) -> Acting:
    seen = yield Act("search_files", {"pattern": f"def {found[1]}"})
    yield Act("read_file", {"path": str(seen["matches"][0]).split(":")[0]})
    return "It is there."


def _replace(found: re.Match[str]) -> Acting:
    path, old, new = found.groups()
    seen = yield Act("edit_file", {"path": path, "old": f"return {old}\n", "new": f"return {new}\n"})
    if "error" in seen:
        line = next(line for line in text_of(seen, "closest").split("\n") if "return" in line)
        mended = line[: line.index("return")] + f"return {new}"
        yield Act("edit_file", {"path": path, "old": f"{line}\n", "new": f"{mended}\n"})
    return "It is replaced."


def _lines(found: re.Match[str]) -> Acting:
    first, last, path = int(found[1]), int(found[2]), found[3]
    yield Act("read_file", {"path": path, "start": first, "count": last - first + 1})
    return "They are read."


def _how_many(found: re.Match[str]) -> Acting:
    """It is done when the check says so; how many tests ran stands in what the check printed."""
    seen = yield Act("edit_file", {"path": found[1], "old": "return a - b", "new": "return a + b"})
    if seen["verify"]["exit_code"]:
        yield Act("read_file", {"path": found[1]})
        return "It fails, and this is only a trial."
    ran = re.search(r"Ran (\d+) tests", seen["verify"]["output"])
    return f"{ran[1] if ran else 'No'} tests ran, and all passed."


PARTS: dict[re.Pattern[str], Callable[[re.Match[str]], Acting]] = {
    WHERE: _where,
    REPLACE: _replace,
    LINES: _lines,
    HOW_MANY: _how_many,
}
