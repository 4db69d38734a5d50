"""Work done by hand becomes a pull request by the same fence as any other, and its sidecar never hears of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from apps.agents import tokens
from apps.agents.models import Agent
from apps.forge import actions
from apps.forge.models import PullRequest
from apps.gateway import inbound, outbound
from apps.gateway.git_door import admission
from apps.gateway.outbound import Told
from apps.repos import actions as repos
from apps.tasks import waiting
from apps.tasks.attempts import Fence, reclaim
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Task
from sidecar.wire import messages, nouns
from tests import cast
from tests.apps.forge.workshop import Workshop, drain, run_git

pytestmark = pytest.mark.django_db
BRANCH = "agentcom/ada/by-hand-sort-imports"
CHANGE = {"README": "one\n2\nthree\n"}


@pytest.fixture
def ada(agents: tuple[Agent, Agent]) -> Agent:
    return agents[0]


@pytest.fixture
def client(ada: Agent) -> APIClient:
    made = APIClient()
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.mint('agent', agent=ada, by='tests')[1]}")
    return made


def ask(client: APIClient, branch: str = BRANCH, **others: Any) -> Any:
    wanted = {"repo": "sample", "branch": branch, "title": "Sort imports", **others}
    return client.post("/api/agent/pulls", wanted, format="json")


def push(workshop: Workshop, place: Any, files: dict[str, str]) -> str:
    return workshop.push(Attempt.objects.select_related("task", "agent").get(pk=place["attempt"]), files)


def say(client: APIClient, place: Any, commit: str) -> Any:
    return client.post(f"/api/agent/pulls/{place['attempt']}/pushed", {"commit": commit}, format="json")


def submitted(workshop: Workshop, client: APIClient, files: dict[str, str]) -> Any:
    place = ask(client).json()
    return say(client, place, push(workshop, place, files)).json()


def test_a_place_is_pushed_to_and_becomes_a_pull_request(workshop: Workshop, client: APIClient, ada: Agent) -> None:
    place = ask(client).json()
    assert {f"refs/heads/{BRANCH}"} <= set(admission(ada, "sample")["allow"])
    commit = push(workshop, place, CHANGE)
    pull = say(client, place, commit).json()
    drain()

    assert ("Sort imports", BRANCH, commit, "ada", "open") == (
        pull["title"], pull["branch"], pull["head"], pull["agent"], pull["status"]
    )  # fmt: skip
    task = Task.objects.get(pk=place["task"])
    assert ("completed", "hand", "ada") == (task.status, task.executor, task.submitted_by)
    assert [pull["id"]] == list(PullRequest.objects.values_list("pk", flat=True))
    assert f"refs/heads/{BRANCH}" not in admission(ada, "sample")["allow"]


def test_saying_it_twice_is_the_same_pull_request(workshop: Workshop, client: APIClient) -> None:
    place = ask(client).json()
    commit = push(workshop, place, CHANGE)

    assert say(client, place, commit).json()["id"] == say(client, place, commit).json()["id"]
    assert 1 == PullRequest.objects.count()


def test_asking_again_keeps_the_place(workshop: Workshop, client: APIClient) -> None:
    place = ask(client).json()
    cast.lapse(Attempt.objects.get(pk=place["attempt"]))

    assert place == ask(client).json()
    assert not Attempt.objects.lapsed().exists()


def test_the_sidecar_hears_nothing_and_takes_nothing(workshop: Workshop, client: APIClient, ada: Agent) -> None:
    place = ask(client).json()
    token = ada.tokens.get()
    news = outbound.news(ada.pk, cast.fresh(ada).connection or "", token.pk, Told())
    hello = messages.Hello(version=1, software="tests", executors=["shell"], sandbox=nouns.Sandbox(level="bubblewrap"))
    inbound.hello(ada, "another", hello, Told())

    assert () == news.frames
    assert "open" == Attempt.objects.get(pk=place["attempt"]).outcome


def test_a_lost_place_waits_for_the_person_and_for_nobody_else(
    workshop: Workshop, client: APIClient, ada: Agent
) -> None:
    place = ask(client).json()
    commit = push(workshop, place, CHANGE)
    reclaim(Fence(place["task"], place["attempt"], ada.pk), "silent", only_lapsed=False)
    late = say(client, place, commit)

    assert 0 == match()
    assert (409, "attempt_over") == (late.status_code, late.json()["code"])
    assert "git submit" in waiting.why(Task.objects.get(pk=place["task"]))
    again = ask(client).json()
    assert (place["task"], True) == (again["task"], again["attempt"] > place["attempt"])
    assert 200 == say(client, again, commit).status_code


def test_a_busy_agent_gets_no_place_and_a_person_in_work_gets_no_task(workshop: Workshop, client: APIClient) -> None:
    held = cast.working(cast.queued_task("other", target=Agent.objects.get(name="ada")))
    busy = ask(client)

    assert (409, "agent_busy") == (busy.status_code, busy.json()["code"])
    assert f"#{held.task_id}" in busy.json()["detail"]
    assert not Task.objects.filter(executor="hand").exists()


def test_what_was_not_pushed_is_not_done(workshop: Workshop, client: APIClient) -> None:
    place = ask(client).json()
    answer = say(client, place, workshop.main())

    assert (409, "not_pushed") == (answer.status_code, answer.json()["code"])
    assert "open" == Attempt.objects.get(pk=place["attempt"]).outcome


@pytest.mark.parametrize(
    "branch",
    [
        "main",
        "agentcom/bob/by-hand-sort-imports",
        "agentcom/ada/7-sort-imports",
        "agentcom/ada/by-hand-",
        "agentcom/ada/by-hand-a..b",
        "agentcom/ada/by-hand-a/b",
        "agentcom/ada/by-hand-" + "a" * 61,
        "agentcom/ada/by-hand-a\nb",
    ],
)
def test_only_branches_of_its_own_can_be_asked_for(workshop: Workshop, client: APIClient, branch: str) -> None:
    answer = ask(client, branch)

    assert (400, ["branch"]) == (answer.status_code, list(answer.json()))


def test_a_repository_that_the_agent_may_not_see_does_not_exist(
    workshop: Workshop, client: APIClient, ada: Agent
) -> None:
    Agent.objects.filter(pk=ada.pk).update(restricted=True)

    assert 404 == ask(client).status_code
    assert 404 == ask(client, repo="nonsense").status_code


def test_a_paused_repository_takes_nothing(workshop: Workshop, client: APIClient) -> None:
    repos.pause(workshop.repo, by="tests")
    answer = ask(client)

    assert (409, "repo_full") == (answer.status_code, answer.json()["code"])
    assert not Task.objects.exists()


def test_nobody_reports_on_another_agents_place(workshop: Workshop, client: APIClient, agents: Any) -> None:
    place = ask(client).json()
    commit = push(workshop, place, CHANGE)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.mint('agent', agent=agents[1], by='tests')[1]}")

    assert 404 == say(client, place, commit).status_code


def test_more_work_goes_to_the_open_pull_request(workshop: Workshop, client: APIClient) -> None:
    first = submitted(workshop, client, CHANGE)
    place = ask(client).json()
    workshop.tree.joinpath("README").write_text("1\n2\n3\n")
    commit = _commit_on(workshop)
    second = say(client, place, commit).json()

    assert (first["id"], commit) == (second["id"], second["head"])
    assert first["id"] == Task.objects.get(pk=place["task"]).metadata["pull_request"]


def test_requested_changes_wait_for_the_person(workshop: Workshop, client: APIClient, ann: User) -> None:
    pull = submitted(workshop, client, CHANGE)
    follow_up = actions.request_changes(PullRequest.objects.get(pk=pull["id"]), ann, "Rather 1.")
    place = ask(client).json()
    workshop.tree.joinpath("README").write_text("1\n2\n3\n")
    answered = say(client, place, _commit_on(workshop)).json()

    assert ("hand", place["task"]) == (follow_up.executor, follow_up.pk)
    assert (pull["id"], "open") == (answered["id"], answered["status"])


def _commit_on(workshop: Workshop) -> str:
    """One more commit on the branch, pushed."""
    run_git(workshop.tree, "commit", "-q", "-a", "-m", "fix: More", name="ada")
    run_git(workshop.tree, "push", "-q", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack",
            str(workshop.mirror), f"HEAD:refs/heads/{BRANCH}")  # fmt: skip
    return run_git(workshop.tree, "rev-parse", "HEAD")
