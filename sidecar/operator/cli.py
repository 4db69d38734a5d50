"""`agentcom`: parse, call the hub, say what came of it.

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

from sidecar import __version__
from sidecar.operator import account, follow, shown, words
from sidecar.operator.account import Account, AccountProblem
from sidecar.operator.rest import Hub, Refusal, Unreachable

PRIORITIES = ("urgent", "high", "normal", "low")
GOAL_VERBS = ("show", "watch", "approve", "cancel", "go-on", "resubmit")
TASK_VERBS = ("show", "watch", "cancel", "retry")
LARGEST_DOCUMENT = 256 * 1024


class Usage(Exception):
    """What was typed cannot be meant."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    asked = _parser().parse_args(arguments)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agentcom", description="Give an AgentCom hub work, and see what comes of it."
    )
    parser.add_argument("--version", action="version", version=f"agentcom {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="the hub's answer as it is")

    login = commands.add_parser("login", help="remember a hub and a token for it")
    login.add_argument("hub", metavar="HUB", help="the hub's address, as in http://hub.example:8000")
    login.add_argument("--token", help="of an integration; asked for, or read from standard input, when left out")

    work = argparse.ArgumentParser(add_help=False, parents=[as_json])
    work.add_argument("--repo", default="", metavar="SLUG", help="which repository")
    work.add_argument("--description", default="", help="more words")
    work.add_argument("--criterion", action="append", default=[], help="what has to be true then; may be repeated")
    work.add_argument(
        "--check",
        action="append",
        default=[],
        help="tests_pass, 'file_exists: README.md', or a command that has to succeed; may be repeated",
    )
    work.add_argument("--priority", choices=PRIORITIES)
    work.add_argument("--after", action="append", type=int, default=[], metavar="N", help="only after this one")
    work.add_argument("--reason", default="", help="why it is cancelled")
    work.add_argument("--wait", action="store_true", help="watch it until it ends or waits for a person")

    goal = commands.add_parser(
        "goal",
        parents=[work],
        help="hand in a goal, or: goal show|watch|approve|cancel|go-on|resubmit N",
        description=f"Hand in a goal in words; or with one of {', '.join(GOAL_VERBS)} and a number do that.",
    )
    goal.add_argument("words", nargs="*", metavar="WORDS", help="what you want, or a verb and a number")
    goal.add_argument("--tag", action="append", default=[], help="may be repeated")
    goal.add_argument(
        "--approve",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="have the plan wait for approval, or not; else as the repository says",
    )
    goal.add_argument("--file", type=Path, metavar="GOAL.XML", help="hand in this document; - reads standard input")

    task = commands.add_parser(
        "task",
        parents=[work],
        help="hand in a task, or: task show|watch|cancel|retry N",
        description=f"Hand in a task; or with one of {', '.join(TASK_VERBS)} and a number do that.",
    )
    task.add_argument("words", nargs="*", metavar="WORDS", help="what is to be done, or a verb and a number")
    task.add_argument("--command", dest="run", default="", help="run by a shell; without one a model does it")

    for name, statuses in (("goals", "submitted, executing, needs_review …"), ("tasks", "queued, working, dead …")):
        listing = commands.add_parser(name, parents=[as_json], help=f"list {name}, the newest first")
        listing.add_argument("--status", default="", help=statuses)
        listing.add_argument("--repo", default="", metavar="SLUG")
        listing.add_argument("--most", type=int, default=30, metavar="N", help="at most so many (30)")

    brain = commands.add_parser("brain", parents=[as_json], help="what the hub does by itself, and why")
    brain.add_argument("verb", nargs="?", choices=["pause", "resume"])
    brain.add_argument("--reason", default="", help="why it is paused")
    return parser


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
        return _on_goal(hub, verb, int(asked.words[1]), asked)
    made = hub.hand_in("/api/goals", _document(asked.file) if asked.file else _wanted_goal(asked))
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
        _say(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for line in lines:
        _say(line)


def _say(line: str) -> None:
    print(line, flush=True)
