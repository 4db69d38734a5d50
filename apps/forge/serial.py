"""One merge at a time in a repository, across all processes of the hub; what changes a pull request waits for it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator

from apps.events.refused import Refused
from apps.repos.mirror import MirrorMissing, exists
from apps.repos.models import Repo

PATIENCE = 10.0


class Busy(Refused):
    """Another merge into {slug} is going on; try again in a moment."""


@contextlib.contextmanager
def alone(repo: Repo, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the repository's lock, which the kernel lets go of when the process dies. Busy after `patience` seconds.

    Take it before any transaction, never inside one: whoever holds it writes to the database.
    """
    if not exists(repo.mirror):
        raise MirrorMissing("mirror_missing", name=repo.slug)
    with (repo.mirror / "agentcom.lock").open("w") as handle:
        deadline = time.monotonic() + patience
        while not _locked(handle.fileno()):
            if time.monotonic() > deadline:
                raise Busy("repo_busy", slug=repo.slug)
            time.sleep(0.05)
        yield


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
