"""The sidecar's command line: parse, call one thing, say what happened. 0 is good, 1 is a reason, 2 is bad usage."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from sidecar import __version__, by_hand, config, logs, mode
from sidecar.checkout import Checkout, HandProblem
from sidecar.config import Config, ConfigProblem
from sidecar.effects import Mode
from sidecar.enrol import JoinProblem, join
from sidecar.journal import Journal, RootLock, RootTaken
from sidecar.sandbox import BadPolicy, Level, Policy, detect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    asked = _parser().parse_args(arguments)
    command = {"join": _join, "run": _run, "status": _status, "doctor": _doctor, "git": _git}[asked.command]
    try:
        return command(asked)
    except (ConfigProblem, JoinProblem, RootTaken, BadPolicy, HandProblem) as problem:
        print(f"agentcom-sidecar: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="agentcom-sidecar", description="An AgentCom agent on this machine.")
    parser.add_argument("--version", action="version", version=f"agentcom-sidecar {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", help="which agent; not needed when there is one")
    shared.add_argument("--root", type=Path, help="where agents are kept (AGENTCOM_ROOT, or ~/.agentcom)")

    joining = commands.add_parser("join", parents=[shared], help="become an agent of a hub")
    joining.add_argument("hub", metavar="HUB", help="the hub's address, as in http://hub.example:8000")
    joining.add_argument("--code", required=True, help="the one-time code from the hub's operator")
    joining.add_argument(
        "--sandbox",
        choices=["bubblewrap", "off"],
        default="bubblewrap",
        help="off: tasks may do whatever this user may do, and the hub shows a warning",
    )

    joining.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="a model of the Ollama here to try; may be repeated",
    )
    joining.add_argument("--no-models", action="store_true", help="look for no models; only commands are run here")

    running = commands.add_parser("run", parents=[shared], help="take tasks until told to stop")
    running.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    running.add_argument("--log-format", choices=["console", "json"])
    running.add_argument(
        "--supervised",
        action="store_true",
        help="whatever started this starts it again after exit code 75, which is how a restart ends then",
    )

    examining = commands.add_parser("doctor", parents=[shared], help="do each real action once, and say what works")
    examining.add_argument("--repo", default="", metavar="SLUG", help="clone this one, and rehearse a push to it")
    commands.add_parser("status", parents=[shared], help="show what is set up here and what is in hand")
    _add_git(
        commands.add_parser("git", help="do by hand, in your own checkout, what an attempt does by itself"), shared
    )
    return parser


def _add_git(parser: argparse.ArgumentParser, shared: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    starting = verbs.add_parser("start", parents=[shared], help="a new branch from the hub's default branch")
    starting.add_argument("title", metavar="TITLE", help="what you are going to do, as in 'fix: Round totals up'")
    starting.add_argument("--repo", default="", metavar="SLUG", help="which repository; else the name that origin has")
    verbs.add_parser("status", parents=[shared], help="what the branch adds, and what is not committed")
    submitting = verbs.add_parser("submit", parents=[shared], help="push the branch and open its pull request")
    submitting.add_argument("--title", default="", help="of the pull request; else what the work was started with")


def _join(asked: argparse.Namespace) -> int:
    logs.configure(level="WARNING", form="console")
    made = join(
        asked.hub,
        asked.code,
        name=asked.name,
        base=asked.root,
        sandbox=asked.sandbox,
        models=None if asked.no_models else asked.model,
        say=_say,
    )
    if made.sandbox == "off":
        _say("warning: the sandbox is off; every task may do whatever this user may do")
    only = config.agents_in(asked.root) == [made.name]
    rest = "" if only else f" --name {made.name}"
    rest += f" --root {asked.root}" if asked.root else ""
    _say(f"ready. Start it with: agentcom-sidecar run{rest}")
    return 0


def _run(asked: argparse.Namespace) -> int:
    logs.configure(level=asked.log_level, form=asked.log_format)
    from sidecar.daemon import RESTART, Daemon

    root = config.choose(asked.name, asked.root)
    settings = config.load(root)
    try:
        code = asyncio.run(Daemon(settings, root).run())
    except ExceptionGroup as failed:  # a part of the daemon; the supervisor starts it again
        structlog.get_logger(__name__).critical("sidecar ends: a part of it failed", exc_info=failed)
        return 1
    if code == RESTART and not asked.supervised:
        _start_again()
    return code


def _start_again() -> None:
    """Put a fresh start of the same command in the place of this process; returns only when that cannot be done.

    Files and sockets are closed by it, and the lock with them, since Python lets no program inherit them.
    """
    try:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  the very words that this process was started with
    except OSError as problem:
        structlog.get_logger(__name__).critical("cannot start again", program=sys.executable, problem=str(problem))


def _status(asked: argparse.Namespace) -> int:
    logs.configure(level="WARNING", form="console")
    names = [asked.name] if asked.name else config.agents_in(asked.root)
    if not names:
        raise ConfigProblem(f"No agent is set up under {asked.root or config.home()}.")
    for name in names:
        root = config.root_of(name, asked.root)
        settings = config.load(root)
        level = detect(Policy(sandbox=settings.sandbox, read_only=tuple(settings.toolchains)))
        _say_status(settings, root, level)
    return 0


def _say_status(settings: Config, root: Path, level: Level) -> None:
    holder = RootLock.holder(root)
    running = "not running" if holder is None else f"running (process {holder}){_MODES[mode.read(root)]}"
    _say(f"{settings.name}: {running}")
    _say(f"  hub      {settings.hub}")
    _say(f"  root     {root}")
    _say(f"  sandbox  {level.name}. {level.reason}")
    for command in settings.commands:
        _say(f"  command  {command.name} ({command.grade}): {command.argv[0]}")
    for thinker in settings.models:
        _say(f"  model    {thinker.model} ({thinker.grade}) at {thinker.url}, {thinker.dialect} calls")
    for entry in Journal(root).load():
        what = f"{entry.state}, waits for the hub" if entry.report else entry.state
        _say(f"  attempt  {entry.attempt} of task {entry.task}: {what}")


_MODES = {
    Mode.NORMAL: "",
    Mode.DRAINING: ", draining: the hub gives it no new work",
    Mode.RESTARTING: ", restarts as soon as its work is over",
}


def _doctor(asked: argparse.Namespace) -> int:
    logs.configure(level="ERROR", form="console")
    root = config.choose(asked.name, asked.root)
    return asyncio.run(_examine(config.load(root), root, asked.repo))


async def _examine(settings: Config, root: Path, repo: str) -> int:
    from sidecar import doctor

    failed = 0
    async for finding in doctor.examine(settings, root, repo=repo):
        failed += not finding.works
        _say(f"{'ok    ' if finding.works else 'FAILED'}  {finding.name}: {finding.detail}")
        if finding.repair and not finding.works:
            _say(f"        repair: {finding.repair}")
    if not repo:
        _say("        clone and push were not tried: name a repository with --repo")
    if not settings.models and not settings.commands:
        _say("        no models: tasks in words go to other machines")
    _say(f"{failed} of these do not work." if failed else "All of it works.")
    return 1 if failed else 0


def _git(asked: argparse.Namespace) -> int:
    settings = config.load(config.choose(asked.name, asked.root))
    checkout = Checkout(Path.cwd())
    if asked.verb == "start":
        branch = by_hand.start(checkout, settings, asked.title, repo=asked.repo)
        _say(f"on {branch}, from {checkout.head[:12]}")
        _say("Commit as `<type>: <title>`, then: agentcom-sidecar git submit")
    elif asked.verb == "status":
        _say_standing(by_hand.standing(checkout, settings))
    else:
        pull = by_hand.submit(checkout, settings, title=asked.title, say=_say)
        _say(f"pull request !{pull.number}: {pull.url}")
    return 0


def _say_standing(now: by_hand.Standing) -> None:
    behind = f", {now.behind} behind" if now.behind else ""
    _say(f"{now.branch}: {len(now.commits)} ahead of {now.notes.default}{behind} ({now.notes.repo})")
    for commit in now.commits:
        _say(f"  {commit.short} {commit.subject}{'' if commit.conventional else '   <- not `<type>: <title>`'}")
    for line in now.difference.splitlines():
        _say(f"  {line.strip()}")
    if now.dirty:
        _say("not committed:")
    for line in now.dirty:
        _say(f"  {line}")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
