"""How answers of the hub look in a terminal: lines of text, in which what a stranger wrote steers nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def plain(text: Any) -> str:
    """On one line, without control characters."""
    return "".join(char if char.isprintable() else " " for char in str(text))


def goals(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each goal."""
    yield from table(
        [[str(row["id"]), goal_status(row), row["priority"], row["repo"], row["title"]] for row in rows],
        empty="No goals.",
    )


def tasks(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each task."""
    yield from table(
        [[str(row["id"]), row["status"], row["priority"], row["repo"] or "-", row["title"]] for row in rows],
        empty="No tasks.",
    )


def goal_status(row: Row) -> str:
    """Its status, and whether it waits for approval."""
    return "awaits approval" if row["awaits_approval"] else str(row["status"]).replace("_", " ")


def table(rows: Sequence[Sequence[str]], *, empty: str) -> Iterator[str]:
    """Columns that stand below each other; the last one is as long as it is."""
    if not rows:
        yield empty
        return
    cells = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]) - 1)]
    for row in cells:
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])


def goal(row: Row, plan: Row) -> Iterator[str]:
    """Everything about one goal."""
    yield f"goal {row['id']}: {plain(row['title'])}"
    yield f"  {goal_status(row)}, {row['repo']}, {row['priority']}, by {plain(row['submitted_by'])}"
    if row["waits"]:
        yield f"  {plain(row['waits'])}"
    elif row["reason"]:
        yield f"  {plain(row['reason'])}"
    judged = row["judgement"].get("criteria") or [{"criterion": words} for words in row["success_criteria"]]
    for one in judged:
        mark = {True: "[x]", False: "[ ]"}.get(one.get("met"), " - ")
        where = f" ({plain(one['where'])})" if one.get("where") else ""
        yield f"  {mark} {plain(one['criterion'])}{where}"
    if row["judgement"].get("reason"):
        yield f"  judgement: {plain(row['judgement']['reason'])}"
    yield from plan_of(plan)
    cost = row["cost"]
    yield f"  cost: {dollars(cost['work']['micro'])} of work, {dollars(cost['thinking']['micro'])} of thinking"
    if row["pull"]:
        yield f"  pull request !{row['pull']}{', merged' if row['landed_at'] else ''}"


def plan_of(plan: Row) -> Iterator[str]:
    """Its slices, and what they will probably cost."""
    if not plan["slices"]:
        return
    yield f"  plan: {expected(plan['estimate'])}"
    for step in plan["slices"]:
        yield f"    {slice_of(step)}"


def slice_of(step: Row) -> str:
    """A slice in a line."""
    state = step["task_status"] if step["state"] == "running" else step["state"]
    task = f" #{step['task']}" if step["task"] else ""
    after = f" after {', '.join(map(str, step['after']))}" if step["after"] and not step["task"] else ""
    agent = f" by {plain(step['agent'])}" if step["agent"] else ""
    return f"{step['number']}. {plain(step['title'])}: {str(state).replace('_', ' ')}{task}{agent}{after}"


def expected(estimate: Row | None) -> str:
    """What a plan will probably cost and take."""
    if not estimate:
        return "no history yet"
    micro, seconds = estimate["micro"], estimate["seconds"]
    money = f"{dollars(micro['middle'])} ({dollars(micro['low'])} to {dollars(micro['high'])})"
    time = f"{lasting(seconds['middle'])} ({lasting(seconds['low'])} to {lasting(seconds['high'])})"
    return f"probably {money} and {time}, as {estimate['slices']} finished slices tell"


def task(row: Row) -> Iterator[str]:
    """Everything about one task."""
    yield f"task {row['id']}: {plain(row['title'])}"
    yield f"  {row['status']}, {row['repo'] or 'no repository'}, {row['priority']}, by {plain(row['submitted_by'])}"
    if row["waits"]:
        yield f"  {plain(row['waits'])}"
    for attempt in row["attempts"]:
        error = f": {plain(attempt['error'])}" if attempt["error"] else ""
        yield f"  attempt {attempt['generation']} by {plain(attempt['agent'])}: {attempt['outcome']}{error}"


def event(row: Row) -> str:
    """Something that happened, in a line."""
    data = row["data"]
    why = data.get("reason") or data.get("error") or data.get("note") or ""
    return f"{row['at'][11:19]}  {plain(row['meaning'])}{f' {plain(why)}' if why else ''}"


def brain(row: Row) -> Iterator[str]:
    """What the hub does by itself, and why."""
    yield f"{row['state']} for {lasting(row['seconds'])}: {plain(row['why'])}"
    if row["pause"]:
        why = f": {plain(row['pause']['reason'])}" if row["pause"]["reason"] else ""
        yield f"  paused by {plain(row['pause']['by'])}{why}"
    yield f"  {plain(row['doing'])}"
    if row["next"]:
        yield f"  next: {row['next']}"
    for hold in row["holds"]:
        yield f"  held back: {plain(hold)}"
    yield f"  goals: {row['pending']} could begin, {row['active']} under way, {row['waiting']} wait for people"
    for purse in row["budgets"]:
        yield f"  {purse['state'] or 'all states'}, {purse['period']}: {_spent(purse)}"


def _spent(purse: Row) -> str:
    if purse["measure"] == "micro":
        return f"{dollars(purse['used'])} of {dollars(purse['limit'])}"
    return f"{purse['used']} of {purse['limit']} {purse['measure']}"


def dollars(micro: float) -> str:
    """Micro-USD as money."""
    return f"${micro / 1_000_000:,.2f}" if micro >= 10_000 or not micro else f"${micro / 1_000_000:.4f}"


def lasting(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
