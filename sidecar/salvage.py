"""What an attempt leaves behind goes to a ref of the hub, or stays here until it can.

A hub that cannot be reached is waited for. Work that git cannot record is tried a few times, work that the hub says no
to for a day; then it is abandoned: its tree is removed and the reason logged. Kept, it would be tried for ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sidecar.discard import discard
from sidecar.git import GitFailed, Remote
from sidecar.patience import away
from sidecar.publish import Author, NotPublished, commit_tree, push
from sidecar.tree import NotAWork, disarm, free_name, survey
from sidecar.workspace import Workspace

logger = logging.getLogger(__name__)

_KEPT = "kept"
_NAME_BYTES = 200
_NAMES = 1_000
MOST_BYTES = 200 * 1024**2
"""Of new and changed files that are saved: what the hub takes in one push, unless its operator says otherwise."""
MOST_TRIES = 5
"""So often the recording of a tree may fail."""
MOST_REFUSALS = 144
"""So often the hub may say no, every ten minutes: perhaps it is a disk or a limit of its own that is being mended."""


@dataclass(frozen=True)
class Salvager:
    """Who the commits of a salvage are by when the attempt's own identity is not known any more."""

    name: str = "AgentCom salvage"
    email: str = "salvage@agentcom.invalid"


@dataclass(frozen=True)
class Salvaged:
    """What became of the leftovers: on `ref` as `commit`, `kept` or `abandoned` for a reason, or nothing was left."""

    ref: str = ""
    commit: str = ""
    kept: str = ""
    abandoned: str = ""


def salvage_ref(attempt: int) -> str:
    """Where the hub takes the leftovers of an attempt."""
    return f"refs/agentcom/salvage/{attempt}"


async def salvage(workspace: Workspace, *, remote: Remote, author: Author | None = None) -> Salvaged:
    """Push what differs from the base to the salvage ref, then remove the workspace; on failure keep and mark it.

    Never raises for what git or the hub says: the reason is in the answer, and `pending` lists what is kept. Failures
    are counted, those for want of the hub excepted, and the last one allowed removes the workspace unsaved.
    """
    try:
        done = await _push(workspace, remote, author or Salvager())
    except (GitFailed, NotPublished, NotAWork, OSError) as problem:
        if not workspace.tree.is_dir():
            await workspace.remove()
            return Salvaged()
        return await _keep(workspace, problem)
    await workspace.remove()
    return done


async def _keep(workspace: Workspace, problem: Exception) -> Salvaged:
    marker = workspace.directory / _KEPT
    reason = str(problem)
    # Only a push is for want of the hub: git's own commands can be late as well.
    pushing = isinstance(problem, NotPublished)
    tries = _tries(marker) + (0 if pushing and away(reason) else 1)
    about = {"attempt": workspace.attempt, "reason": reason, "tries": tries}
    if tries >= (MOST_REFUSALS if pushing else MOST_TRIES):
        logger.error("salvage abandoned", extra=about)
        await workspace.remove()
        return Salvaged(abandoned=reason)
    logger.warning("salvage postponed", extra=about)
    marker.write_text(json.dumps({"tries": tries, "reason": reason}))
    return Salvaged(kept=reason)


def _tries(marker: Path) -> int:
    """How often it has failed so far; a marker that says nothing of it is an older sidecar's."""
    try:
        return int(json.loads(marker.read_text())["tries"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


async def shrink(workspace: Workspace) -> None:
    """Remove at once what a salvage would not save: the hub may be away for long, and the disk is wanted.

    Raises GitFailed, NotAWork, OSError.
    """
    await _make_recordable(workspace)
    for path in await workspace.ignored_paths():
        await asyncio.to_thread(discard, workspace.tree / path)


async def _make_recordable(workspace: Workspace) -> None:
    found = await asyncio.to_thread(survey, workspace.tree)
    found = found.without(await workspace.ignored(found))
    await asyncio.to_thread(disarm, workspace.tree, found)
    await asyncio.to_thread(_leave_out_the_large, workspace, found.large)
    if found.size > MOST_BYTES:
        await asyncio.to_thread(_leave_out_the_rest, workspace.tree, await workspace.changed())


async def _push(workspace: Workspace, remote: Remote, author: Author) -> Salvaged:
    await _make_recordable(workspace)
    tree = await _recorded(workspace)
    if tree == workspace.base_tree:
        return Salvaged()
    git = workspace.git
    text = f"chore: salvage of attempt {workspace.attempt}\n\nAgentCom-Attempt: {workspace.attempt}\n"
    commit = await commit_tree(git, tree=tree, parent=workspace.base, message=text, author=author)
    ref = salvage_ref(workspace.attempt)
    await push(git, commit, ref, remote)
    return Salvaged(ref=ref, commit=commit)


async def _recorded(workspace: Workspace) -> str:
    """The hash of the tree. Where git cannot follow the attributes in it, the files are saved byte for byte."""
    try:
        return await workspace.snapshot()
    except GitFailed:
        workspace.record_unconverted()
        return await workspace.snapshot()


def _leave_out_the_large(workspace: Workspace, large: list[Path]) -> None:
    """The hub would refuse the whole push for one file that is too large; name it and save the rest."""
    for path in large:
        place = workspace.tree / path
        name = os.fsdecode(os.fsencode(place.name)[:_NAME_BYTES])
        place.with_name(f"{name}.left-out").write_text(f"{place.stat().st_size} bytes were left out.\n")
        place.unlink()


def _leave_out_the_rest(tree: Path, changed: list[tuple[int, Path]]) -> None:
    """Save the small files of a work that is too large as a whole, and say which were left out."""
    room = MOST_BYTES
    left_out = []
    for size, path in sorted(changed):
        room -= size
        if room < 0:
            (tree / path).unlink(missing_ok=True)
            left_out.append(f"{size} bytes: {os.fsencode(path).decode('utf-8', 'backslashreplace')}\n")
    if left_out:
        note = f"{len(left_out)} files were left out.\n" + "".join(left_out[:_NAMES])
        free_name(tree / "left-out.txt").write_text(note)


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
