"""`agentcom`: read what was typed, call the hub, say what came of it.

0 is good, 1 a refusal or a bad end, 2 bad usage, 3 a hub that does not answer, 4 something that waits for a person.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sidecar.operator import account, follow, shown, words
from sidecar.operator.account import Account, AccountProblem
from sidecar.operator.grammar import GOAL_VERBS, TASK_VERBS, parser
from sidecar.operator.rest import Hub, Refusal, Unreachable

LARGEST_DOCUMENT = 256 * 1024


class Usage(Exception):
    """What was typed cannot be meant."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    asked = parser().parse_args(arguments)
    try:
        return int(COMMANDS[asked.command](asked))
    except Usage as problem:
        return _fail(problem, 2)
    except (AccountProblem, Refusal) as problem:
        return _fail(problem, 1)
    except Unreachable as problem:
        return _fail(problem, 3)
    except BrokenPipeError:  # whoever read our lines has enough of them
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def _fail(problem: Exception, code: int) -> int:
    print(f"agentcom: {shown.plain(problem)}", file=sys.stderr)
    return code


# --- commands ---------------------------------------------------------------------------------------------------------


def _login(asked: argparse.Namespace) -> int:
    typed = asked.token or (getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline())
    mine = Account(account.address(asked.hub), typed.strip())
    if not mine.token.isascii() or not mine.token.isprintable() or not mine.token:
        raise Usage("That is not a token.")
    _open(mine).get("/api/goals", page_size=1)
    _say(f"{mine.hub} knows this token; kept in {account.save(mine)}.")
    return 0


def _goal(asked: argparse.Namespace) -> int:
    hub = _open(account.known())
    if verb := _verb(asked.words, GOAL_VERBS):
        if asked.file:
            raise Usage(f"--file hands a goal in; it says nothing to {verb}.")
        return _on_goal(hub, verb, int(asked.words[1]), asked)
    made = hub.hand_in("/api/goals", _wanted_document(asked) if asked.file else _wanted_goal(asked))
    _tell(asked, made, [f"goal {made['id']} is in the backlog: {hub.hub}/goals/{made['id']}"])
    return _watched(follow.goal, hub, made["id"], asked) if asked.wait else 0


def _wanted_goal(asked: argparse.Namespace) -> dict[str, Any]:
    title, rest = words.titled(asked.words)
    if not title:
        raise Usage('Say what you want: agentcom goal "…" --repo SLUG')
    if not asked.repo:
        raise Usage("Which repository? --repo SLUG")
    return {
        **words.stripped(_both(asked, title, rest)),
        **words.stripped({"tags": asked.tag, "needs_approval": asked.approve}),
        "source": "cli",
    }


def _both(asked: argparse.Namespace, title: str, rest: str) -> dict[str, Any]:
    return {
        "title": title,
        "description": "\n\n".join(filter(None, [rest, asked.description])),
        "repo": asked.repo,
        "success_criteria": asked.criterion,
        "verification_steps": [words.check(typed) for typed in asked.check],
        "priority": asked.priority,
        "depends_on": asked.after,
    }


def _wanted_document(asked: argparse.Namespace) -> bytes:
    given = {**_both(asked, *words.titled(asked.words)), "tags": asked.tag, "needs_approval": asked.approve}
    if words.stripped(given):
        raise Usage(f"All of the goal stands in {asked.file}; leave out the words and options that describe it.")
    return _document(asked.file)


def _document(file: Path) -> bytes:
    try:
        data = sys.stdin.buffer.read(LARGEST_DOCUMENT + 1) if str(file) == "-" else file.read_bytes()
    except OSError as problem:
        raise Usage(f"{file} cannot be read: {problem.strerror}.") from problem
    if len(data) > LARGEST_DOCUMENT:
        raise Usage(f"{file} has more than {LARGEST_DOCUMENT} bytes.")
    return data


def _on_goal(hub: Hub, verb: str, number: int, asked: argparse.Namespace) -> int:
    path = f"/api/goals/{number}"
    if verb == "watch":
        return _watched(follow.goal, hub, number, asked)
    if verb == "show":
        row, plan = hub.get(path), hub.get(f"{path}/plan")
        _tell(asked, {**row, "plan": plan}, shown.goal(row, plan))
        return 0
    row = hub.post(f"{path}/{verb}", {"reason": asked.reason} if verb == "cancel" else None)
    _tell(asked, row, [f"goal {row['id']} is {shown.goal_status(row)}"])
    return _watched(follow.goal, hub, row["id"], asked) if asked.wait else 0


def _task(asked: argparse.Namespace) -> int:
    hub = _open(account.known())
    if verb := _verb(asked.words, TASK_VERBS):
        return _on_task(hub, verb, int(asked.words[1]), asked)
    title, rest = words.titled(asked.words)
    if not title:
        raise Usage('Say what is to be done: agentcom task "…"')
    made = hub.hand_in("/api/tasks", words.stripped({**_both(asked, title, rest), "command": asked.run}))
    _tell(asked, made, [f"task {made['id']} is {made['status']}: {hub.hub}/tasks/{made['id']}"])
    return _watched(follow.task, hub, made["id"], asked) if asked.wait else 0


def _on_task(hub: Hub, verb: str, number: int, asked: argparse.Namespace) -> int:
    path = f"/api/tasks/{number}"
    if verb == "watch":
        return _watched(follow.task, hub, number, asked)
    if verb == "show":
        row = hub.get(path)
        _tell(asked, row, shown.task(row))
        return 0
    row = hub.post(f"{path}/{verb}", {"reason": asked.reason} if verb == "cancel" else None)
    _tell(asked, row, [f"task {row['id']} is {row['status']}"])
    return _watched(follow.task, hub, row["id"], asked) if asked.wait else 0


def _goals(asked: argparse.Namespace) -> int:
    return _list(asked, "/api/goals", shown.goals)


def _tasks(asked: argparse.Namespace) -> int:
    return _list(asked, "/api/tasks", shown.tasks)


def _list(asked: argparse.Namespace, path: str, show: Callable[[Iterable[Any]], Iterable[str]]) -> int:
    rows = list(_open(account.known()).rows(path, max(1, asked.most), status=asked.status, repo=asked.repo))
    _tell(asked, rows, show(rows))
    return 0


def _brain(asked: argparse.Namespace) -> int:
    hub = _open(account.known())
    if asked.verb == "pause":
        row = hub.post("/api/brain/pause", {"reason": asked.reason})
    else:
        row = hub.post("/api/brain/resume") if asked.verb == "resume" else hub.get("/api/brain")
    _tell(asked, row, shown.brain(row))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "login": _login,
    "goal": _goal,
    "goals": _goals,
    "task": _task,
    "tasks": _tasks,
    "brain": _brain,
}


def _verb(typed: Sequence[str], verbs: Sequence[str]) -> str:
    """The verb of `show 7`; empty when these are words of a goal."""
    meant = len(typed) == 2 and typed[0] in verbs and typed[1].isascii() and typed[1].isdigit()
    return typed[0] if meant else ""


def _watched(watch: Callable[..., int], hub: Hub, number: int, asked: argparse.Namespace) -> int:
    # With --json, standard output holds JSON alone; what happens meanwhile goes beside it.
    out = sys.stderr if asked.json else sys.stdout
    return watch(hub, number, say=lambda line: print(line, file=out, flush=True), sleep=time.sleep)


def _open(mine: Account) -> Hub:
    return Hub(mine)


def _tell(asked: argparse.Namespace, answer: Any, lines: Iterable[str]) -> None:
    if asked.json:
        # In ASCII: what a stranger wrote must not steer the terminal, and JSON leaves only DEL as it is.
        _say(json.dumps(answer, indent=2).replace("\x7f", "\\u007f"))
        return
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    print(line, flush=True)
