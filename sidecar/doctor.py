"""Does each real action of an agent once, and says what works, what does not, and the one line that repairs it."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from sidecar import by_hand, enrol, minds
from sidecar.agent import prompts
from sidecar.agent.dialects.base import Dialect
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.faults import ModelFault
from sidecar.agent.models.base import Model
from sidecar.agent.probe import probe
from sidecar.agent.talk import Request, Told
from sidecar.agent.tools.specs import SPECS
from sidecar.checkout import HandProblem
from sidecar.config import AgentCommand, Config, Thinker
from sidecar.enrol import JoinProblem
from sidecar.executors.command import NotReady, check
from sidecar.git import BadName, Git, GitFailed
from sidecar.sandbox import Limits, Policy, Unavailable, detect, run
from sidecar.workspace import Workspace, WorkspaceFailed

SECONDS = 20.0
FOR_A_MODEL = 300.0
FOR_A_TRIAL = 900.0
"""Twelve short answers, on a machine without a graphics card."""
ANOTHER_MODEL = "join again with --model and another model, or give it dialect fenced in config.json"
WORD = "heliotrope"


@dataclass(frozen=True)
class Finding:
    """One action: whether it worked, what was seen, and what to do about it when it did not."""

    name: str
    works: bool
    detail: str
    repair: str = ""


async def examine(config: Config, root: Path, *, repo: str = "") -> AsyncIterator[Finding]:
    """Everything that this agent will have to do, one after the other. `repo` names the repository to clone and to push
    to, as a rehearsal; without it these two are left out."""
    yield await asyncio.to_thread(_git)
    yield await asyncio.to_thread(_hub, config)
    yield await asyncio.to_thread(_token, config)
    policy = Policy(sandbox=config.sandbox, read_only=tuple(config.toolchains), hidden=(root,))
    yield await _command(policy)
    if repo:
        async for finding in _repository(config, repo):
            yield finding
    for thinker in config.models:
        yield await _model(thinker)
    for command in config.commands:
        yield _agent(command, policy)


def _git() -> Finding:
    try:
        return Finding("git", True, enrol.check_git())
    except JoinProblem as problem:
        return Finding("git", False, str(problem), "apt install git")


def _hub(config: Config) -> Finding:
    try:
        enrol.check_hub(config.hub)
    except JoinProblem as problem:
        return Finding("hub", False, str(problem), f"curl {config.hub}/api/health")
    return Finding("hub", True, f"{config.hub} answers")


def _token(config: Config) -> Finding:
    again = f"agentcom-sidecar join {config.hub} --code CODE   (a new code from the hub's page Agents)"
    try:
        answer = httpx.get(
            f"{config.hub}/api/agent/tasks",
            headers={"Authorization": f"Bearer {config.token}"},
            timeout=SECONDS,
            trust_env=False,
            follow_redirects=False,
        )
    except httpx.HTTPError as problem:
        return Finding("token", False, f"The hub could not be asked: {problem}")
    if answer.status_code == 200:
        return Finding("token", True, f"the hub knows this agent as {config.name}")
    return Finding("token", False, f"The hub does not take it (HTTP {answer.status_code}).", again)


async def _command(policy: Policy) -> Finding:
    level = detect(policy)
    with tempfile.TemporaryDirectory() as directory:
        tree = Path(directory) / "tree"
        tree.mkdir()
        outside = Path(directory) / "outside"
        outside.write_text("canary")
        try:
            outcome = await run(
                f"echo work > done; cat {outside} /etc/shadow 2>/dev/null; true",
                tree=tree,
                policy=policy,
                limits=Limits(timeout_seconds=SECONDS),
            )
        except Unavailable as lack:
            reason, _, hint = str(lack).partition("\n")
            return Finding("sandboxed command", False, reason, hint)
        if not outcome.succeeded or (tree / "done").read_text() != "work\n":
            return Finding(
                "sandboxed command",
                False,
                f"A command could not work in its tree: {outcome.problem or outcome.output[:300]}",
            )
    if policy.sandbox == "off":
        return Finding("sandboxed command", True, "runs, but the sandbox is off: it may do whatever this user may do")
    if outcome.output.strip():
        return Finding("sandboxed command", False, f"It could see what is outside its tree: {outcome.output[:300]}")
    return Finding("sandboxed command", True, f"{outcome.duration_ms} ms; in force: {', '.join(level.enforced)}")


async def _repository(config: Config, repo: str) -> AsyncIterator[Finding]:
    with tempfile.TemporaryDirectory() as directory:
        try:
            remote = by_hand.remote_of(config, repo)
            made = await Workspace.prepare(remote=remote, attempt=1, root=Path(directory))
        except (WorkspaceFailed, GitFailed, BadName, HandProblem) as problem:
            known = f"is {repo} registered with the hub, and may this agent work in it?"
            yield Finding("clone", False, str(problem)[:500], known)
            return
        yield Finding("clone", True, f"{repo} at {made.base[:12]} of {made.branch}")
        branch = f"refs/heads/{by_hand.prefix(config)}doctor-{secrets.token_hex(4)}"
        try:
            await Git(made.directory / "git").run(
                "push",
                "--dry-run",
                "--no-verify",
                "--end-of-options",
                remote.url,
                f"{made.base}:{branch}",
                remote=remote,
            )
        except GitFailed as failed:
            yield Finding("push (dry run)", False, failed.message[:500], "the hub's log says why it was refused")
            return
        yield Finding("push (dry run)", True, "the hub would take a push of this agent's own branch")


async def _model(thinker: Thinker) -> Finding:
    """One call of a tool; and the whole trial of a model that costs nothing but time."""
    model = minds.model(thinker)
    try:
        made = await _tool_call(thinker, model)
        return await _trial(thinker, model, made) if made.works and thinker.executor == "ollama" else made
    except ModelFault as fault:
        return Finding(f"model {thinker.model}", False, f"{fault.code}: {fault.message}"[:500], _remedy(thinker, fault))
    finally:
        await model.close()


async def _tool_call(thinker: Thinker, model: Model) -> Finding:
    name = f"model {thinker.model}"
    dialect = _dialect(thinker)
    request = Request(
        system=prompts.system(dialect.instructions(SPECS)),
        turns=[Told(text=f"Call finish_task with these arguments: {json.dumps({'summary': WORD})}")],
        tools=dialect.specs(SPECS),
        max_tokens=600,
    )
    try:
        async with asyncio.timeout(FOR_A_MODEL):
            reply = await model.reply(request)
    except TimeoutError:
        return Finding(
            name, False, f"It did not answer within {FOR_A_MODEL:.0f} seconds.", f"ollama run {thinker.model}"
        )
    calls = dialect.read(reply, SPECS).calls
    if [(call.name, dict(call.arguments)) for call in calls] != [("finish_task", {"summary": WORD})]:
        return Finding(name, False, "It did not make the tool call that it was asked for.", ANOTHER_MODEL)
    return Finding(
        name, True, f"made a tool call in {reply.seconds:.1f} s, first word after {reply.first_seconds:.1f} s"
    )


async def _trial(thinker: Thinker, model: Model, made: Finding) -> Finding:
    """What `made` found, and how the trial goes in the dialect that the model is spoken to in."""
    try:
        async with asyncio.timeout(FOR_A_TRIAL):
            score = (await probe(model, [_dialect(thinker)], fill=False)).scores[0]
    except TimeoutError:
        return replace(made, detail=f"{made.detail}; its trial was not over after {FOR_A_TRIAL:.0f} seconds")
    detail = f"{made.detail}; trial: {score.in_words()}"
    return Finding(made.name, score.good, detail, "" if score.good else ANOTHER_MODEL)


def _dialect(thinker: Thinker) -> Dialect:
    return Native() if thinker.dialect == "native" else Fenced()


def _remedy(thinker: Thinker, fault: ModelFault) -> str:
    remedies = {
        "model_unauthorized": "put a key that works into config.json, under models",
        "model_server_too_old": "install an Ollama of 0.12.6 or later",
    }
    if thinker.executor == "ollama":
        remedies |= {
            "model_missing": f"ollama pull {thinker.model}",
            "model_unreachable": f"curl {thinker.url}/api/version",
        }
    return remedies.get(fault.code, "")


def _agent(command: AgentCommand, policy: Policy) -> Finding:
    try:
        check(command, policy)
    except NotReady as lack:
        return Finding(f"command {command.name}", False, str(lack), "see docs/agents.md")
    return Finding(f"command {command.name}", True, f"{command.argv[0]} can be started; it was not")
