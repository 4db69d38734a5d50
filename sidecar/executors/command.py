"""The task is words: let an agent CLI of the operator's own work at it, in the same tree and behind the same walls.

The task goes in as files, never through a shell or a template: AGENTCOM_PROMPT_FILE has it in words, and
AGENTCOM_BRIEF_FILE as JSON. What the program says of its own success is a claim; the checks decide. What it spends is
not known here.
"""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.agent import prompts
from sidecar.config import AgentCommand
from sidecar.executors.base import Execution, Job, Place, Progress, Sandbox
from sidecar.executors.model import FOR_THE_CHECKS
from sidecar.executors.secrets import Output, Secrets
from sidecar.sandbox import BadPolicy, Outcome, Policy, detect
from sidecar.sandbox.places import find_program, toolchains

LOOK_SECONDS = 5.0
"""How long it may take to see whether the program is there; a sleeping machine is no reason to wait for ever."""
HOME_BYTES = 50_000_000
TAIL_CHARACTERS = 1_500
_NOT_STARTED = (126, 127)
_PYTHON = (sys.executable, "-I", "-S", "-c")
_LOOK = "import shutil, sys; sys.exit(0 if shutil.which(sys.argv[1]) else 1)"

# Runs inside, then becomes the agent. Python ignores two signals, which a program would inherit: they are put back.
_START = r"""
import os, re, signal, sys
packed = os.environ.pop("AGENTCOM_HOME_FILE", "")
if packed:
    import tarfile
    with tarfile.open(packed) as home:
        home.extraction_filter = lambda member, path: member
        home.extractall(os.environ["HOME"])
known = {"brief_file": os.environ["AGENTCOM_BRIEF_FILE"], "prompt_file": os.environ["AGENTCOM_PROMPT_FILE"]}
known["tree"] = os.getcwd()
argv = [re.sub(r"\{(brief_file|prompt_file|tree)\}", lambda match: known[match[1]], word) for word in sys.argv[1:]]
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execvp(argv[0], argv)
except OSError as problem:
    os.write(2, f"{argv[0]}: {problem.strerror}\n".encode())
    os._exit(127)
"""

_HOW = """You work in one go, with tools of your own, in the checkout at {tree} and nowhere else. Where this text says \
finish_task, end instead, and let those two sentences be the last thing you print. You have {minutes} minutes. \
This text lies outside the checkout; do not copy it there."""
_WITH_NETWORK = " You do have a network, for your own model; the checks have none."


class NotReady(Exception):
    """A command cannot be started on this machine: a stable word, and a sentence that says what it lacks."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Command:
    """Runs one of the operator's agent CLIs: the one that the assignment names as its model."""

    name = "command"

    def __init__(
        self,
        commands: Sequence[AgentCommand],
        environment: Mapping[str, str] = os.environ,
        *,
        ways: Mapping[str, type[Run]] | None = None,
    ) -> None:
        """`environment` is where the variables of `pass_env` are taken from; `ways` are runs by their protocol."""
        self._commands = {command.name: command for command in commands}
        self._environment = environment
        self._ways = ways or {"files": Run}

    async def execute(self, job: Job, place: Place, sandbox: Sandbox, progress: Progress) -> Execution:
        """Done means exit code 0. When it fails or is late, what it left in the tree is worth checking all the same."""
        try:
            command = self._commands.get(job.model)
            if command is None:
                raise NotReady("command_missing", f"This machine has no command {job.model!r}.")
            check(command, sandbox.policy, self._environment)
            own = replace(sandbox, policy=policy_of(command, sandbox.policy))
            way = self._ways[command.protocol]
            run = way(job, place, sandbox=own, progress=progress, command=command, granted=self._granted(command))
            return await run.execute()
        except NotReady as lack:
            progress("note", f"{job.model} was not started: {lack}")
            return Execution(
                code=lack.code,
                message=str(lack),
                summary=str(lack),
                model=job.model,
                blame="setup",
                stop_reason=lack.code,
            )

    def _granted(self, command: AgentCommand) -> dict[str, str]:
        return {**command.env, **{name: self._environment[name] for name in command.pass_env}}


def policy_of(command: AgentCommand, policy: Policy) -> Policy:
    """The machine's policy with what its operator grants this command on top."""
    return replace(policy, read_only=(*command.read_only, *policy.read_only), network=command.network)


def check(command: AgentCommand, policy: Policy, environment: Mapping[str, str] = os.environ) -> None:
    """Look, without starting anything, whether `command` could be started under `policy`. Raises NotReady."""
    own = policy_of(command, policy)
    level = detect(own)
    if level.name == "none":
        raise NotReady("sandbox_missing", f"{level.reason} {level.hint}".strip())
    for name in command.pass_env:
        if name not in environment:
            raise NotReady("command_setup", f"The variable {name} is not in the sidecar's environment.")
    for place in (*command.read_only, *([command.home] if command.home else [])):
        _check_directory(place.expanduser().absolute(), policy)
    if find_program(command.argv[0], own) is None:
        hint = "" if policy.sandbox == "off" else " If it is installed elsewhere, name its directory in read_only."
        raise NotReady("command_missing", f"The program {command.argv[0]} is not there for tasks to start.{hint}")


def _check_directory(place: Path, policy: Policy) -> None:
    if not place.is_dir():
        raise NotReady("command_setup", f"{place} is no directory.")
    try:
        toolchains(Policy(read_only=(place,)))
    except BadPolicy as bad:
        raise NotReady("command_setup", str(bad)) from bad
    for hidden in (path.expanduser().absolute() for path in policy.hidden):
        if place.is_relative_to(hidden) or hidden.is_relative_to(place):
            raise NotReady("command_setup", f"{place} would show what the sidecar keeps under {hidden}.")


class Run:
    """One run of one agent CLI, which is told its task by files and says by its exit code how it went."""

    def __init__(
        self,
        job: Job,
        place: Place,
        *,
        sandbox: Sandbox,
        progress: Progress,
        command: AgentCommand,
        granted: Mapping[str, str],
    ) -> None:
        self._job = job
        self._tree = place.tree
        self._sandbox = sandbox
        self._progress = progress
        self._command = command
        self._granted = granted
        self._secrets = Secrets(granted)
        self._seconds = job.timeout_seconds * (1 - FOR_THE_CHECKS if job.checks else 1)

    async def execute(self) -> Execution:
        """Raises NotReady when the program turns out not to be there."""
        files = await self._files()
        await self._look()
        began = time.time()
        try:
            done = await self._work(files)
        finally:
            spilt = await asyncio.to_thread(self._secrets.remove_from, self._tree, began)
        return self._refused(done, spilt) if spilt else done

    async def _work(self, files: Mapping[str, bytes]) -> Execution:
        waking = _Waking(self._progress, self._command)
        output = Output(self._secrets, self._sandbox.limits, self._progress)

        def hear(chunk: bytes) -> None:
            waking.spoke()
            output.feed(chunk)

        try:
            outcome = await self._start(files, output=hear)
            waking.ended(how(outcome))
        finally:
            waking.close()
        return self._execution(outcome, output.close())

    async def _files(self) -> dict[str, bytes]:
        files = {
            "AGENTCOM_BRIEF_FILE": self._job.brief.model_dump_json().encode(),
            "AGENTCOM_PROMPT_FILE": self._prompt().encode("utf-8", "replace"),
        }
        if self._command.home is not None:
            files["AGENTCOM_HOME_FILE"] = await asyncio.to_thread(packed, self._command.home.expanduser())
        return files

    def _prompt(self) -> str:
        how = _HOW.format(tree=self._tree.resolve(), minutes=max(1, round(self._seconds / 60))) + (
            _WITH_NETWORK if self._command.network else ""
        )
        task = prompts.frame(self._job.brief, self._job.checks, steps=0)
        return f"{prompts.system(how)}\n\n{task}\n"

    async def _look(self) -> None:
        """Whether the program is there, as seen from where it would be started."""
        look = [*_PYTHON, _LOOK, self._command.argv[0]]
        looked = await self._sandbox.run(look, tree=self._tree, timeout_seconds=LOOK_SECONDS)
        if looked.problem:
            raise NotReady(looked.ended, looked.problem)
        if not looked.succeeded:
            said = f" {looked.output.strip()[-500:]}".rstrip()
            raise NotReady("command_missing", f"The program {self._command.argv[0]} is not there to be started.{said}")

    async def _start(
        self,
        files: Mapping[str, bytes],
        *,
        output: Callable[[bytes], None],
        errors: Callable[[bytes], None] | None = None,
        talk: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None,
        stop: asyncio.Event | None = None,
    ) -> Outcome:
        fence = {
            "AGENTCOM_TASK_ID": str(self._job.task),
            "AGENTCOM_ATTEMPT_ID": str(self._job.attempt),
            "AGENTCOM_GENERATION": str(self._job.generation),
        }
        return await self._sandbox.run(
            [*_PYTHON, _START, *self._command.argv],
            tree=self._tree,
            timeout_seconds=self._seconds,
            env={**self._granted, **fence},
            files=files,
            output=output,
            errors=errors,
            talk=talk,
            stop=stop,
        )

    def _refused(self, done: Execution, spilt: Sequence[str]) -> Execution:
        where = ", ".join(spilt[:10])
        message = (
            f"{self._command.name} wrote a secret of this machine into its work. These files were removed: {where}"
        )
        return replace(done, code="secret_in_work", message=message, partial=False, blame="capability")

    def _execution(self, outcome: Outcome, output: str) -> Execution:
        done = Execution(
            summary=last_lines(output) or "It printed nothing.",
            output=output,
            exit_code=outcome.exit_code,
            stop_reason=outcome.ended,
            duration_ms=outcome.duration_ms,
            model=self._command.name,
        )
        name, last = self._command.name, f" It said last:\n{done.summary[-TAIL_CHARACTERS:]}"
        if outcome.problem:
            return replace(done, code=outcome.ended, message=f"{outcome.problem}{last}", partial=False)
        if outcome.ended != "exited":
            message = f"{name} did not end within {self._seconds:g} seconds.{last}"
            return replace(done, code="deadline", message=message, partial=True, blame="capability")
        if outcome.exit_code:
            return replace(
                done,
                code="command_failed",
                message=f"{name} ended with exit code {outcome.exit_code}.{last}",
                partial=True,
                blame="setup" if outcome.exit_code in _NOT_STARTED else "",
            )
        return done


class _Waking:
    """Says once, and in time, whether an agent has come to life: by its first output, by running on, or by its end."""

    def __init__(self, progress: Progress, command: AgentCommand) -> None:
        self._progress = progress
        self._name = command.name
        silent = f"is awake: it runs, and has printed nothing in {command.start_seconds:g} s"
        self._awake = False
        self._later = asyncio.get_running_loop().call_later(command.start_seconds, self._wake, silent)

    def spoke(self) -> None:
        """There was output."""
        self._wake("is awake")

    def ended(self, how: str) -> None:
        """It is over, and how."""
        self.close()
        self._progress("note", f"{self._name} {how}.")

    def close(self) -> None:
        """Say nothing from now on."""
        self._later.cancel()

    def _wake(self, how: str) -> None:
        self._later.cancel()
        if not self._awake:
            self._awake = True
            self._progress("note", f"{self._name} {how}.")


def packed(home: Path) -> bytes:
    """The files below `home` as a tar archive; links stay links. Raises NotReady when it is too large or unreadable."""
    archive = io.BytesIO()
    size = 0

    def small_enough(member: tarfile.TarInfo) -> tarfile.TarInfo:
        nonlocal size
        size += member.size
        if size > HOME_BYTES:
            raise NotReady("command_setup", f"{home} holds more than {HOME_BYTES // 1_000_000} MB: too much to copy.")
        return member

    try:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path in sorted(home.iterdir()):
                tar.add(path, arcname=path.name, filter=small_enough)
    except OSError as problem:
        raise NotReady("command_setup", f"{home} cannot be read: {problem}.") from problem
    return archive.getvalue()


def how(outcome: Outcome) -> str:
    """How a program ended and after how long, to follow its name."""
    ended = f"ended with exit code {outcome.exit_code}" if outcome.ended == "exited" else "was stopped"
    return f"{ended} after {outcome.duration_ms / 1000:.1f} s"


def last_lines(output: str) -> str:
    """The end of what was said, without its empty lines."""
    return "\n".join([line.rstrip() for line in output.splitlines() if line.strip()][-8:])[-2_000:]
