"""What happens to a default branch in the tests: somebody pushes, an agent reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.insight.models import Checkup
from apps.repos import mirror
from apps.tasks import attempts
from tests import cast
from tests.apps.forge.workshop import Workshop, drain, run_git

LINT = {"type": "command_succeeds", "target": "make lint", "description": "", "timeout_seconds": 60.0}


def push(workshop: Workshop, files: Mapping[str, str | None] | None = None) -> str:
    """Somebody's commit on the default branch of a repository that is only here; its head afterwards."""
    run_git(workshop.tree, "fetch", "-q", str(workshop.mirror), "main")
    run_git(workshop.tree, "checkout", "-q", "--detach", "FETCH_HEAD")
    workshop.write(files or {"README": f"{workshop.main()}\n"})
    run_git(workshop.tree, "commit", "-q", "-m", "Elsewhere")
    no_hooks = "--receive-pack=git -c core.hooksPath=/dev/null receive-pack"
    run_git(workshop.tree, "push", "-q", no_hooks, str(workshop.mirror), "HEAD:refs/heads/main")
    return workshop.main()


def report(workshop: Workshop, *failing: str, status: str = "fail", **facts: Any) -> Checkup:
    """An agent runs the checks of the pending checkup; those with the targets given end with `status`."""
    pending = Checkup.objects.get(status="pending")
    assert pending.task is not None
    attempt = cast.working(pending.task)
    ran = [
        {**check, "status": status if check["target"] in failing else "pass", "output": f"{check['target']}: no\n"}
        for check in pending.task.checks
    ]
    tree = mirror.tree_of(workshop.mirror, pending.commit)
    worst = status if failing else "pass"
    said = {"status": worst, "checks": ran, "commit": pending.commit, "tree": tree, "sandbox": "bubblewrap", **facts}
    attempts.complete(cast.fence(attempt), {}, [said])
    drain()
    return cast.fresh(pending)
