"""By hand what an attempt does by itself: a branch from the default branch, what it adds, and its pull request."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from sidecar import place
from sidecar.checkout import Checkout, Commit, HandProblem, Notes
from sidecar.config import Config
from sidecar.git import BadName, Remote
from sidecar.place import HubRefused, Pull

LONGEST_NAME = 40
TRIES = 3
"""How often a push that took longer than its place was kept is begun again."""
LOST = "attempt_over"
_REPO = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


@dataclass(frozen=True)
class Standing:
    """Where the work stands. `behind` is what the default branch has more, as of the last fetch."""

    branch: str
    notes: Notes
    commits: list[Commit]
    behind: int
    difference: str
    dirty: list[str]


def start(checkout: Checkout, config: Config, title: str, *, repo: str = "") -> str:
    """Check out a new branch for `title` from the hub's default branch as it is now; its name. Raises HandProblem."""
    title = " ".join(title.split())
    if not 1 <= len(title) <= 200:
        raise HandProblem("The title is one line of at most 200 characters.")
    _refuse_dirty(checkout)
    slug = _repo(checkout, repo)
    default = checkout.fetch_base(remote_of(config, slug))
    if not checkout.is_related():
        raise HandProblem(f"This checkout shares no history with {slug} on the hub. Say which one it is with --repo.")
    branch = prefix(config) + name_of(title)
    if checkout.says("show-ref", "--verify", f"refs/heads/{branch}") is not None:
        raise HandProblem(f"There is a branch {branch} already. Go on with it: git switch {branch}")
    checkout.begin(branch, Notes(slug, default, title))
    return branch


def standing(checkout: Checkout, config: Config) -> Standing:
    """What the current branch adds, without asking the hub. Raises HandProblem where `start` did not make it."""
    branch, notes = _mine(checkout, config)
    behind = int(checkout.git("rev-list", "--count", "HEAD..refs/agentcom/base"))
    return Standing(branch, notes, checkout.commits(), behind, checkout.difference(), checkout.dirty())


def submit(checkout: Checkout, config: Config, *, title: str = "", say: Callable[[str], None] = lambda _: None) -> Pull:
    """Push the branch and open its pull request, or bring that up to date. Raises HandProblem."""
    branch, notes = _mine(checkout, config)
    _refuse_dirty(checkout)
    remote = remote_of(config, notes.repo)
    checkout.fetch_base(remote)
    commits = checkout.commits()
    if not commits:
        raise HandProblem(f"{branch} adds no commit to {notes.default}: there is nothing to submit.")
    if checkout.submitted(branch) == checkout.head:
        raise HandProblem(f"{branch} is submitted as it is; there is no new commit.")
    for odd in [commit for commit in commits if not commit.conventional]:
        say(f"warning: {odd.short} {odd.subject!r} does not begin like `fix: ` or `feat: `")
    return _deliver(checkout, config, branch, notes, title=title or notes.title)


def _deliver(checkout: Checkout, config: Config, branch: str, notes: Notes, *, title: str) -> Pull:
    commit, remote = checkout.head, remote_of(config, notes.repo)

    def ask() -> place.Place:
        return place.take(config, repo=notes.repo, branch=branch, title=title)

    for left in reversed(range(TRIES)):
        mine = ask()
        checkout.push(commit, branch, remote, every=mine.lease_seconds / 4, meanwhile=ask)
        try:
            pull = place.pushed(config, mine, commit)
        except HubRefused as refused:
            if refused.code != LOST or not left:
                raise
        else:
            checkout.mark_submitted(branch, commit)
            return pull
    raise AssertionError("the last try returns or raises")


def remote_of(config: Config, repo: str) -> Remote:
    """The hub's copy of `repo`."""
    try:
        return Remote(f"{config.hub}/git/{repo}.git", config.token)
    except BadName as wrong:
        raise HandProblem(str(wrong)) from wrong


def prefix(config: Config) -> str:
    """What every branch made by hand begins with."""
    return f"agentcom/{config.name}/by-hand-"


def name_of(title: str) -> str:
    """Lower-case ASCII words joined by dashes, at most 40 characters. Raises HandProblem when nothing is left."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-")
    if not name:
        raise HandProblem("The title needs a Latin letter or a digit, for the branch is named after it.")
    return name


def _mine(checkout: Checkout, config: Config) -> tuple[str, Notes]:
    branch = checkout.branch
    notes = checkout.notes(branch) if branch else None
    begin = "Begin with: agentcom-sidecar git start TITLE"
    if not branch:
        raise HandProblem(f"No branch is checked out, only a commit. {begin}")
    if notes is None:
        raise HandProblem(f"{branch} is not a branch of work by hand. {begin}")
    if not branch.startswith(prefix(config)):
        raise HandProblem(f"{branch} belongs to another agent than {config.name}. Say which with --name.")
    return branch, notes


def _repo(checkout: Checkout, asked: str) -> str:
    """The slug on the hub: as asked, or as the address of `origin` ends."""
    origin = checkout.says("config", "remote.origin.url") or ""
    slug = asked or re.split(r"[/:]", origin.rstrip("/"))[-1].removesuffix(".git").lower()
    if not _REPO.match(slug):
        raise HandProblem("Say which of the hub's repositories this is: --repo SLUG")
    return slug


def _refuse_dirty(checkout: Checkout) -> None:
    if dirty := checkout.dirty():
        more = f"\n  and {len(dirty) - 20} more" if len(dirty) > 20 else ""
        files = "".join(f"\n  {line}" for line in dirty[:20])
        raise HandProblem(f"There is work here that is not committed:{files}{more}\nCommit it, or put it away.")
