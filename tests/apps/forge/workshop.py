"""A real repository in a real mirror, and work pushed to it the way a sidecar would."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.utils.module_loading import import_string
from django_q.models import OrmQ
from django_q.signing import SignedPackage

from apps.forge.models import PullRequest, Verification
from apps.repos import actions as repos
from apps.repos import mirror
from apps.tasks import attempts
from apps.tasks.models import Attempt, Task
from tests import cast

CHECK = {"type": "command_succeeds", "target": "make test", "description": "", "timeout_seconds": 60.0}
UNHOOKED = "--receive-pack=git -c core.hooksPath=/dev/null receive-pack"
"""A push past the hooks that keep everybody out who does not come by the gateway."""
_at = itertools.count(1_700_000_000)


def run_git(where: Path, *args: str, name: str = "Somebody") -> str:
    moment = f"{next(_at)} +0000"
    env = {
        "PATH": os.environ["PATH"], "HOME": str(where), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment,
        "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": f"{name.lower()}@agentcom.invalid",
        "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": f"{name.lower()}@agentcom.invalid",
    }  # fmt: skip
    done = subprocess.run(["git", *args], cwd=where, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def drain() -> None:
    """Run the queued jobs, and those that they queue, until there are none: what the cluster does, in this process."""
    while (row := OrmQ.objects.order_by("id").first()) is not None:
        job = SignedPackage.loads(row.payload)
        row.delete()
        import_string(job["func"])(*job["args"])


SOME = {"README": "one\ntwo\nthree\n", "tests/test_it.py": "assert True\n"}


class Workshop:
    """The repository `sample` with a work tree beside it to make commits in, and the verbs of an agent."""

    def __init__(self, root: Path, *, upstream: bool = False, files: Mapping[str, str] = SOME) -> None:
        self.tree = root / "tree"
        self.tree.mkdir()
        run_git(self.tree, "init", "-q", "-b", "main")
        self.write(files)
        run_git(self.tree, "commit", "-q", "-m", "Begin")
        self.upstream = root / "upstream.git" if upstream else None
        if self.upstream is not None:
            run_git(root, "clone", "-q", "--bare", str(self.tree), str(self.upstream))
            self.repo = repos.register(f"file://{self.upstream}", slug="sample", by="tests")
        else:
            self.repo = repos.register(str(self.tree), slug="sample", by="tests")
        self.mirror = self.repo.mirror

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, text in files.items():
            target = self.tree / name
            if text is None:
                target.unlink()
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
        run_git(self.tree, "add", "-A")

    def push(self, attempt: Attempt, files: Mapping[str, str | None]) -> str:
        """Commit `files` on the attempt's branch as its agent, and put it into the mirror."""
        start = attempt.task.start or "main"
        run_git(self.tree, "fetch", "-q", str(self.mirror), f"refs/heads/{start}")
        run_git(self.tree, "checkout", "-q", "--detach", "FETCH_HEAD")
        self.write(files)
        run_git(self.tree, "commit", "-q", "-m", f"fix: {attempt.task.title}", name=attempt.agent.name)
        run_git(self.tree, "push", "-q", UNHOOKED, str(self.mirror), f"HEAD:refs/heads/{attempt.branch}")
        return run_git(self.tree, "rev-parse", "HEAD")

    def commit_upstream(self, files: Mapping[str, str | None]) -> str:
        """Somebody else's commit on the upstream's main."""
        run_git(self.tree, "fetch", "-q", str(self.upstream), "main")
        run_git(self.tree, "checkout", "-q", "--detach", "FETCH_HEAD")
        self.write(files)
        run_git(self.tree, "commit", "-q", "-m", "Elsewhere")
        run_git(self.tree, "push", "-q", str(self.upstream), "HEAD:refs/heads/main")
        return run_git(self.tree, "rev-parse", "HEAD")

    def task(self, title: str = "", **wanted: Any) -> Task:
        wanted.setdefault("checks", [CHECK])
        return cast.queued_task(title, repo=self.repo, **wanted)

    def deliver(self, task: Task, files: Mapping[str, str | None]) -> Attempt:
        """An agent takes the task, pushes `files` and reports that its checks pass."""
        attempt = Attempt.objects.select_related("task", "agent").get(pk=cast.working(task).pk)
        commit = self.push(attempt, files)
        tree = mirror.tree_of(self.mirror, commit)
        result = {"commit": commit, "branch": attempt.branch, "tree": tree, "output": "done\n", "model": "shell"}
        attempts.complete(cast.fence(attempt), result, [cast.report(task.checks, commit=commit, tree=tree)])
        return cast.fresh(attempt)

    def opened(self, files: Mapping[str, str | None], title: str = "", **wanted: Any) -> PullRequest:
        """A pull request whose verification is asked for."""
        task = self.task(title, **wanted)
        self.deliver(task, files)
        drain()
        return PullRequest.objects.get(task=task)

    def verify(self, pull: PullRequest, status: str = "pass", **facts: Any) -> Verification:
        """An agent takes the pending verification of `pull` and reports `status`."""
        pending = Verification.objects.get(pull=pull, status="pending")
        assert pending.task is not None
        attempt = cast.working(pending.task)
        said = {"commit": pending.commit, "tree": pending.tree, "sandbox": "bubblewrap", **facts}
        attempts.complete(cast.fence(attempt), {}, [cast.report(pending.task.checks, status, **said)])
        drain()
        return cast.fresh(pending)

    def verified(self, files: Mapping[str, str | None], title: str = "", **wanted: Any) -> PullRequest:
        """A pull request whose checks passed once more."""
        pull = self.opened(files, title, **wanted)
        self.verify(pull)
        return cast.fresh(pull)

    def commit(self, files: Mapping[str, str | None]) -> str:
        """Somebody's commit on the default branch."""
        run_git(self.tree, "fetch", "-q", str(self.mirror), "refs/heads/main")
        run_git(self.tree, "checkout", "-q", "--detach", "FETCH_HEAD")
        self.write(files)
        run_git(self.tree, "commit", "-q", "-m", "Elsewhere")
        run_git(self.tree, "push", "-q", UNHOOKED, str(self.mirror), "HEAD:refs/heads/main")
        return run_git(self.tree, "rev-parse", "HEAD")

    def main(self) -> str:
        found = mirror.head(self.mirror, "main")
        assert found is not None
        return found

    def shown(self, name: str) -> str:
        return run_git(self.mirror, "show", f"main:{name}")
