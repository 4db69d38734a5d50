"""Which hub, and with which token: from the environment, or from the file that `agentcom login` writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

HUB, TOKEN = "AGENTCOM_HUB", "AGENTCOM_TOKEN"
HOW = f"Run `agentcom login HUB`, or set {HUB} and {TOKEN}."


class AccountProblem(Exception):
    """Why no hub can be asked, in a sentence that says what to do."""


@dataclass(frozen=True)
class Account:
    """A hub's address, and a token of an integration there."""

    hub: str
    token: str


def file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where an account is kept."""
    base = environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(base) / "agentcom" / "cli.json"


def known(environ: Mapping[str, str] = os.environ) -> Account:
    """The account to use; the environment goes first. Raises AccountProblem."""
    kept = {} if environ.get(HUB) and environ.get(TOKEN) else _read(file(environ))
    hub, token = environ.get(HUB) or kept.get("hub", ""), environ.get(TOKEN) or kept.get("token", "")
    if not hub or not token:
        raise AccountProblem(f"No {'hub' if not hub else 'token'} is known. {HOW}")
    # A token goes to the hub that it is of, not to another one that the environment names.
    if environ.get(HUB) and not environ.get(TOKEN) and address(environ[HUB]) != kept.get("hub"):
        raise AccountProblem(f"{HUB} is not the hub you logged in to; set {TOKEN} too.")
    return Account(address(hub), token.strip())


def save(account: Account, environ: Mapping[str, str] = os.environ) -> Path:
    """Keep it for this user only, whole or not at all."""
    path = file(environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = path.with_suffix(f".{os.getpid()}")
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as out:
            json.dump({"hub": account.hub, "token": account.token}, out)
        fresh.replace(path)
    except OSError as problem:
        raise AccountProblem(f"{path} cannot be written: {problem.strerror}.") from problem
    return path


def address(text: str) -> str:
    """A hub's address as we use it. Raises AccountProblem."""
    text = text.strip()
    problem = AccountProblem(f"{text[:100]!r} is not the address of a hub, such as http://hub.example:8000.")
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port  # only reading it finds out whether it is one
        httpx.URL(parts.geturl())  # which will be called, and is stricter
    except (ValueError, httpx.InvalidURL) as error:
        raise problem from error
    is_place = parts.hostname and port != 0 and not any(char.isspace() or char == "@" for char in parts.netloc)
    if parts.scheme not in {"http", "https"} or not is_place or parts.query or parts.fragment:
        raise problem
    return parts.geturl().rstrip("/")


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as problem:
        raise AccountProblem(f"{path} cannot be read: {problem}. {HOW}") from problem
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}
