"""What one agent on this machine is: its hub, its token, its limits. One file, readable by its owner only."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sidecar import atomic
from sidecar.wire.nouns import Name, Word

FILE = "config.json"
DEFAULT_HOME = "~/.agentcom"


class ConfigProblem(Exception):
    """The configuration is missing or wrong; the text says which file, which setting and what to do."""


def _address(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("the hub's address begins with http:// or https://")
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("the hub's address is a scheme, a host and perhaps a port and path, nothing else")
    if parts.port == 0:
        raise ValueError("port 0 is no port")
    return parts._replace(path=parts.path.rstrip("/")).geturl()


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Bounds(Settings):
    """How much one command may take, and how long things may wait. Seconds, and bytes."""

    memory_bytes: int = Field(default=4 * 1024**3, ge=64 * 1024**2)
    processes: int = Field(default=512, ge=16)
    file_bytes: int = Field(default=2 * 1024**3, ge=1024**2)
    fence_margin_seconds: float = Field(default=5.0, gt=0)
    drain_seconds: float = Field(default=30.0, ge=0)
    salvage_seconds: float = Field(default=20.0, ge=0)


class Config(Settings):
    """The settings of one agent. `sandbox` "off" is the operator's word that tasks may do what this user may do."""

    hub: Annotated[str, AfterValidator(_address)]
    name: Name
    token: str = Field(min_length=1, repr=False, pattern=r"^[!-~]+$")
    socket: str = Field(default="/agent", pattern=r"^/[!-~]*$")
    sandbox: Literal["bubblewrap", "off"] = "bubblewrap"
    capabilities: list[Word] = Field(default_factory=list, max_length=100)
    toolchains: list[Path] = Field(default_factory=list, max_length=50)
    limits: Bounds = Bounds()

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
