"""What can be typed: the commands of `agentcom`, their options and their help."""

from __future__ import annotations

import argparse
from pathlib import Path

from sidecar import __version__

PRIORITIES = ("urgent", "high", "normal", "low")
GOAL_VERBS = ("show", "watch", "approve", "cancel", "go-on", "resubmit")
TASK_VERBS = ("show", "watch", "cancel", "retry")


def parser() -> argparse.ArgumentParser:
    """For `agentcom COMMAND ...`; what it returns has the name of the command as `command`."""
    whole = argparse.ArgumentParser(prog="agentcom", description="Give an AgentCom hub work, and see what comes of it.")
    whole.add_argument("--version", action="version", version=f"agentcom {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    answer, work = _answer(), _work()
    login = commands.add_parser("login", help="remember a hub and a token for it")
    login.add_argument("hub", metavar="HUB", help="the hub's address, as in http://hub.example:8000")
    login.add_argument("--token", help="of an integration; asked for, or read from standard input, when left out")
    _goal(
        commands.add_parser(
            "goal",
            parents=[answer, work],
            help=f"hand in a goal, or: goal {'|'.join(GOAL_VERBS)} N",
            description=f"Hand in a goal in words; or with one of {', '.join(GOAL_VERBS)} and a number do that.",
        )
    )
    _task(
        commands.add_parser(
            "task",
            parents=[answer, work],
            help=f"hand in a task, or: task {'|'.join(TASK_VERBS)} N",
            description=f"Hand in a task; or with one of {', '.join(TASK_VERBS)} and a number do that.",
        )
    )
    for name, statuses in (("goals", "submitted, executing, needs_review …"), ("tasks", "queued, working, dead …")):
        _listing(commands.add_parser(name, parents=[answer], help=f"list {name}, the newest first"), statuses)
    brain = commands.add_parser("brain", parents=[answer], help="what the hub does by itself, and why")
    brain.add_argument("verb", nargs="?", choices=["pause", "resume"])
    brain.add_argument("--reason", default="", help="why it is paused")
    return whole


def _answer() -> argparse.ArgumentParser:
    """How the hub's answer is shown; every command but `login` has this."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the hub's JSON")
    return common


def _work() -> argparse.ArgumentParser:
    """What goals and tasks have in common."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--repo", default="", metavar="SLUG", help="which repository")
    common.add_argument("--description", default="", help="more words")
    common.add_argument(
        "--criterion", action="append", default=[], help="must be true when it is done; may be repeated"
    )
    common.add_argument(
        "--check",
        action="append",
        default=[],
        help="tests_pass, 'file_exists: README.md', or a command that has to succeed; may be repeated",
    )
    common.add_argument("--priority", choices=PRIORITIES)
    common.add_argument(
        "--after", action="append", type=int, default=[], metavar="N", help="start only after number N is done"
    )
    common.add_argument("--reason", default="", help="why it is cancelled")
    common.add_argument("--wait", action="store_true", help="watch it until it ends or waits for a person")
    return common


def _goal(goal: argparse.ArgumentParser) -> None:
    goal.add_argument("words", nargs="*", metavar="WORDS", help="what you want, or a verb and a number")
    goal.add_argument("--tag", action="append", default=[], help="may be repeated")
    goal.add_argument(
        "--approve",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the plan waits for your approval (--no-approve: starts at once); default: as the repository says",
    )
    goal.add_argument("--file", type=Path, metavar="GOAL.XML", help="hand in this document; - reads standard input")


def _task(task: argparse.ArgumentParser) -> None:
    task.add_argument("words", nargs="*", metavar="WORDS", help="what is to be done, or a verb and a number")
    task.add_argument("--command", dest="run", default="", help="run by a shell; without one a model does it")


def _listing(listing: argparse.ArgumentParser, statuses: str) -> None:
    listing.add_argument("--status", default="", help=statuses)
    listing.add_argument("--repo", default="", metavar="SLUG")
    listing.add_argument("--most", type=int, default=30, metavar="N", help="at most N rows (default 30)")
