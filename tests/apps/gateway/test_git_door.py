"""Who gets through the git door, and what an agent may push at this moment."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apps.agents import tokens
from apps.events.refused import Refused
from apps.gateway import git_door
from apps.tasks import attempts
from apps.tasks.models import Attempt
from tests import cast

pytestmark = pytest.mark.django_db


def test_an_agent_may_push_the_branch_of_its_open_attempt_and_its_own_salvage() -> None:
    ada = cast.agent("ada")
    first = cast.working(cast.queued_task("Fix it", repo=cast.repo("calc")))
    allowed = git_door.admission(ada, "calc")["allow"]

    assert {f"refs/heads/{first.branch}", f"refs/agentcom/salvage/{first.pk}"} == set(allowed)
    assert {} == git_door.admission(ada, "other")["allow"]
    assert {} == git_door.admission(cast.agent("bob"), "calc")["allow"]


def test_after_its_attempt_an_agent_may_only_salvage() -> None:
    ada = cast.agent("ada")
    attempt = cast.working(cast.queued_task(repo=cast.repo("calc")))
    attempts.fail(cast.fence(attempt), "command_failed", "")

    assert {f"refs/agentcom/salvage/{attempt.pk}"} == set(git_door.admission(ada, "calc")["allow"])


def test_salvage_is_remembered_only_for_the_agents_own_attempt() -> None:
    ada, bob = cast.agent("ada"), cast.agent("bob", online=False)
    attempt = cast.working(cast.queued_task(repo=cast.repo("calc")))
    moves = {f"refs/agentcom/salvage/{attempt.pk}": ("0" * 40, "a" * 40)}
    git_door.note_salvage(bob, moves)

    assert "" == cast.fresh(attempt).salvage_ref

    git_door.note_salvage(ada, moves)

    assert "a" * 40 == Attempt.objects.get(pk=attempt.pk).salvage_commit


@pytest.mark.parametrize(("scopes", "known"), [(["repos:read"], True), (["tasks:write"], False), ([], False)])
def test_people_fetch_with_a_token_that_may_read_repositories(scopes: list[str], known: bool) -> None:
    user = User.objects.create_user("ann", is_staff=True)
    _, secret = tokens.mint("integration", user=user, scopes=scopes, by="tests")

    assert known == (git_door.caller(secret) is not None)


async def test_people_push_nothing() -> None:
    with pytest.raises(Refused, match="only an agent pushes here"):
        await git_door._admit(git_door.Caller("ann"), "calc")


def test_a_restricted_agent_sees_only_its_repositories() -> None:
    mine, other = cast.repo("mine"), cast.repo("other")
    ada = cast.agent("ada")
    ada.restricted = True
    ada.repos.add(mine)

    assert mine.mirror == git_door._mirror_for(git_door.Caller("ada", ada), "mine")
    assert git_door._mirror_for(git_door.Caller("ada", ada), other.slug) is None
