"""A person merges a pull request: refused unless the evidence speaks of exactly what the merge makes.

Git first, checked and movable by one compare-and-swap; then the database. In between the merge is kept under a ref, so
that after a crash at any point the next look writes down what is true (landing.py).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from apps.events.refused import Refused
from apps.forge import plain, scrutiny, verification
from apps.forge.actions import person
from apps.forge.landing import landed, record_merged, remember
from apps.forge.mergeable import Objection, Standing, objection
from apps.forge.models import PullRequest, Verification
from apps.forge.serial import alone
from apps.forge.verification import FOUND_IN_BASE, load
from apps.repos import actions as repos
from apps.repos import merge as git_merge
from apps.repos import mirror
from apps.repos.merge import Identity, Merged, Method
from apps.repos.trusted import GitFailed, git


class Unmergeable(Refused):
    """{sentence}"""


class UpstreamRefused(Refused):
    """The upstream did not take the merge, so nothing was moved: {reason}"""


def merge(pull: PullRequest, user: Any, *, method: Method = "merge") -> PullRequest:
    """Merge it into its base and, where there is one, the upstream. Idempotent over crashes.

    Raises NoPerson, Unmergeable (not open, conflict, blocked, evidence missing, pending, failed or stale; a stale one
    is asked for again), UpstreamRefused, NotReachable, Busy, or the named refusals of apps.repos.merge.
    """
    who = person(user)
    with alone(pull.repo):
        current = load(pull.pk)
        if current.repo.url:
            repos.sync(current.repo)
        _merge(current, who, method)
    return load(pull.pk)


def _merge(pull: PullRequest, who: User, method: Method) -> None:
    found = None if pull.is_final else landed(pull)
    if found is not None:
        record_merged(pull, found.commit, by=who, note="" if found.ours else FOUND_IN_BASE)
        return
    proven = latest(pull)
    if (why := objection(standing(pull, fresh=not pull.is_final))) is not None:
        _ask_again(pull, why, by=who.get_username())
        raise Unmergeable(why.code, sentence=why.sentence)
    made = git_merge.prepare(
        pull.repo.mirror, pull.base_branch, pull.head, method=method, message=message(pull, who, method),
        author=author(pull, who, method), committer=identity(who),
    )  # fmt: skip
    if proven is not None and (made.onto, made.tree) != (proven.base, proven.tree):
        verification.refresh(pull.pk, by=who.get_username())
        raise Unmergeable("verification_stale", sentence="The merge would not make the tree that was checked.")
    remember(pull, made.commit)
    _publish(pull, made)
    git_merge.land(pull.repo.mirror, made)
    record_merged(pull, made.commit, by=who, note=method)


def _publish(pull: PullRequest, made: Merged) -> None:
    """The upstream decides first: what it refuses is not merged here either."""
    repo = pull.repo
    if not repo.url:
        return
    try:
        mirror.push_back(
            repo.mirror, repo.url, pull.base_branch, made.commit, made.onto, allow_local=settings.LOCAL_REPOSITORIES
        )
    except GitFailed as failed:
        raise UpstreamRefused("upstream_refused", reason=failed.reason) from failed


def _ask_again(pull: PullRequest, why: Objection, *, by: str) -> None:
    """Stale or missing evidence is asked for at once; the refusal is what the person gets to hear either way."""
    if why.code in {"verification_stale", "verification_missing", "conflict"}:
        with contextlib.suppress(Refused):  # why it cannot be asked for is no answer to the request to merge
            verification.refresh(pull.pk, by=by)


def latest(pull: PullRequest) -> Verification | None:
    """The newest verification, whatever it speaks of."""
    return pull.verifications.first()


def standing(pull: PullRequest, *, fresh: bool = False) -> Standing:
    """What decides about merging; with `fresh`, conflicts and risk are read from the objects once more.

    What has ended stands on the base it ended on: that the branch goes on makes its evidence no older.
    """
    base = pull.base if pull.is_final else mirror.head(pull.repo.mirror, pull.base_branch) or ""
    proven = latest(pull)
    conflict, blocked = pull.conflict, bool(pull.stats.get("blocked", True))
    if fresh:
        seen = scrutiny.look(pull.repo, pull.base_branch, pull.head)
        now = scrutiny.columns(seen, pull, proven)
        conflict, blocked = now["conflict"], now["stats"]["blocked"]
    return Standing(
        status=pull.status,
        base=base,
        head=pull.head,
        has_checks=bool(pull.checks),
        verification=proven.status if proven else None,
        verified_base=proven.base if proven else "",
        verified_head=proven.head if proven else "",
        conflict=conflict,
        blocked=blocked,
    )


@dataclass(frozen=True)
class _Trailer:
    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}: {plain.one_line(self.value, 300)}"


def message(pull: PullRequest, who: User, method: Method) -> str:
    """The merge commit's message: what, why, and where it comes from; no forge acts on anything in it."""
    title = plain.inert(plain.one_line(pull.title, 160))
    subject = f"Merge !{pull.pk}: {title}" if method == "merge" else f"{title} (!{pull.pk})"
    reviewer = identity(who)
    trailers = [
        _Trailer("AgentCom-Task", str(pull.task_id)),
        _Trailer("AgentCom-Pull-Request", str(pull.pk)),
        _Trailer("AgentCom-Agent", pull.attempt.agent.name),
        _Trailer("Reviewed-by", f"{reviewer.name} <{reviewer.email}>"),
    ]
    body = plain.message_text(pull.description)
    return "\n\n".join(filter(None, [subject, body, "\n".join(map(str, trailers))]))


def identity(user: User) -> Identity:
    """Who a person is in commits; without an e-mail address one that leads nowhere."""
    name = "".join(c for c in user.get_full_name() or user.get_username() if c.isprintable() and c not in "<>").strip()
    email = user.email if user.email and user.email.isprintable() and not set("<> ") & set(user.email) else ""
    return Identity(name or f"operator {user.pk}", email or f"user-{user.pk}@agentcom.invalid")


def author(pull: PullRequest, who: User, method: Method) -> Identity:
    """A squash is the agent's work, so the head's author stays its author; a merge commit is the person's."""
    if method == "merge":
        return identity(who)
    out = git(pull.repo.mirror, "log", "-1", "--no-show-signature", "--format=%an%x1f%ae", pull.head, "--")
    name, _, email = out.decode("utf-8", "replace").strip().partition("\x1f")
    try:
        return Identity(name, email)
    except Refused:
        agent = pull.attempt.agent.name
        return Identity(agent, f"{agent}@agentcom.invalid")
