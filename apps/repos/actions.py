"""What people do with repositories: register, bring up to date, pause, resume, change their place and limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid, Refused
from apps.repos import checks, mirror, trusted
from apps.repos.mirror import MirrorMissing, Synced
from apps.repos.models import LOWEST_PLACE, SLUG, Repo
from apps.repos.trusted import GitFailed

TELL = ("dashboard",)
MOST_RUNNING = 1_000
MOST_PROTECTED = 100
MAX_SLUG = 64


class SlugTaken(Refused):
    """There is a repository called {slug} already."""


class NotReachable(Refused):
    """The repository could not be read: {reason}"""


class NothingUpstream(Refused):
    """{slug} has no upstream; the hub's own copy is the repository."""


def register(
    source: str = "",
    *,
    by: str,
    slug: str = "",
    default_branch: str = "",
) -> Repo:
    """Take in a repository and make its mirror; nothing is left behind when that fails.

    `source` is a URL, which becomes the upstream that merges are pushed back to (file:// among them); or an absolute
    path on the hub's disk, which is copied once, and the hub's copy is the repository from then on; or empty, for an
    empty repository. Raises Invalid for a field that cannot be used, SlugTaken, and NotReachable when git cannot read
    the source.
    """
    source = _source(source)
    copy = source.startswith("/")
    slug = _slug(slug or slug_of(source))
    branch = _branch(default_branch or "main")
    if Repo.objects.filter(slug=slug).exists():
        raise SlugTaken("slug_taken", slug=slug)
    repo = Repo(slug=slug, url="" if copy else source, default_branch=branch)
    if mirror.exists(repo.mirror):
        raise Refused("mirror_left", f"The hub's disk holds a repository called {slug} that is not registered.")
    try:
        repo.default_branch = _make_mirror(repo, source, named=bool(default_branch))
        _save(repo, by)
    except BaseException:
        if not Repo.objects.filter(slug=slug).exists():  # another registration of the same name may have won
            mirror.remove(repo.mirror)
        raise
    return repo


def _make_mirror(repo: Repo, source: str, *, named: bool) -> str:
    """The default branch that the new mirror has."""
    local = settings.LOCAL_REPOSITORIES
    try:
        mirror.create(repo.mirror, repo.url or None, repo.default_branch, allow_local=local)
        if not source:
            return repo.default_branch
        found = (
            mirror.sync(repo.mirror, repo.url, allow_local=local).default_branch
            if repo.url
            else mirror.seed(repo.mirror, Path(source))
        )
        branch = repo.default_branch if named else found
        if mirror.head(repo.mirror, branch) is None:
            raise Invalid("default_branch", f"The repository has no branch {branch}.")
    except GitFailed as failed:
        raise NotReachable("not_reachable", reason=failed.reason) from failed
    return branch


@transaction.atomic
def _save(repo: Repo, by: str) -> None:
    try:
        with transaction.atomic():
            repo.save(force_insert=True)
    except IntegrityError as taken:
        raise SlugTaken("slug_taken", slug=repo.slug) from taken
    if repo.url:
        Repo.objects.filter(pk=repo.pk).update(synced_at=Now())
    record(Kind.REPO_ADDED, repo, tell=TELL, actor=by, slug=repo.slug, url=trusted.without_passwords(repo.url))


def sync(repo: Repo) -> Synced:
    """Bring the mirror up to date with the upstream; REPO_SYNCED is recorded only if the default branch moved.

    Raises NothingUpstream, and NotReachable, which is also kept on the repository for its page.
    """
    if not repo.url:
        raise NothingUpstream("nothing_upstream", slug=repo.slug)
    before = mirror.head(repo.mirror, repo.default_branch)
    try:
        done = mirror.sync(repo.mirror, repo.url, allow_local=settings.LOCAL_REPOSITORIES)
    except (GitFailed, MirrorMissing) as failed:
        reason = failed.reason if isinstance(failed, GitFailed) else failed.message
        _sync_failed(repo, reason)
        raise NotReachable("not_reachable", reason=reason) from failed
    _synced(repo, before, mirror.head(repo.mirror, repo.default_branch), done)
    return done


@transaction.atomic
def _sync_failed(repo: Repo, reason: str) -> None:
    changed = Repo.objects.filter(pk=repo.pk).exclude(sync_error=reason[:1_000])
    if changed.update(sync_error=reason[:1_000]):  # the same failure again is no news
        record(Kind.REPO_SYNC_FAILED, repo, tell=(*TELL, "needs-you"), reason=reason[:500])


@transaction.atomic
def _synced(repo: Repo, before: str | None, now: str | None, done: Synced) -> None:
    diverged = repo.default_branch in done.diverged
    error = f"{repo.default_branch} has commits here that the upstream lacks, and the other way round." * diverged
    Repo.objects.filter(pk=repo.pk).update(synced_at=Now(), sync_error=error)
    repo.sync_error = error
    if before != now:
        record(Kind.REPO_SYNCED, repo, tell=TELL, branch=repo.default_branch, old=before, new=now)


def pause(repo: Repo, *, by: str) -> None:
    """Tasks of this repository wait; what is running goes on."""
    change(repo, by=by, paused=True)


def resume(repo: Repo, *, by: str) -> None:
    """Tasks of this repository run again."""
    change(repo, by=by, paused=False)


def change(repo: Repo, *, by: str, **fields: Any) -> None:
    """Set `paused`, `place`, `max_running`, `protected_paths`, `checks`, `approve_plans` or `default_branch`.

    Raises Invalid for what cannot be used.
    """
    for name, value in fields.items():
        _CHANGEABLE[name](repo, value)
    with transaction.atomic():
        now = Repo.objects.select_for_update().get(pk=repo.pk)
        different = {name: value for name, value in fields.items() if getattr(now, name) != value}
        if not different:
            return
        Repo.objects.filter(pk=repo.pk).update(**different)
        record(Kind.REPO_CHANGED, repo, tell=TELL, actor=by, **different)
    for name, value in different.items():
        setattr(repo, name, value)


def _check_flag(_: Repo, value: Any) -> None:
    if not isinstance(value, bool):
        raise Invalid("paused", "This is true or false.")


def _check_place(_: Repo, value: Any) -> None:
    if not isinstance(value, int) or not 0 <= value <= LOWEST_PLACE:
        raise Invalid("place", f"This is a number from 0 to {LOWEST_PLACE}.")


def _check_max_running(_: Repo, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or not 1 <= value <= MOST_RUNNING):
        raise Invalid("max_running", f"This is a number from 1 to {MOST_RUNNING}, or empty for any number.")


def _check_protected(_: Repo, value: Any) -> None:
    fits = isinstance(value, list) and len(value) <= MOST_PROTECTED
    if not fits or not all(isinstance(path, str) and 0 < len(path) <= 500 for path in value):
        raise Invalid("protected_paths", f"This is a list of at most {MOST_PROTECTED} paths.")


def _check_checks(_: Repo, value: Any) -> None:
    try:
        checks.read(value)
    except ValueError as wrong:
        raise Invalid("checks", str(wrong)) from wrong


def _check_approval(_: Repo, value: Any) -> None:
    if not isinstance(value, bool):
        raise Invalid("approve_plans", "This is true or false.")


def _check_branch(repo: Repo, value: Any) -> None:
    if mirror.head(repo.mirror, _branch(str(value))) is None:
        raise Invalid("default_branch", f"The repository has no branch {value}.")


_CHANGEABLE: dict[str, Callable[[Repo, Any], None]] = {
    "paused": _check_flag,
    "place": _check_place,
    "max_running": _check_max_running,
    "protected_paths": _check_protected,
    "checks": _check_checks,
    "approve_plans": _check_approval,
    "default_branch": _check_branch,
}


def slug_of(source: str) -> str:
    """A slug made of the last part of a URL or path; empty when nothing of it can be used."""
    path = urlsplit(source).path if "://" in source else source.rsplit(":", 1)[-1]
    last = path.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git").lower()
    return re.sub(r"[^a-z0-9_-]+", "-", last).strip("-_")[:MAX_SLUG]


def _slug(slug: str) -> str:
    if not slug:
        raise Invalid("slug", "The name cannot be taken from the address; give one.")
    try:
        SLUG(slug)
    except ValidationError as error:
        raise Invalid("slug", error.messages[0]) from error
    return slug


def _source(source: str) -> str:
    if not source:
        return ""
    try:
        return trusted.valid_url(source, allow_local=settings.LOCAL_REPOSITORIES)
    except trusted.Invalid as refused:
        raise Invalid("url", refused.message) from refused


def _branch(name: str) -> str:
    try:
        return trusted.valid_branch(name)
    except trusted.Invalid as refused:
        raise Invalid("default_branch", refused.message) from refused
