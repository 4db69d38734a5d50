"""The sidecars' socket, against a real hub process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from sidecar.wire import VERSION, messages, nouns
from tests.agents import Wire, wire
from tests.hub import Hub, eventually, hub_at

pytestmark = [pytest.mark.redis, pytest.mark.journey]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Hub]:
    with hub_at(tmp_path_factory.mktemp("hub"), redis_url) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(hub: Hub) -> list[str]:
    """More agents than there are tests."""
    return hub.agents(*[f"agent-{n}" for n in range(25)])


@pytest.fixture
def token(tokens: list[str]) -> str:
    """An agent of the test's own."""
    return tokens.pop()


async def closed(agent: Wire) -> int:
    """The code that the hub closes with."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await agent.socket.recv()
    return agent.socket.close_code or 0


async def submit(hub: Hub, **task: object) -> int:
    return await asyncio.to_thread(lambda: hub.submit(**task))


async def test_a_submitted_task_is_pushed_accepted_completed_and_settled(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        welcome = await ada.hello(capabilities=["one"])
        pk = await submit(hub, capabilities=["one"], title="Fix it")
        task = await ada.take()
        settled = await ada.complete(task)

        assert (pk, "Fix it", 1) == (task.task, task.brief.title, task.generation)
        assert ("succeeded", welcome.lease_seconds) == (settled.outcome, 3.0)
        assert "completed" == (await asyncio.to_thread(hub.task, pk))["status"]


async def test_many_submissions_at_once_each_get_their_own_answer(hub: Hub) -> None:
    """Some in order, some not, some the same twice; on SQLite they are committed together."""

    async def post(client: httpx.AsyncClient, number: int) -> tuple[int, dict[str, object]]:
        wanted: dict[str, object] = {"title": f"task {number}", "command": "true", "capabilities": ["nobody-has"]}
        if number % 3 == 1:
            wanted["title"] = ""
        elif number % 3 == 2:
            wanted["idempotency_key"] = f"many-{number // 6}"
        answer = await client.post("/api/tasks", json=wanted)
        return answer.status_code, answer.json()

    headers = {"Authorization": f"Bearer {hub._token}"}
    async with httpx.AsyncClient(base_url=hub.url, headers=headers, timeout=30) as client:
        answers = await asyncio.gather(*[post(client, number) for number in range(60)])

    assert [(201, f"task {n}") for n in range(0, 60, 3)] == [(s, body["title"]) for s, body in answers[0::3]]
    assert [400] * 20 == [status for status, _ in answers[1::3]]
    assert all("title" in body for _, body in answers[1::3])
    same: dict[int, set[object]] = {}
    for number in range(2, 60, 3):
        assert answers[number][0] in (200, 201)
        same.setdefault(number // 6, set()).add(answers[number][1]["id"])
    assert [1] * 10 == [len(ids) for ids in same.values()]


async def test_a_wrong_token_is_refused_with_its_code(hub: Hub) -> None:
    async with wire(hub.url, "act_agent_nonsense") as nobody:
        assert 4401 == await closed(nobody)


async def test_a_revoked_token_closes_the_socket(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello()
        listed = (await asyncio.to_thread(hub.get, "/api/tokens?page_size=200"))["results"]
        pk = next(one["id"] for one in listed if token.split("_")[2] in str(one))
        await asyncio.to_thread(hub.post, f"/api/tokens/{pk}/revoke")

        assert 4401 == await closed(ada)


async def test_a_newer_connection_replaces_an_older_one(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as old:
        await old.hello()
        async with wire(hub.url, token) as new:
            await new.hello(capabilities=["two"])

            assert 4409 == await closed(old)

            await submit(hub, capabilities=["two"])
            assert "succeeded" == (await new.complete(await new.take())).outcome


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ('{"type": "heartbeat", "id": "a"}', "hello_first"),
        ("not json", "invalid_json"),
        ('{"type": "nonsense"}', "unknown_type"),
        (b"binary", "binary_frame"),
    ],
)
async def test_nonsense_before_hello_is_answered_and_ends_the_connection(
    hub: Hub, token: str, sent: str | bytes, code: str
) -> None:
    async with wire(hub.url, token) as ada:
        await ada.socket.send(sent)

        assert code == (await ada.hear(messages.ErrorFrame)).code
        assert 4400 == await closed(ada)


async def test_nonsense_after_hello_is_answered_and_forgiven(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello()
        await ada.socket.send('{"type": "task.accepted", "task": -1, "id": "mine"}')
        error = await ada.hear(messages.ErrorFrame)
        await ada.say(messages.Heartbeat())

        assert ("invalid_frame", "mine") == (error.code, error.about)
        assert [] == (await ada.hear(messages.HeartbeatAck)).renewed


async def test_an_oversized_frame_closes_cleanly(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello()
        await ada.socket.send("x" * 1_100_000)

        assert 1009 == await closed(ada)


async def test_another_version_is_told_so(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.say(messages.Hello(version=VERSION + 1))

        assert "unsupported_version" == (await ada.hear(messages.ErrorFrame)).code
        assert 4426 == await closed(ada)


async def test_cancelling_reaches_the_sidecar(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["three"])
        pk = await submit(hub, capabilities=["three"])
        task = await ada.take()
        await asyncio.to_thread(hub.await_status, pk, "working")  # an acceptance that comes too late is told to drop
        await asyncio.to_thread(hub.post, f"/api/tasks/{pk}/cancel")

        assert task.attempt == (await ada.hear(messages.TaskCancel)).attempt


async def test_work_that_was_lost_on_the_way_is_pushed_again(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["four"])
        await submit(hub, capabilities=["four"])
        first = await ada.hear(messages.TaskAssign)
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["four"])

        assert first.attempt == (await ada.take()).attempt


async def test_a_reconnecting_sidecar_goes_on_with_what_it_holds(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["five"])
        await submit(hub, capabilities=["five"])
        task = await ada.take()
    holding = nouns.Holding(task=task.task, attempt=task.attempt)
    async with wire(hub.url, token) as ada:
        welcome = await ada.hello(capabilities=["five"], holding=[holding])

        assert ["continue"] == [verdict.verdict for verdict in welcome.verdicts]
        assert "succeeded" == (await ada.complete(task)).outcome


async def test_what_a_sidecar_holds_of_somebody_else_is_dropped(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        welcome = await ada.hello(holding=[nouns.Holding(task=999_999, attempt=999_999)])

        assert [("drop", "unknown")] == [(verdict.verdict, verdict.reason) for verdict in welcome.verdicts]


async def test_a_report_sent_twice_is_settled_twice_and_counted_once(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["six"])
        pk = await submit(hub, capabilities=["six"])
        task = await ada.take()

        assert "succeeded" == (await ada.complete(task)).outcome
        assert "succeeded" == (await ada.complete(task)).outcome

        history = (await asyncio.to_thread(hub.get, f"/api/tasks/{pk}/history"))["results"]
        assert 1 == sum(event["kind"] == "task.completed" for event in history)


async def test_silence_loses_the_lease_and_a_late_report_is_dropped(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["seven"])
        pk = await submit(hub, capabilities=["seven"])
        task = await ada.take()
        await asyncio.to_thread(
            eventually, lambda: hub.task(pk)["attempts"][0]["outcome"] == "reclaimed", what="the lease's end"
        )
        await ada.say(messages.TaskCompleted(task=task.task, attempt=task.attempt, result=nouns.Result()))

        assert task.attempt == (await ada.hear(messages.TaskDrop)).attempt


async def test_heartbeats_keep_the_lease(hub: Hub, token: str) -> None:
    async with wire(hub.url, token) as ada:
        await ada.hello(capabilities=["eight"])
        pk = await submit(hub, capabilities=["eight"])
        task = await ada.take()
        held = [nouns.Holding(task=task.task, attempt=task.attempt)]
        for _ in range(8):  # four seconds, against a lease of three
            await ada.say(messages.Heartbeat(holding=held))
            assert [task.attempt] == (await ada.hear(messages.HeartbeatAck)).renewed
            await asyncio.sleep(0.5)

        assert "working" == (await asyncio.to_thread(hub.task, pk))["status"]


async def test_what_the_operator_wants_is_told_at_once_on_connecting_and_although_the_hint_was_lost(
    hub: Hub, token: str
) -> None:
    async with wire(hub.url, token) as ada:
        name = (await ada.hello(process="one")).agent
        await asyncio.to_thread(hub.post, f"/api/agents/{name}/restart", {"now": True})
        live = await ada.hear(messages.AgentDesired)
    async with wire(hub.url, token) as ada:
        await ada.hello(process="one")
        again = await ada.hear(messages.AgentDesired)
        silently = (
            f"from apps.agents.models import Agent; Agent.objects.filter(name={name!r}).update(restart_now=False)"
        )
        await asyncio.to_thread(hub.shell, f"{silently}; print(1)")
        found = await ada.hear(messages.AgentDesired, within=40)
    async with wire(hub.url, token) as ada:
        await ada.hello(process="two")
        shown = await asyncio.to_thread(hub.get, f"/api/agents/{name}")

    wanted = messages.AgentDesired(drain=True, restart="one", now=True)
    assert [wanted, wanted, wanted.model_copy(update={"now": False})] == [live, again, found]
    assert ("two", None) == (shown["process"], shown["restart"])


async def test_an_agent_that_can_restart_an_endpoint_is_asked_and_its_answer_is_kept(hub: Hub, token: str) -> None:
    url = "http://127.0.0.1:11434"
    offer = nouns.ModelOffer(executor="ollama", model="m", url=url)
    async with wire(hub.url, token) as ada:
        state = nouns.EndpointState(kind="ollama", url=url, health="up")
        await ada.hello(models=[offer], endpoints=[state], host=nouns.Host(machine="its own"), restarts=[url])
        found = (await asyncio.to_thread(hub.get, "/api/endpoints"))["results"]
        here = f"/api/endpoints/{next(one['id'] for one in found if one['restarted_by'])}"
        await asyncio.to_thread(hub.post, f"{here}/restart", {})
        asked = await ada.hear(messages.EndpointRestart)
        await ada.say(messages.EndpointRestarted(restart=asked.restart, ok=True, message="up", seconds=0.5))

        def answered() -> object:
            restart = hub.get(here)["restart"]
            return restart if restart["outcome"] != "open" else None

        restart = await asyncio.to_thread(eventually, answered, what="the answer")

    assert url == asked.url
    assert (asked.restart, "done", "up") == tuple(restart[key] for key in ("id", "outcome", "message"))
