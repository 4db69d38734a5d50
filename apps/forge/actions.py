"""What people do with a pull request: comment, approve, request changes, close. Merging is in merging.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record, transition
from apps.events.refused import Invalid, Refused
from apps.forge.landing import landed
from apps.forge.lifecycle import PullStatus
from apps.forge.models import Comment, PullRequest
from apps.forge.serial import alone
from apps.forge.staleness import call_off, stop, watchers
from apps.tasks.actions import Submission, submit
from apps.tasks.by_hand import HAND
from apps.tasks.models import Task, Work

HUB = "AgentCom"
MAX_BODY = 10_000
MAX_REMARKS = 50
Verdict = Comment.Verdict


class NoPerson(Refused):
    """Only an operator who is logged in, or a token of one, can decide about a pull request."""

    status = 403


class NotOpen(Refused):
    """The pull request is {status}."""


def is_person(user: Any) -> TypeGuard[User]:
    """Whether this is somebody who may decide: an active operator, never an agent."""
    return isinstance(user, User) and user.is_active and user.is_staff


def person(user: Any) -> User:
    """`user`, when it may decide; NoPerson otherwise."""
    if not is_person(user):
        raise NoPerson("no_person")
    return user


@transaction.atomic
def comment(pull: PullRequest, user: Any, body: str, *, path: str = "") -> Comment:
    """Say something; it goes to the agent with the next request for changes."""
    if not isinstance(user, User):
        raise NoPerson("no_person", "Only people take part in the discussion.")
    if not body.strip():
        raise Invalid("body", "Say something.")
    made = _say(pull, user, body, Verdict.COMMENT, path=path)
    record(Kind.PULL_COMMENTED, pull, tell=watchers(pull), actor=user.get_username(), comment=made.pk)
    return made


@transaction.atomic
def approve(pull: PullRequest, user: Any, body: str = "") -> Comment:
    """A person is content with the head as it is; said of another head it counts for nothing."""
    who = person(user)
    locked = _open(pull)
    made = _say(locked, who, body, Verdict.APPROVED)
    record(Kind.PULL_APPROVED, pull, tell=watchers(pull), actor=who.get_username(), head=locked.head)
    return made


def request_changes(pull: PullRequest, user: Any, body: str, *, path: str = "") -> Task:
    """Send it back: a follow-up task works on the same branch, with what was said about this head in its brief."""
    who = person(user)
    if not body.strip():
        raise Invalid("body", "Say what has to change; it is what the agent gets to read.")
    with alone(pull.repo), transaction.atomic():
        return _request_changes(pull, who, body, path)


def _request_changes(pull: PullRequest, who: User, body: str, path: str) -> Task:
    locked = _open(pull)
    made = _say(locked, who, body, Verdict.CHANGES_REQUESTED, path=path)
    task = _follow_up(locked, by=who.get_username())
    Comment.objects.filter(pk=made.pk).update(task=task)
    transition(
        pull, PullStatus.CHANGES_REQUESTED, Kind.PULL_CHANGES_REQUESTED, set={"updated_at": Now()},
        tell=watchers(pull), actor=who.get_username(), comment=made.pk, task=task.pk,
    )  # fmt: skip
    return task


def _follow_up(pull: PullRequest, *, by: str) -> Task:
    first = Task.objects.select_related("repo", "target").get(pk=pull.task_id)
    wanted = Submission(
        title=pull.title,
        description=pull.description,
        command=first.command,
        executor=HAND if first.executor == HAND else "",
        lane=first.lane,
        repo=first.repo,
        capabilities=first.capabilities,
        target=first.target,
        tier=_tier(pull, first),
        checks=pull.checks,
        success_criteria=pull.success_criteria,
        file_hints=pull.file_hints,
        remarks=[_remark(one) for one in _unanswered(pull)],
        metadata={**({} if pull.goal else first.metadata), "pull_request": pull.pk},
        goal=pull.goal,
        start=pull.branch,
        branch=pull.branch,
        max_attempts=first.max_attempts,
        max_fixes=first.max_fixes,
        timeout_seconds=first.timeout_seconds,
    )
    return submit(wanted, by=by)[0]


def _tier(pull: PullRequest, first: Task) -> str:
    """As somebody said; the whole of a goal is not what the last of its slices was."""
    if pull.goal is not None:
        return pull.tier
    return first.tier if first.complexity.get("explicit") else ""


def _unanswered(pull: PullRequest) -> list[Comment]:
    """What was said about the head as it is, the newest if it is too much; new work answers what came before it."""
    said = pull.comments.filter(head=pull.head, author__isnull=False).exclude(body="").order_by("-id")
    return list(reversed(said[:MAX_REMARKS]))


def _remark(said: Comment) -> Mapping[str, str]:
    return {"author": said.author_name, "body": said.body, "path": said.path}


def take_back(task: Task) -> None:
    """A follow-up came to nothing: the pull request stands as it was, and says so. Runs twice without harm."""
    pull = PullRequest.objects.filter(pk=task.metadata.get("pull_request")).first()
    if pull is None or pull.status != PullStatus.CHANGES_REQUESTED or _follow_ups(pull).exists():
        return
    why = f"The follow-up task #{task.pk} is {task.status}, and brought nothing new. {task.last_error}".strip()
    with transaction.atomic():
        Comment.objects.create(pull=pull, author_name=HUB, body=why[:MAX_BODY], head=pull.head, task=task)
        transition(
            pull, PullStatus.OPEN, Kind.PULL_RETURNED, set={"updated_at": Now()}, tell=watchers(pull), task=task.pk
        )


def _follow_ups(pull: PullRequest) -> Any:
    rows = Task.objects.filter(work=Work.CHANGE, finished_at__isnull=True, branch=pull.branch, repo=pull.repo_id)
    return rows.filter(metadata__pull_request=pull.pk)


def close(pull: PullRequest, user: Any, body: str = "") -> None:
    """End it without merging; the branch stays, and what is still going on for it is stopped."""
    who = person(user)
    with alone(pull.repo):
        if pull.status == PullStatus.OPEN and landed(pull):
            raise NotOpen("not_open", "Its work is in the base branch already; it cannot be closed without merging.")
        with transaction.atomic():
            if body.strip():
                _say(pull, who, body, Verdict.COMMENT)
            ended = {"ended_at": Now(), "updated_at": Now(), "ended_by": who}
            transition(
                pull,
                PullStatus.CLOSED,
                Kind.PULL_CLOSED,
                set=ended,
                tell=watchers(pull),
                actor=who.get_username(),
                goal=pull.goal,
            )
            call_off(pull)
            for task in _follow_ups(pull):
                stop(task, "The pull request was closed.")


def _open(pull: PullRequest) -> PullRequest:
    locked = PullRequest.objects.select_for_update().get(pk=pull.pk)
    if locked.status != PullStatus.OPEN:
        raise NotOpen("not_open", status=locked.status.replace("_", " "))
    return locked


def _say(pull: PullRequest, user: User, body: str, verdict: str, *, path: str = "") -> Comment:
    if len(body) > MAX_BODY:
        raise Invalid("body", f"At most {MAX_BODY} characters.")
    return Comment.objects.create(
        pull=pull, author=user, author_name=user.get_username()[:150], body=body, path=path, verdict=verdict,
        head=pull.head,
    )  # fmt: skip
