"""Goals for the bench: a repository, goals that are all but done, and a long past; run inside the hub's Django."""

from __future__ import annotations

import json
import time

from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from apps.brain import actions as brain
from apps.forge.verification import HUB
from apps.goals import merging
from apps.goals.merging import Incoming
from apps.goals.models import Goal, Merge, Plan, Slice
from apps.repos import actions as repos
from apps.repos import mirror
from apps.repos.models import Repo
from apps.repos.trusted import git
from apps.tasks.models import Task
from tests.bench.seed import AT_ONCE

CHECK = {"type": "command_succeeds", "target": "true", "description": "", "timeout_seconds": 60.0}
WHO = {"user.name": "bench", "user.email": "bench@agentcom.invalid"}
SETTLED = 4
"""Thoughts after which a hub that has nothing to do has gone where it stays."""


EVENTS = """
    INSERT INTO events_event (kind, subject, actor, data)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s)
    SELECT 'goal.merged', 'goal/' || (i %% 100000), '', {} FROM n
"""


def repository() -> None:
    """The repository `bench` with one commit, and its mirror."""
    repo = repos.register("", slug="bench", by="bench")
    git(repo.mirror, "update-ref", mirror.HEADS + repo.default_branch, _commit(repo, "begin", ""))


def nearly_done(count: int) -> None:
    """So many goals whose last slice waits for somebody to prove its merged tree; prints the tree of each commit."""
    repo = Repo.objects.get(slug="bench")
    base = mirror.head(repo.mirror, repo.default_branch)
    assert base is not None
    for number in range(count):
        _nearly_done(repo, number, base)
    print(json.dumps(dict(Merge.objects.filter(status="pending").values_list("commit", "tree"))))


def _nearly_done(repo: Repo, number: int, base: str) -> None:
    goal = Goal.objects.create(
        title=f"Bench {number}", repo=repo, status="executing", begun_at=Now(), base=base, checks=[CHECK]
    )
    goal.branch = f"agentcom/goal/{goal.pk}-bench"
    goal.save()
    git(repo.mirror, "update-ref", mirror.HEADS + goal.branch, base)
    Plan.objects.create(goal=goal, document={})
    task = Task.objects.create(title="Bench", command="true", executor="shell", status="completed", finished_at=Now())
    one = Slice.objects.create(goal=goal, number=1, title="Bench", task=task, handed=1)
    work = _commit(repo, f"work {goal.pk}", base)
    merging.begin(goal, Incoming(work, HUB, "Bench", slice=one))


def _commit(repo: Repo, text: str, parent: str) -> str:
    """A commit of one file that says `text`."""
    blob = git(repo.mirror, "hash-object", "-w", "--stdin", stdin=text.encode()).decode().strip()
    tree = git(repo.mirror, "mktree", stdin=f"100644 blob {blob}\tbench.txt\n".encode()).decode().strip()
    after = ["-p", parent] if parent else []
    return git(repo.mirror, "commit-tree", tree, *after, "-m", text, config=WHO).decode().strip()


def thoughts(times: int) -> None:
    """Prints the milliseconds that each of so many thoughts took, of a hub that stays where it is."""
    for _ in range(SETTLED):
        brain.think()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        brain.think()
        taken.append((time.perf_counter() - began) * 1000)
    print(json.dumps(taken))


def long(goals: int, events: int) -> None:
    """So many goals that ended, and so many events."""
    repo, now = Repo.objects.get(slug="bench"), timezone.now()
    ended = {"repo": repo, "finished_at": now, "begun_at": now}
    for start in range(0, goals, AT_ONCE):
        numbers = range(start, min(goals, start + AT_ONCE))
        Goal.objects.bulk_create(
            [Goal(title=f"Past {n}", status=("failed", "cancelled")[n % 2], **ended) for n in numbers]
        )
    facts = "'{}'" if connection.vendor == "sqlite" else "CAST('{}' AS jsonb)"
    with connection.cursor() as cursor:
        cursor.execute(EVENTS.format(facts), [events])
        cursor.execute("ANALYZE")
