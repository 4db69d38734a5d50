"""Agents, enrolment and tokens over REST."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from apps.agents import tokens
from apps.agents.models import Agent, Token
from apps.events.models import Event
from apps.tasks import attempts
from tests import cast, rest
from tests.rest import known

pytestmark = pytest.mark.django_db


@pytest.fixture
def caller() -> rest.Caller:
    return rest.integration()


def test_agents_are_listed_with_what_they_do(caller, django_assert_max_num_queries):
    for name in ("carry-the-one", "off-by-none"):
        cast.agent(name)
    task = cast.queued_task(target=Agent.objects.get(name="off-by-none"))
    cast.working(task)
    cast.agent("sleep-on-it", online=False)

    with django_assert_max_num_queries(5):
        listed = caller.get("/api/agents").json()["results"]

    assert [("carry-the-one", "idle", None), ("off-by-none", "working", task.pk), ("sleep-on-it", "offline", None)] == [
        (agent["name"], agent["state"], agent["task"]) for agent in listed
    ]


def test_an_agent_says_what_it_can_think_with(caller):
    model = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 41.5}
    cast.agent("carry-the-one", offers=[model])

    assert [model] == caller.get("/api/agents/carry-the-one").json()["models"]


def test_an_agent_with_many_ended_attempts_is_listed_once(caller):
    agent = cast.agent("carry-the-one")
    for _ in range(3):
        attempt = cast.working(cast.queued_task(target=agent))
        attempts.release(cast.fence(attempt), "drained", "")

    assert ["carry-the-one"] == [each["name"] for each in caller.get("/api/agents").json()["results"]]


def test_an_agent_is_paused_and_resumed(caller):
    cast.agent("carry-the-one")

    paused = caller.post("/api/agents/carry-the-one/pause").json()
    again = caller.post("/api/agents/carry-the-one/pause").json()
    resumed = caller.post("/api/agents/carry-the-one/resume").json()

    assert (True, True, False) == (paused["paused"], again["paused"], resumed["paused"])


def test_an_agent_is_retired_once_it_is_paused_and_its_token_ends(caller):
    ship = cast.agent("carry-the-one")
    token, _ = tokens.mint("agent", agent=ship, by="tests")
    refused = caller.post("/api/agents/carry-the-one/retire")
    before = Token.objects.live().filter(pk=token.pk).exists()
    caller.post("/api/agents/carry-the-one/pause")
    retired = caller.post("/api/agents/carry-the-one/retire")
    again = caller.post("/api/agents/carry-the-one/retire")

    assert (409, "agent_not_paused") == (refused.status_code, refused.json()["code"])
    assert (True, False) == (before, Token.objects.live().filter(pk=token.pk).exists())
    assert (200, 200) == (retired.status_code, again.status_code)
    assert retired.json()["retired_at"] == again.json()["retired_at"] is not None
    assert 1 == Event.objects.filter(kind="agent.retired").count()


def test_an_agent_with_work_in_hand_is_not_retired_for_it_could_not_deliver(caller):
    ship = cast.agent("carry-the-one")
    token, _ = tokens.mint("agent", agent=ship, by="tests")
    attempt = cast.working(cast.queued_task(target=ship))
    caller.post("/api/agents/carry-the-one/pause")

    refused = caller.post("/api/agents/carry-the-one/retire")
    alive = Token.objects.live().filter(pk=token.pk).exists()
    attempts.release(cast.fence(attempt), "drained", "")
    retired = caller.post("/api/agents/carry-the-one/retire")

    assert (409, "agent_busy", True) == (refused.status_code, refused.json()["code"], alive)
    assert 200 == retired.status_code


@pytest.mark.parametrize(
    "path", ["/api/agents/nobody", "/api/agents/nobody%00", "/api/agents/..", "/api/agents/%E2%80%AE"]
)
def test_an_agent_that_is_not_there_is_not_found(caller, path):
    assert 404 == caller.get(path).status_code


def test_a_machine_joins_with_a_code_from_the_api(caller):
    minted = caller.post("/api/agents/enrolment-codes", {"name": "carry-the-one"})
    joined = rest.Caller().post("/api/enrol", {"code": minted.json()["code"]})

    assert (201, 201) == (minted.status_code, joined.status_code)
    assert "no-store" in joined["Cache-Control"]
    assert ("carry-the-one", "/agent") == (joined.json()["agent"], joined.json()["socket"])
    assert Agent.objects.get() == known(joined.json()["token"]).agent


def test_a_code_works_once_over_the_api(caller):
    code = caller.post("/api/agents/enrolment-codes", {}).json()["code"]
    rest.Caller().post("/api/enrol", {"code": code})

    second = rest.Caller().post("/api/enrol", {"code": code})

    assert (409, "code_used") == (second.status_code, second.json()["code"])


@pytest.mark.parametrize(
    "body", [{}, {"code": ""}, {"code": None}, {"code": "x" * 65}, {"code": "X", "nam": "y"}, [], "x"]
)
def test_an_enrolment_that_makes_no_sense_is_refused_by_field(body):
    assert 400 == rest.Caller().post("/api/enrol", body).status_code


def test_guessing_codes_soon_has_to_wait_but_joining_does_not(caller, settings):
    settings.ENROLMENT_GUESS_RATE = "3/day"
    stranger = rest.Caller()
    for _ in range(5):
        code = caller.post("/api/agents/enrolment-codes", {}).json()["code"]
        assert 201 == stranger.post("/api/enrol", {"code": code}).status_code

    guesses = [stranger.post("/api/enrol", {"code": "AAAA-AAAA-AAAA-AAAA"}) for _ in range(4)]

    assert [409, 409, 409, 429] == [guess.status_code for guess in guesses]
    assert int(guesses[-1]["Retry-After"]) > 0


def test_a_forged_forwarding_header_does_not_open_a_new_account_of_guesses(settings):
    settings.ENROLMENT_GUESS_RATE = "2/day"
    stranger = rest.Caller()

    guesses = [
        stranger.post("/api/enrol", {"code": "AAAA-AAAA-AAAA-AAAA"}, {"X-Forwarded-For": f"10.0.0.{at}"})
        for at in range(3)
    ]

    assert [409, 409, 429] == [guess.status_code for guess in guesses]


def test_too_many_requests_of_one_token_have_to_wait_and_another_does_not(settings):
    settings.REST_RATE = "2/hour"
    busy, calm = rest.integration(), rest.integration()

    answers = [busy.get("/api/tasks") for _ in range(3)]

    assert [200, 200, 429] == [answer.status_code for answer in answers]
    assert int(answers[-1]["Retry-After"]) > 0
    assert 200 == calm.get("/api/tasks").status_code


def test_tokens_are_listed_masked(caller):
    listed = caller.get("/api/tokens")

    own = Token.objects.get()
    assert [own.masked] == [token["masked"] for token in listed.json()["results"]]
    assert own.digest not in listed.content.decode()
    assert caller.secret not in listed.content.decode()


def test_a_token_made_over_the_api_acts_for_its_maker(caller):
    made = caller.post("/api/tokens", {"role": "integration", "scopes": ["tasks:read"], "label": "dashboard"})

    token = known(made.json()["secret"])
    assert 201 == made.status_code
    assert ("dashboard", ["tasks:read"], rest.user()) == (token.label, token.scopes, token.user)


def test_nobody_can_make_a_token_that_may_more_than_their_own():
    limited = rest.integration("agents:write", "tasks:read")

    assert 403 == limited.post("/api/tokens", {"role": "integration", "scopes": ["pulls:review"]}).status_code
    assert 403 == limited.post("/api/tokens", {"role": "reader"}).status_code
    assert 201 == limited.post("/api/tokens", {"role": "integration", "scopes": ["tasks:read"]}).status_code


def test_rotating_cannot_take_over_somebody_elses_rights(caller):
    eve = User.objects.create_user("eve", is_staff=True)
    limited = rest.integration("agents:write", by=eve)
    strong = Token.objects.get(user=rest.user())

    assert 403 == limited.post(f"/api/tokens/{strong.pk}/rotate").status_code
    assert 403 == rest.integration("agents:write").post(f"/api/tokens/{strong.pk}/rotate").status_code


def test_a_token_is_rotated_and_revoked_over_the_api(caller):
    cast.agent("carry-the-one")
    first = caller.post("/api/tokens", {"role": "agent", "agent": "carry-the-one"}).json()
    second = caller.post(f"/api/tokens/{first['id']}/rotate").json()
    revoked = caller.post(f"/api/tokens/{second['id']}/revoke").json()

    assert (Token.objects.get(pk=second["id"]).agent, None) == (Agent.objects.get(), first["revoked_at"])
    assert revoked["revoked_at"] is not None
    assert 409 == caller.post(f"/api/tokens/{second['id']}/rotate").status_code


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("role", {"role": "operator"}),
        ("agent", {"role": "agent"}),
        ("agent", {"role": "agent", "agent": "nobody"}),
        ("scopes", {"role": "integration", "scopes": ["everything"]}),
        ("scopes", {"role": "reader", "scopes": ["tasks:read"]}),
        ("expires_at", {"role": "reader", "expires_at": "soon"}),
        ("expires_at", {"role": "reader", "expires_at": "2001-01-01T00:00:00Z"}),
        ("user", {"role": "reader", "user": "eve"}),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_its_field_over_the_api(caller, field, body):
    answer = caller.post("/api/tokens", body)

    assert 400 == answer.status_code
    assert field in answer.json()


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Token x", "é", "Bearer é", "Bearer a b", "bearer \x7f"]
)
def test_a_header_that_is_no_token_is_unknown(header):
    answer = rest.Caller()("GET", "/api/tasks", Authorization=header)

    assert 401 == answer.status_code
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert {"code", "detail"} == set(answer.json())


def test_the_hub_says_whether_it_is_well_and_how_frames_look(client):
    health, schemas = client.get("/api/health"), client.get("/api/schemas")

    assert (200, "ok", True) == (health.status_code, health.json()["status"], health.json()["database"])
    assert {"from_hub", "from_sidecar", "version"} <= set(schemas.json())


def test_a_hub_that_cannot_reach_its_database_says_so(client, monkeypatch):
    monkeypatch.setattr("apps.gateway.views.database_answers", lambda: False)

    answer = client.get("/api/health")

    assert (503, "down") == (answer.status_code, answer.json()["status"])


def test_what_is_nowhere_under_api_is_answered_in_json(client):
    answer = client.get("/api/nowhere")

    assert (404, "not_found") == (answer.status_code, answer.json()["code"])
