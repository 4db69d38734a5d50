"""A hub at work, for pictures and for tests of pages: every state is reached by the steps that lead to it in life.

Only for a database of its own. Needs git; the repository's mirror is made in the data directory.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models import F
from django.utils import timezone

from apps.agents import presence
from apps.agents.models import Agent
from apps.brain import actions as brain
from apps.dashboard import scene_files as files
from apps.dashboard import scene_goals, scene_health
from apps.events.kinds import Kind
from apps.events.models import Event
from apps.forge import actions as forge
from apps.forge import jobs, merging
from apps.forge.models import Comment, PullRequest, Verification
from apps.goals.models import Goal, Merge, Slice
from apps.ops.models import Alert, Remedy
from apps.repos import actions as repos
from apps.repos.models import Repo
from apps.tasks import attempts
from apps.tasks.actions import Submission, submit
from apps.tasks.attempts import Fence
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Lane, Task

TESTS_PASS = {"type": "tests_pass", "target": "", "description": "", "timeout_seconds": 120.0}
CLEAN = {"type": "git_clean", "target": "", "description": "", "timeout_seconds": 30.0}
LINT = {"type": "command_succeeds", "target": "ruff check parcel", "description": "", "timeout_seconds": 60.0}


def git(where: Path, *words: str) -> str:
    """Run git in a directory of ours, away from anybody's configuration; what it printed."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(where),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "gentle-persistence",
        "GIT_AUTHOR_EMAIL": "gentle-persistence@agentcom.invalid",
        "GIT_COMMITTER_NAME": "AgentCom",
        "GIT_COMMITTER_EMAIL": "sidecar@agentcom.invalid",
    }
    done = subprocess.run(["git", *words], cwd=where, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass
class Scene:
    """The operator, the agents, the repository, and what happened to it so far."""

    operator: User
    repo: Repo
    checkout: Path
    agents: dict[str, Agent] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    def agent(self, name: str, *, capabilities: Sequence[str] = (), **facts: Any) -> Agent:
        """Connect one; its presence outlasts the scene."""
        made = Agent.objects.create(name=name)
        shown = {
            "executors": ["shell", "verify"],
            "offers": [],
            "capabilities": list(capabilities),
            "sandbox": "bubblewrap",
            "sandbox_detail": "",
            "software": "agentcom-sidecar 0.1.0",
            "host": files.WORKBENCH,
        }
        presence.join(made, f"scene-{name}", {**shown, **facts})
        Agent.objects.filter(pk=made.pk).update(seen_at=timezone.now() + timedelta(days=1))  # nobody sends its pulse
        self.agents[name] = made
        return made

    def task(self, key: str, title: str, **wanted: Any) -> Task:
        """Hand one in; it goes to an idle agent at once if there is one."""
        wanted.setdefault("command", "python tools/apply.py")
        wanted.setdefault("checks", [TESTS_PASS, LINT, CLEAN])
        made, _ = submit(Submission(title=title, repo=self.repo, **wanted), by=self.operator.get_username())
        self.ids[key] = made.pk
        return made

    def start(self, task: Task, *, steps: Sequence[tuple[int, str, str]] = ()) -> Attempt:
        """An agent takes it and reports `steps` of (seconds, kind, text)."""
        match()
        attempt = Attempt.objects.open().get(task=task)
        fence = Fence(task.pk, attempt.pk, attempt.agent_id)
        attempts.accept(fence)
        if steps:
            told = [{"at_ms": at * 1000, "kind": kind, "text": text} for at, kind, text in steps]
            attempts.progress(fence, 1, told)
        return attempt

    def push(self, attempt: Attempt, changes: Mapping[str, str]) -> dict[str, Any]:
        """Commit `changes` to the attempt's branch in the mirror; the result as a sidecar reports it."""
        base = git(self.checkout, "rev-parse", "origin/main")
        git(self.checkout, "checkout", "-q", "-B", attempt.branch, "origin/main")
        write(self.checkout, changes)
        git(self.checkout, "add", "-A")
        git(self.checkout, "commit", "-q", "-m", f"fix: {attempt.task.title}")
        # A push would be judged by the mirror's hook, which asks for a sidecar's token.
        git(self.repo.mirror, "fetch", "-q", str(self.checkout), f"+HEAD:refs/heads/{attempt.branch}")
        commit, tree = git(self.checkout, "rev-parse", "HEAD", "HEAD^{tree}").split()
        numbers = [line.split("\t") for line in git(self.checkout, "diff", "--numstat", base, commit).splitlines()]
        stat = {
            "files": len(numbers),
            "added": sum(int(n[0]) for n in numbers),
            "deleted": sum(int(n[1]) for n in numbers),
        }
        return {
            "executor": "shell", "summary": "", "output": "", "exit_code": 0, "runs": 1, "duration_ms": 41_300,
            "base": base, "commit": commit, "tree": tree, "branch": attempt.branch, "diff": stat,
        }  # fmt: skip

    def finish(self, attempt: Attempt, result: Mapping[str, Any], outputs: Sequence[str] = files.PASSED) -> None:
        """It reports that every check passed."""
        report = passed(attempt.task, outputs, commit=result["commit"], tree=result["tree"])
        attempts.complete(Fence(attempt.task_id, attempt.pk, attempt.agent_id), result, [report])

    def fail(self, attempt: Attempt, outputs: Sequence[str]) -> None:
        """It reports that the first check did not pass."""
        report = passed(attempt.task, outputs)
        report["status"] = report["checks"][0]["status"] = "fail"
        fence = Fence(attempt.task_id, attempt.pk, attempt.agent_id)
        attempts.fail(fence, "verification_failed", "", {"executor": "shell", "exit_code": 0}, [report])

    def pull(self, key: str, task: Task, changes: Mapping[str, str], *, verified: bool = True) -> PullRequest:
        """Work through a task until its pull request is open, and verified if wanted."""
        attempt = self.start(task, steps=files.STEPS)
        self.finish(attempt, self.push(attempt, changes))
        jobs.take_result(task.pk)
        opened = PullRequest.objects.get(task=task)
        self.ids[key] = opened.pk
        if verified:
            self.verify(opened)
        return opened

    def verify(self, pull: PullRequest) -> None:
        """Another agent repeats the checks."""
        asked = pull.verifications.select_related("task").get(status="pending")
        assert asked.task is not None
        attempt = self.start(asked.task)
        report = passed(asked.task, files.PASSED, commit=asked.commit, tree=asked.tree)
        fence = Fence(asked.task.pk, attempt.pk, attempt.agent_id)
        attempts.complete(fence, {"executor": "verify", "commit": asked.commit, "tree": asked.tree}, [report])
        jobs.take_result(asked.task.pk)

    def passed(self, task: Task, **facts: Any) -> dict[str, Any]:
        """A report in which every check of `task` passed."""
        return passed(task, files.PASSED, **facts)

    def merge(self, pull: PullRequest) -> None:
        """The operator merges, and everybody's checkout follows."""
        merging.merge(pull, self.operator)
        git(self.checkout, "fetch", "-q", "origin")


def passed(task: Task, outputs: Sequence[str], **facts: Any) -> dict[str, Any]:
    """A report in which the checks of `task` passed, with these outputs."""
    texts = [*outputs, *[""] * len(task.checks)]
    ran = [
        {
            "type": check["type"],
            "target": check["target"],
            "status": "pass",
            "output": text,
            "duration_ms": 400 + 900 * at,
        }
        for at, (check, text) in enumerate(zip(task.checks, texts, strict=False))
    ]
    return {"status": "pass", "checks": ran, "sandbox": "bubblewrap", "duration_ms": 2_900, **facts}


def write(where: Path, contents: Mapping[str, str]) -> None:
    """Write files below a directory."""
    for name, text in contents.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def open_scene(where: Path) -> Scene:
    """The operator and the repository, nothing else yet; `where` takes a checkout."""
    operator = User.objects.create_user("ada", password=None, is_staff=True, is_superuser=True)
    source = Path(tempfile.mkdtemp(dir=where))
    git(source, "init", "-q", "-b", "main")
    write(source, files.START)
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "feat: Prices for parcels")
    repo = repos.register(str(source), by="ada", slug="parcel")
    checkout = where / "checkout"
    git(where, "clone", "-q", str(repo.mirror), str(checkout))
    return Scene(operator, repo, checkout)


def age(seconds_per_step: int = 130) -> None:
    """Move the past into the past, so that not everything happened just now: each task is older than the next.

    What runs was handed in a moment before it was taken up, and a goal before its first slice.
    """
    newest = Task.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    running = set(Attempt.objects.open().values_list("task", flat=True))
    ages = {
        pk: RUNNING_FOR if pk in running else timedelta(seconds=seconds_per_step * (newest - pk) + 150)
        for pk in Task.objects.values_list("pk", flat=True)
    }
    for task in Task.objects.all():
        _age_task(task, ages[task.pk])
    for goal in Goal.objects.order_by("-pk"):
        _age_goal(goal, max([ages[task.pk] for task in Task.objects.filter(goal=goal.pk)], default=timedelta()), ages)

    _shift(Alert.objects.all(), timedelta(minutes=6), "raised_at", "last_seen_at")
    _shift(Remedy.objects.all(), timedelta(minutes=5), "at")


RUNNING_FOR = timedelta(seconds=94)
PLANNED_IN = timedelta(minutes=3)


def _age_task(task: Task, ago: timedelta) -> None:
    _shift(Task.objects.filter(pk=task.pk), ago, "created_at", "queued_at", "finished_at")
    spent = timedelta(seconds=47 + task.pk % 5 * 13)
    tries = Attempt.objects.filter(task=task)
    _shift(tries.filter(ended_at__isnull=False), ago + spent, "assigned_at", "accepted_at")
    _shift(tries.filter(ended_at__isnull=True), ago, "assigned_at", "accepted_at")
    _shift(tries, ago, "ended_at")
    _shift(Event.objects.filter(subject=f"task/{task.pk}"), ago, "at")
    for pull in PullRequest.objects.filter(task=task):
        _shift(PullRequest.objects.filter(pk=pull.pk), ago, "opened_at", "updated_at", "ended_at")
        subjects = [f"pullrequest/{pull.pk}", *(f"verification/{one.pk}" for one in pull.verifications.all())]
        _shift(Event.objects.filter(subject__in=subjects), ago, "at")
        _shift(Comment.objects.filter(pull=pull), ago - timedelta(seconds=30), "at")
        _shift(Verification.objects.filter(pull=pull), ago, "requested_at", "ended_at")


def _age_goal(goal: Goal, work: timedelta, ages: Mapping[int, timedelta]) -> None:
    """It was handed in before its `work` began; each of its merges is as old as the task that checked it."""
    ago = work + PLANNED_IN + timedelta(minutes=2)
    _shift(Goal.objects.filter(pk=goal.pk), ago, "created_at", "begun_at")
    events = Event.objects.filter(subject=f"goal/{goal.pk}")
    _shift(events.filter(kind__in=(Kind.GOAL_SUBMITTED, Kind.GOAL_BEGUN)), ago, "at")
    _shift(events.filter(kind__in=(Kind.GOAL_PLANNED, Kind.GOAL_APPROVAL_WANTED)), work + timedelta(minutes=2), "at")
    for merge in Merge.objects.filter(goal=goal, task__isnull=False):
        checked = ages[merge.task_id or 0]
        _shift(Merge.objects.filter(pk=merge.pk), checked, "at", "ended_at")
        _shift(events.filter(kind=Kind.GOAL_MERGED), checked, "at")
        if merge.slice_id is not None:
            _shift(Slice.objects.filter(pk=merge.slice_id), checked, "merged_at")


def _shift(rows: Any, by: timedelta, *columns: str) -> None:
    for column in columns:
        rows.filter(**{f"{column}__isnull": False}).update(**{column: F(column) - by})


def busy_hub(where: Path) -> Scene:
    """The whole picture: merged, waiting for review, running, stranded and dead work, and agents of all kinds."""
    scene = open_scene(where)
    scene_health.registry(scene)
    for title, lane in files.QUEUED:
        scene.task(title, title, lane=lane, capabilities=["gpu"])
    scene.agent("gentle-persistence", capabilities=["python"], **files.WITH_A_MODEL)
    scene.agent("exit-status-zero", capabilities=["python", "docs"], restarts=[files.ATTIC])
    merged = scene.pull("merged", scene.task("rounding", "Round prices half up", lane=Lane.HIGH), files.ROUNDING)
    scene.merge(merged)
    dead = scene.task("dead", "Read week dates like 2026-W07-3", max_attempts=1, description=files.WEEK_WHY)
    scene.fail(scene.start(dead, steps=files.STEPS), files.WEEK_OUTPUT)
    scene.task("stranded", "Show the week in the delivery report", depends_on=[dead.pk])
    second = scene.task("zones", "Look zones up in a table instead of a chain of ifs", description=files.ZONES_WHY)
    scene.pull("waiting", second, files.ZONES)
    first = scene.task("weights", "Refuse negative and absurd weights", description=files.WEIGHTS_WHY, lane=Lane.HIGH)
    opened = scene.pull("pull", first, files.WEIGHTS)
    forge.comment(opened, scene.operator, files.SAID)
    forge.approve(opened, scene.operator, "")
    scene.agent("only-slightly-bent", capabilities=["python"], **files.WITH_A_MODEL)
    scene_goals.goals_of(scene)
    scene_goals.work_on(scene, "goal", 2, 3)
    scene.agent("in-due-course", capabilities=["docs"])
    running = scene.task("running", "Make the price table load twice as fast", description=files.RUNNING_WHY)
    scene.start(running, steps=files.RUNNING_STEPS)
    scene.agent("borrowed-certainty", sandbox="off", host={"hostname": "old-laptop", "system": "Linux", "cpus": 4})
    scene.start(scene.task("docs", "Explain surcharges in the README", lane=Lane.LOW), steps=files.DOCS_STEPS)
    scene.start(scene.task("typing", "Type the public functions"), steps=files.TYPING_STEPS)
    away = scene.agent("less-is-quite-enough")
    presence.leave(away, "scene-less-is-quite-enough")
    Agent.objects.filter(pk=away.pk).update(seen_at=timezone.now() - timedelta(hours=2))
    scene_health.troubles(scene, where)
    brain.think()
    age()
    return scene
