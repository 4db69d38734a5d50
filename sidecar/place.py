"""Asking the hub, over REST, for a place to push work that was done by hand, and for its pull request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from sidecar import __version__
from sidecar.checkout import HandProblem
from sidecar.config import Config

SECONDS = 90.0
"""The hub may wait a minute for a merge that goes on in the same repository."""


class HubRefused(HandProblem):
    """The hub's own sentence; `code` is its stable word for it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"The hub refused: {sentence}")
        self.code = code


@dataclass(frozen=True)
class Place:
    """A branch that may be pushed until `lease_seconds` from now, unless it is asked for again."""

    attempt: int
    lease_seconds: float


@dataclass(frozen=True)
class Pull:
    """A pull request, by number and address."""

    number: int
    url: str


def take(config: Config, *, repo: str, branch: str, title: str) -> Place:
    """Get the place, or keep it. Raises HubRefused or HandProblem."""
    found = _post(config, "/api/agent/pulls", {"repo": repo, "branch": branch, "title": title})
    return Place(int(found["attempt"]), float(found["lease_seconds"]))


def pushed(config: Config, place: Place, commit: str) -> Pull:
    """Say that the branch holds `commit` now. Raises HubRefused or HandProblem."""
    found = _post(config, f"/api/agent/pulls/{place.attempt}/pushed", {"commit": commit})
    return Pull(int(found["id"]), f"{config.hub}/pulls/{found['id']}")


def _post(config: Config, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {config.token}", "User-Agent": f"agentcom-sidecar/{__version__}"}
    try:
        with httpx.Client(trust_env=False, follow_redirects=False, timeout=SECONDS, headers=headers) as client:
            answer = client.post(config.hub + path, json=body)
            found = answer.json()
    except httpx.HTTPError as problem:
        raise HandProblem(f"{config.hub} cannot be reached: {problem}.") from None
    except ValueError:
        raise HandProblem(f"{config.hub} answers, but not as a hub does. Is the address right?") from None
    if answer.status_code != 200 or not isinstance(found, dict):
        raise _refusal(answer.status_code, found)
    return found


def _refusal(status: int, found: Any) -> HubRefused:
    said = found if isinstance(found, dict) else {}
    if isinstance(said.get("detail"), str):
        return HubRefused(str(said.get("code", "")), said["detail"])
    fields = [f"{name}: {why[0] if isinstance(why, list) and why else why}" for name, why in said.items()]
    return HubRefused("invalid", "; ".join(fields)[:500] or f"HTTP {status}")
