"""How this machine becomes an agent: look whether it can work, redeem the operator's code, write the settings down.

Everything that can go wrong without the code is tried before the code is spent. Run again with the same code, it
goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sidecar import __version__, config, discover
from sidecar.config import Config, ConfigProblem, Thinker
from sidecar.sandbox import Level, Policy, detect

OLDEST_GIT = (2, 31)
"""The first git that takes configuration, and so the token, from the environment."""
ANSWER_SECONDS = 15.0
_JOINED = "joined-with"


class JoinProblem(Exception):
    """Why this machine did not become an agent, in a sentence that says what to do."""


@dataclass(frozen=True)
class Enrolled:
    """The hub's answer to a good code."""

    agent: str
    token: str
    socket: str


def join(
    hub: str,
    code: str,
    *,
    name: str | None = None,
    base: Path | None = None,
    sandbox: str = "bubblewrap",
    models: Sequence[str] | None = (),
    say: Callable[[str], None] = lambda _: None,
) -> Config:
    """Make this machine an agent of `hub` and say each step. Raises JoinProblem or ConfigProblem.

    `models` names those of the Ollama here that are tried; the first few when empty, none when None.
    """
    hub = config.hub_address(hub)
    base = base or config.home()
    say(f"git {check_git()}")
    level = check_sandbox(sandbox)
    say(f"sandbox: {level.name}. {level.reason}")
    already = _earlier(base, code, name)
    check_hub(hub)
    say(f"hub: {hub} answers")
    if already is not None:
        say(f"this code has made this machine {already.name} before; going on from there")
        return already
    check_writable(base)
    thinkers = [] if models is None else asyncio.run(_thinkers(say, models))
    enrolled = redeem(hub, code, name or "")
    say(f"enrolled as {enrolled.agent}")
    made = _settings(hub, enrolled, sandbox).model_copy(update={"models": thinkers})
    root = config.root_of(enrolled.agent, base)
    path = config.save(root, made)
    (root / _JOINED).write_text(_digest(code))
    say(f"settings: {path}")
    return made


async def _thinkers(say: Callable[[str], None], wanted: Sequence[str]) -> list[Thinker]:
    return [*await discover.local_models(say, wanted=wanted), *await discover.claude(say)]


def check_git() -> str:
    """The version of git here. Raises JoinProblem when it is missing or too old."""
    program = shutil.which("git")
    if program is None:
        raise JoinProblem("git is not installed. Install it, for example: apt install git")
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)*", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GIT:
        have = found[0] if found else "unknown"
        raise JoinProblem(f"git {have} is too old; it takes {'.'.join(map(str, OLDEST_GIT))} or later.")
    return found[0]


def check_sandbox(wanted: str) -> Level:
    """How commands will be confined. Raises JoinProblem when they cannot be and the operator did not opt out."""
    if wanted not in {"bubblewrap", "off"}:
        raise JoinProblem(f"The sandbox is bubblewrap or off, not {wanted!r}.")
    level = detect(Policy(sandbox="off" if wanted == "off" else "bubblewrap"))
    if level.name == "none":
        hint = f" {level.hint}" if level.hint else ""
        raise JoinProblem(f"{level.reason}{hint} Or, if every task may do whatever this user may do: --sandbox off")
    return level


def check_writable(base: Path) -> None:
    """Raises JoinProblem when the settings could not be written, for then the code would be lost."""
    try:
        base.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=base):
            return
    except OSError as problem:
        raise JoinProblem(f"Settings cannot be written under {base}: {problem}.") from problem


def check_hub(hub: str) -> None:
    """Raises JoinProblem when no hub answers there."""
    answer = _ask("GET", f"{hub}/api/health", hub)
    if answer.status_code != 200:
        raise JoinProblem(f"{hub} answers, but not as a hub does (HTTP {answer.status_code}). Is the address right?")


def redeem(hub: str, code: str, name: str) -> Enrolled:
    """Spend the code. Raises JoinProblem with the hub's reason."""
    asked = {"code": code.strip(), **({"name": name} if name else {})}
    answer = _ask("POST", f"{hub}/api/enrol", hub, json=asked)
    found = _json_of(answer)
    if answer.status_code != 201:
        raise JoinProblem(_refusal(answer.status_code, found))
    try:
        return Enrolled(agent=found["agent"], token=found["token"], socket=found.get("socket") or "/agent")
    except KeyError as missing:
        raise JoinProblem(f"The hub's answer lacks {missing}: is it a hub of this version?") from missing


def _ask(method: str, url: str, hub: str, **kwargs: Any) -> httpx.Response:
    try:
        with httpx.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=ANSWER_SECONDS,
            headers={"User-Agent": f"agentcom-sidecar/{__version__}", "Accept": "application/json"},
        ) as client:
            return client.request(method, url, **kwargs)
    except httpx.TimeoutException:
        raise JoinProblem(f"{hub} did not answer within {ANSWER_SECONDS:.0f} seconds.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise JoinProblem(f"{hub} cannot be reached: {problem}. Is the address right, and the hub running?") from None


def _json_of(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(status: int, found: dict[str, Any]) -> str:
    """The hub's words: a refusal with a sentence, or complaints by field."""
    detail = found.get("detail")
    if isinstance(detail, str) and detail:
        return f"The hub refused: {detail}"
    fields = [f"{name}: {_first(said)}" for name, said in found.items() if name not in {"code_", "detail"}]
    if fields:
        return f"The hub refused: {'; '.join(fields)[:500]}"
    return f"The hub refused (HTTP {status})."


def _first(said: Any) -> str:
    return str(said[0]) if isinstance(said, list) and said else str(said)


def _settings(hub: str, enrolled: Enrolled, sandbox: str) -> Config:
    try:
        return Config(
            hub=hub,
            name=enrolled.agent,
            token=enrolled.token,
            socket=enrolled.socket,
            sandbox="off" if sandbox == "off" else "bubblewrap",
        )
    except ValueError:
        raise JoinProblem("The hub's answer cannot be used: its agent name, token or socket is malformed.") from None


def _earlier(base: Path, code: str, name: str | None) -> Config | None:
    """The settings that this very code has led to before. Raises JoinProblem for a name that is taken here."""
    for agent in config.agents_in(base):
        root = config.root_of(agent, base)
        mark = root / _JOINED
        if mark.exists() and mark.read_text().strip() == _digest(code):
            return config.load(root)
    if name and (config.root_of(name, base) / config.FILE).exists():
        raise JoinProblem(f"There is an agent called {name} on this machine already; choose another name.")
    return None


def _digest(code: str) -> str:
    return hashlib.sha256(re.sub(r"[\s-]", "", code).upper().encode()).hexdigest()


__all__ = ["ConfigProblem", "Enrolled", "JoinProblem", "join"]
