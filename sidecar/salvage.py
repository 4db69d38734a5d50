"""Nothing is thrown away: what an attempt leaves behind goes to a ref of the hub, or stays here until it can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sidecar.git import GitFailed, Remote
from sidecar.publish import Author, NotPublished, commit_tree, push
from sidecar.tree import NotAWork, disarm, survey
from sidecar.workspace import Workspace, discard

logger = logging.getLogger(__name__)

_KEPT = "kept"


@dataclass(frozen=True)
class Salvager:
    """Who the commits of a salvage are by when the attempt's own identity is not known any more."""

    name: str = "AgentCom salvage"
    email: str = "salvage@agentcom.invalid"


@dataclass(frozen=True)
class Salvaged:
    """What became of the leftovers: on `ref` as `commit`, or `kept` here with the reason, or nothing was left."""

    ref: str = ""
    commit: str = ""
    kept: str = ""


def salvage_ref(attempt: int) -> str:
    """Where the hub takes the leftovers of an attempt."""
    return f"refs/agentcom/salvage/{attempt}"


async def salvage(workspace: Workspace, *, remote: Remote, author: Author | None = None) -> Salvaged:
    """Push what differs from the base to the salvage ref, then remove the workspace; on failure keep and mark it.

    Never raises for what git or the hub says: the reason is in the answer, and `pending` lists what is kept.
    """
    try:
        done = await _push(workspace, remote, author or Salvager())
    except (GitFailed, NotPublished, NotAWork, OSError) as problem:
        if not workspace.tree.is_dir():
            await workspace.remove()
            return Salvaged()
        reason = str(problem)
        logger.warning("salvage postponed", extra={"attempt": workspace.attempt, "reason": reason})
        (workspace.directory / _KEPT).write_text(reason)
        return Salvaged(kept=reason)
    await workspace.remove()
    return done


async def _push(workspace: Workspace, remote: Remote, author: Author) -> Salvaged:
    found = await asyncio.to_thread(survey, workspace.tree)
    found = found.without(await workspace.ignored(found))
    await asyncio.to_thread(disarm, workspace.tree, found)
    await asyncio.to_thread(_leave_out_the_large, workspace, found.large)
    tree = await workspace.snapshot()
    if tree == workspace.base_tree:
        return Salvaged()
    git = workspace.git
    text = f"chore: salvage of attempt {workspace.attempt}\n\nAgentCom-Attempt: {workspace.attempt}\n"
    commit = await commit_tree(git, tree=tree, parent=workspace.base, message=text, author=author)
    ref = salvage_ref(workspace.attempt)
    await push(git, commit, ref, remote)
    return Salvaged(ref=ref, commit=commit)


def _leave_out_the_large(workspace: Workspace, large: list[Path]) -> None:
    """The hub would refuse the whole push for one file that is too large; name it and save the rest."""
    for path in large:
        place = workspace.tree / path
        place.with_name(f"{place.name}.left-out").write_text(f"{place.stat().st_size} bytes were left out.\n")
        place.unlink()


def pending(root: Path, *, busy: Collection[int] = ()) -> list[Workspace]:
    """Workspaces on disk that nobody works in, oldest attempt first; `busy` are the attempts in hand.

    After a crash these are the attempts that ran; after a failed salvage those that were kept. What never got as far
    as having a base holds no work and is removed here.
    """
    home = root / "attempts"
    numbers = sorted(int(entry.name) for entry in home.iterdir() if entry.name.isdigit()) if home.is_dir() else []
    found = []
    for number in numbers:
        if number in busy:
            continue
        workspace = Workspace.reopen(root, number)
        if workspace is None:
            discard(home / str(number))
        else:
            found.append(workspace)
    return found
