"""What one agent on this machine is: its hub, its token, its limits. One file, readable by its owner only."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sidecar import atomic
from sidecar.wire.nouns import Name, Trial, Word

FILE = "config.json"
DEFAULT_HOME = "~/.agentcom"


class ConfigProblem(Exception):
    """The configuration is missing or wrong; the text says which file, which setting and what to do."""


def _address(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("the address begins with http:// or https://")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("the address is a scheme, a host and perhaps a port and path, nothing else")
    if parts.port == 0:
        raise ValueError("port 0 is no port")
    return parts._replace(path=parts.path.rstrip("/")).geturl()


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(Settings):
    """How much one command may take, and how long things may wait. Seconds, and bytes.

    `tree_bytes` is for all that the commands of an attempt leave in its tree, `free_bytes` what must stay free of the
    disk for them to run; 0 is not to look.
    """

    memory_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)
    processes: int = Field(default=512, ge=16)
    file_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    tree_bytes: int = Field(default=16 * 1024**3, ge=1024**2)
    free_bytes: int = Field(default=1024**3, ge=0)
    fence_margin_seconds: float = Field(default=5.0, gt=0)
    drain_seconds: float = Field(default=30.0, ge=0)
    salvage_seconds: float = Field(default=20.0, ge=0)


class Thinker(Settings):
    """One model that this machine can use, as the trial at joining found it. `context` in tokens.

    `grade` is what routing rules speak of: local, claude, or a word of the operator's own. `key` is for endpoints that
    want one. `digest` tells one build of a model from the next. From its trial are `tokens_per_second`, `trials`, and
    `context_measured` (prompt tokens that were really there).
    """

    executor: Literal["ollama", "claude"]
    model: str = Field(min_length=1, max_length=200)
    url: Annotated[str, AfterValidator(_address)]
    grade: Word = "local"
    context: int = Field(default=8_192, ge=2_048)
    dialect: Literal["native", "fenced"] = "native"
    think: bool | Literal["low", "medium", "high"] = False
    temperature: float | None = Field(default=None, ge=0, le=2)
    answer_tokens: int = Field(default=4_096, ge=256)
    digest: str = Field(default="", max_length=200)
    tokens_per_second: float = Field(default=0.0, ge=0)
    context_measured: int = Field(default=0, ge=0)
    trials: list[Trial] = Field(default_factory=list, max_length=50)
    key: str = Field(default="", repr=False)


def _plain(word: str) -> str:
    if "\0" in word:
        raise ValueError("a NUL character can be given to no program")
    return word


def _program(argv: list[str]) -> list[str]:
    name = argv[0]
    if not name or name.startswith("-") or "{" in name or ("/" in name and not Path(name).expanduser().is_absolute()):
        raise ValueError("the first word is a program: a bare name or an absolute path, never one of the repository's")
    return [str(Path(name).expanduser()) if "/" in name else name, *argv[1:]]


def _grantable(name: str) -> str:
    if name in {"HOME", "PATH"} or name.startswith(("LD_", "GLIBC_", "MALLOC_", "GCONV_", "AGENTCOM_")):
        raise ValueError(
            "this variable is the sandbox's own; for files in HOME there is `home`, for programs `read_only`"
        )
    return name


Argument = Annotated[str, AfterValidator(_plain)]
Address = Annotated[str, StringConstraints(max_length=200), AfterValidator(_address)]
RestartCommand = Annotated[list[Argument], Field(min_length=1, max_length=200), AfterValidator(_program)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), AfterValidator(_grantable)]
OFFERS = 50
"""So many models and commands together fit into what the hub is told of an agent."""


class AgentCommand(Settings):
    """An agent CLI of the operator's that can be the worker. `name` and `grade` are what the hub knows it by.

    `argv` is started as it is, without a shell; `{brief_file}`, `{prompt_file}` and `{tree}` in it become paths. `env`
    are variables and their values, `pass_env` names those of the sidecar's own that it gets; the values of both are
    kept out of whatever it prints. `network` shares this machine's whole network with it. `read_only` are directories
    that it needs to see, `home` is one whose files it finds in its HOME, as a copy of its own for each run. Within
    `start_seconds` it is told whether it came to life.

    `protocol` is how it is told its task: by files, or by the Agent Client Protocol (ACP) over its standard input and
    output. `permissions` is what an agent that speaks ACP is answered when it asks; nobody else is ever asked.
    """

    name: Name
    argv: Annotated[list[Argument], Field(min_length=1, max_length=200), AfterValidator(_program)]
    grade: Word = "local"
    env: dict[Variable, Argument] = Field(default_factory=dict, max_length=100, repr=False)
    pass_env: list[Variable] = Field(default_factory=list, max_length=100)
    network: bool = False
    read_only: list[Path] = Field(default_factory=list, max_length=50)
    home: Path | None = None
    start_seconds: float = Field(default=10.0, gt=0, le=10)
    protocol: Literal["files", "acp"] = "files"
    permissions: Literal["allow", "reject"] = "allow"


class Config(Settings):
    """The settings of one agent. `sandbox` "off" is the operator's word that tasks may do what this user may do.

    `hub_endpoints` is whether models are also asked at addresses that the hub tells of; false: only those in `models`.
    `restarts` names, for the address of an endpoint, the command that restarts it, a list of words; run without a shell
    when an operator asks for it on the hub.
    """

    hub: Annotated[str, AfterValidator(_address)]
    name: Name
    token: str = Field(min_length=1, repr=False, pattern=r"^[!-~]+$")
    socket: str = Field(default="/agent", pattern=r"^/[!-~]*$")
    sandbox: Literal["bubblewrap", "off"] = "bubblewrap"
    capabilities: list[Word] = Field(default_factory=list, max_length=100)
    toolchains: list[Path] = Field(default_factory=list, max_length=50)
    limits: Bounds = Bounds()
    models: list[Thinker] = Field(default_factory=list, max_length=OFFERS)
    hub_endpoints: bool = True
    commands: list[AgentCommand] = Field(default_factory=list, max_length=20)
    restarts: dict[Address, RestartCommand] = Field(default_factory=dict, max_length=50, repr=False)

    @model_validator(mode="after")
    def _offers_can_be_told_apart(self) -> Config:
        names = [command.name for command in self.commands]
        if len(set(names)) < len(names):
            raise ValueError("two commands have the same name")
        if len(names) + len(self.models) > OFFERS:
            raise ValueError(f"models and commands together are at most {OFFERS}")
        return self

    @property
    def socket_address(self) -> str:
        """Where the WebSocket is."""
        return "ws" + self.hub.removeprefix("http") + self.socket


def hub_address(text: str) -> str:
    """A hub's address as it is kept; `http://` may be left out. Raises ConfigProblem."""
    try:
        return _address(text.strip())
    except ValueError as wrong:
        raise ConfigProblem(f"{text!r} is no hub: {wrong}.") from wrong


def home() -> Path:
    """Where the agents of this machine live: AGENTCOM_ROOT, or `~/.agentcom`."""
    return Path(os.environ.get("AGENTCOM_ROOT") or DEFAULT_HOME).expanduser()


def root_of(name: str, base: Path | None = None) -> Path:
    """The directory of one agent. Raises ConfigProblem for a name that is none."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise ConfigProblem(f"{name!r} is no agent's name: lower-case letters, digits, dots, dashes and underscores.")
    return (base or home()) / name


def agents_in(base: Path | None = None) -> list[str]:
    """The names of the agents configured on this machine."""
    return sorted(path.parent.name for path in (base or home()).glob(f"*/{FILE}"))


def choose(name: str | None, base: Path | None = None) -> Path:
    """The root of the agent meant: the named one, or the only one there is. Raises ConfigProblem."""
    if name:
        return root_of(name, base)
    found = agents_in(base)
    if len(found) == 1:
        return root_of(found[0], base)
    if not found:
        where = base or home()
        raise ConfigProblem(f"No agent is set up under {where}. Begin with: agentcom-sidecar join HUB --code CODE")
    raise ConfigProblem(f"There are several agents here ({', '.join(found)}): say which one with --name.")


def load(root: Path) -> Config:
    """Read the settings of the agent at `root`. Raises ConfigProblem."""
    path = root / FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigProblem(f"There is no {path}. Begin with: agentcom-sidecar join HUB --code CODE") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise ConfigProblem(f"{path} cannot be read: {problem}.") from problem
    if path.stat().st_mode & 0o077:
        raise ConfigProblem(f"{path} holds a token and others can read it. Run: chmod 600 {path}")
    try:
        return Config.model_validate_json(text)
    except ValidationError as wrong:
        raise ConfigProblem(f"{path} is not right: {explain(wrong)}") from wrong


def save(root: Path, config: Config) -> Path:
    """Write the settings, readable by their owner only; the path written."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = root / FILE
    atomic.write(path, (json.dumps(config.model_dump(mode="json"), indent=2) + "\n").encode())
    return path


def explain(wrong: ValidationError) -> str:
    """What is wrong in one line, without the values, for one of them is the token."""
    said = [(".".join(map(str, one["loc"])) or "file", one["msg"]) for one in wrong.errors(include_input=False)]
    return "; ".join(f"{where}: {what}" for where, what in said[:5])
