"""Git's pre-receive hook in the hub's mirrors: one refused reference or file refuses the whole push.

Git runs it with what was pushed still in quarantine; `GitHttp` says in the environment what this agent may push now.
Without that nothing is admitted. Only the standard library: it starts once per push, outside the hub.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, isolated from everybody's packages

from apps.repos.admission import (
    DIRECTORY,
    GITLINK,
    MAX_LINK_BYTES,
    SYMLINK,
    Admission,
    BadAdmission,
    Entry,
    Update,
    refuse_count,
    refuse_entry,
    refuse_history,
    refuse_update,
    shown,
)

ADMISSION = "AGENTCOM_ADMISSION"
TIMEOUT = 120.0
_OVERRIDES = ("-c", "core.hooksPath=" + os.devnull, "-c", "core.fsmonitor=false")


class RefusedPush(Exception):
    """The push is not admitted; the message is the sentence that the pusher reads."""


def main() -> int:
    """The exit status for git: 0 admits the push, 1 refuses it and has said why."""
    try:
        admission = Admission.read(os.environ.get(ADMISSION, ""))
    except BadAdmission:
        return _refuse("this repository takes pushes only through the hub.")
    try:
        judge([Update.read(line) for line in sys.stdin], admission)
    except RefusedPush as refused:
        return _refuse(str(refused))
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        return _refuse(f"the hub could not look at the push ({type(error).__name__}).")
    return 0


def judge(updates: list[Update], admission: Admission) -> None:
    """Look at everything the push would change. RefusedPush with the first reason against it."""
    for update in updates:
        _raise(refuse_update(update, admission))
    for update in updates:
        commits = _new_commits(update, admission.max_commits)
        _raise(
            refuse_history(
                update,
                admission,
                is_commit=_git("cat-file", "-t", update.new).strip() == b"commit",
                forward=update.creates or _is_ancestor(update.old, update.new),
                on_base=_on_base(update, admission),
                commits=len(commits),
            )
        )
        if not update.salvage:
            _judge_files(commits, admission)


def _judge_files(commits: list[str], admission: Admission) -> None:
    """Every commit counts, not the last alone: what one adds and the next removes is merged with both."""
    changed = list(_changes(commits))
    _raise(refuse_count(len({path for path, _, _ in changed}), admission))
    sizes = _sizes({blob for _, mode, blob in changed if mode not in {GITLINK, DIRECTORY}})
    for path, mode, blob in changed:
        size = sizes.get(blob, 0)
        target = _link_target(blob, size) if mode == SYMLINK else None
        _raise(refuse_entry(Entry(path=path, mode=mode, size=size, target=target), admission))


def _on_base(update: Update, admission: Admission) -> bool:
    base = admission.allow[update.ref].base
    return base is None or _is_ancestor(base, update.new)


def _new_commits(update: Update, limit: int) -> list[str]:
    # Salvaged work is kept unseen, so it does not make a commit known: only branches do.
    out = _git("rev-list", f"--max-count={limit + 1}", update.new, "--not", "--branches")
    return out.decode().split()


def _changes(commits: list[str]) -> Iterator[tuple[str, int, str]]:
    """Path, mode and object of all that the commits add or change."""
    if not commits:
        return
    out = _git(
        "diff-tree", "--stdin", "-r", "-m", "--root", "--no-renames", "--raw", "--no-abbrev", "-z", "--no-commit-id",
        "--no-ext-diff", stdin="\n".join(commits).encode() + b"\n",
    )  # fmt: skip
    fields = iter(out.split(b"\0"))
    for head in fields:
        if not head.startswith(b":"):
            continue
        _, mode, _, blob, status = head.decode().split(" ")
        path = next(fields).decode("utf-8", "surrogateescape")
        if status != "D":
            yield path, int(mode, 8), blob


def _sizes(blobs: set[str]) -> dict[str, int]:
    if not blobs:
        return {}
    out = _git("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin="\n".join(sorted(blobs)).encode() + b"\n")
    return {name: int(size) for name, size in (line.split(" ") for line in out.decode().splitlines())}


def _link_target(blob: str, size: int) -> str | None:
    if size > MAX_LINK_BYTES:
        return None
    return _git("cat-file", "blob", blob).decode("utf-8", "surrogateescape")


def _is_ancestor(older: str, newer: str) -> bool:
    return _run("merge-base", "--is-ancestor", older, newer).returncode == 0


def _git(*args: str, stdin: bytes = b"") -> bytes:
    done = _run(*args, stdin=stdin)
    done.check_returncode()
    return done.stdout


def _run(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["git", *_OVERRIDES, *args], input=stdin, capture_output=True, timeout=TIMEOUT, check=False
    )  # fmt: skip


def _raise(reason: str | None) -> None:
    if reason is not None:
        raise RefusedPush(reason)


def _refuse(reason: str, write: Callable[[str], object] = sys.stderr.write) -> int:
    write(f"agentcom: refused: {shown(reason) if len(reason) < 100 else reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
