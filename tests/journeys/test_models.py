"""Tasks in words, done by models through real sidecars: where they go, what they cost, and what ends them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub, eventually
from tests.journey import BRISK, Upstream, idle, outcomes, salvaged
from tests.providers import anthropic
from tests.providers.policy import FIX, Providers
from tests.sidecars import Sidecar, thinking

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Leases for a busy machine; so little money that an attempt can come to the end of it."""
    return BRISK | {"AGENTCOM_ATTEMPT_MICROUSD": "75000", "AGENTCOM_MODEL_PAUSE_SECONDS": "1"}


@pytest.fixture(scope="module")
def machines(hub: Hub, base: Path, providers: Providers) -> Iterator[list[Sidecar]]:
    """ada has the Ollama, bob has the key."""
    with thinking(hub, base, ada={"OLLAMA_HOST": providers.ollama.url}, bob=providers.claude_key) as crew:
        yield crew


@pytest.fixture(autouse=True)
def quiet(providers: Providers, crew: list[Sidecar]) -> None:
    providers.policy.steps, providers.policy.silent = FIX, False


def in_words(upstream: Upstream, tier: str, **task: Any) -> int:
    wanted = {"command": "", "description": "add() in calc.py subtracts.", "complexity_tier": tier, **task}
    return upstream.fix(**wanted)


def attempt_of(hub: Hub, task: int, place: int = -1) -> Mapping[str, Any]:
    found: Mapping[str, Any] = hub.task(task)["attempts"][place]
    return found


def ledger(hub: Hub, task: int) -> Mapping[str, Any]:
    """What the ledger says of a task: by its charges, and by its account."""
    found: Mapping[str, Any] = json.loads(
        hub.shell(
            "import json; from apps.ledger.models import Account, Charge;"
            f"c = list(Charge.objects.filter(task='{task}').values('status', 'input', 'output', 'cache_read',"
            " 'cache_write_5m', 'cost_micro'));"
            f"a = Account.objects.filter(scope='task', key='{task}').values('spent_micro', 'reserved_micro').first();"
            "print(json.dumps({'charges': c, 'account': a}))"
        )
    )
    return found


def test_a_standard_task_is_done_by_the_local_model(hub: Hub, upstream: Upstream, providers: Providers) -> None:
    before = len(providers.ollama.billed)
    task = in_words(upstream, "standard")
    hub.await_status(task, "completed", within=60)
    upstream.verified_pull()
    attempt = attempt_of(hub, task)
    trajectory = hub.get(f"/api/tasks/{task}/trajectory")
    told = providers.ollama.billed[before:]

    assert ("ada", "ollama", "local") == (attempt["agent"], attempt["executor"], attempt["grade"])
    assert ["read_file", "edit_file", "finish_task"] == [
        u["name"] for step in trajectory["steps"] for u in step["uses"]
    ]
    assert "-    return a - b\n+    return a + b" in trajectory["steps"][1]["diff"]
    assert sum(one.prompt for one in told) == attempt["result"]["tokens"]["input"]
    assert sum(one.output for one in told) == attempt["result"]["tokens"]["output"]


def test_a_complex_task_is_done_by_claude_and_the_ledger_has_what_it_billed(
    hub: Hub, upstream: Upstream, providers: Providers
) -> None:
    before = len(providers.claude.billed)
    task = in_words(upstream, "complex")
    hub.await_status(task, "completed", within=60)
    upstream.verified_pull()
    attempt, booked = attempt_of(hub, task), ledger(hub, task)
    theirs = providers.claude.billed[before:]

    assert ("bob", "claude", anthropic.NAME) == (attempt["agent"], attempt["executor"], attempt["model"])
    assert len(theirs) == len(booked["charges"])
    assert sum(one["output"] for one in theirs) == sum(charge["output"] for charge in booked["charges"])
    assert sum(one["input"] for one in theirs) == sum(charge["input"] for charge in booked["charges"])
    assert {"settled"} == {charge["status"] for charge in booked["charges"]}
    spent = sum(charge["cost_micro"] for charge in booked["charges"])
    assert {"spent_micro": spent, "reserved_micro": 0} == booked["account"]
    assert 0 < spent == attempt["result"]["cost_microusd"]


def test_an_attempt_that_runs_out_of_money_keeps_what_it_has(
    hub: Hub, upstream: Upstream, providers: Providers
) -> None:
    notes = [("write_file", {"path": f"note{n}.txt", "content": f"thought {n} " * 300}) for n in range(40)]
    providers.policy.steps = notes
    task = in_words(upstream, "complex", max_attempts=1, max_verification_retries=0)
    hub.await_status(task, "dead", within=90)
    (attempt,) = salvaged(hub, task)
    booked = ledger(hub, task)

    assert ("unverified", "out_of_budget") == (attempt["outcome"], attempt["result"]["stop_reason"])
    assert attempt["result"]["partial"]
    assert attempt["reports"]
    assert 0 < booked["account"]["spent_micro"] <= 75_000
    assert 0 == booked["account"]["reserved_micro"]


def test_cancelling_in_the_middle_of_a_call_closes_it_and_counts_it(
    hub: Hub, upstream: Upstream, providers: Providers
) -> None:
    providers.policy.silent = True
    providers.ollama.said.clear()
    providers.ollama.hung_up.clear()
    task = in_words(upstream, "standard")
    eventually(providers.ollama.said.is_set, what="the model's silence")
    hub.post(f"/api/tasks/{task}/cancel")
    eventually(providers.ollama.hung_up.is_set, within=5, what="the end of the call")
    eventually(lambda: idle(hub), within=5, what="a free agent")

    assert ["cancelled"] == outcomes(hub, task)
    eventually(_statuses(hub, task, ["uncertain"]), what="the call in the ledger")


def _statuses(hub: Hub, task: int, wanted: list[str]) -> Callable[[], bool]:
    return lambda: wanted == [charge["status"] for charge in ledger(hub, task)["charges"]]


def test_the_doctor_does_each_real_action_once(upstream: Upstream, crew: list[Sidecar]) -> None:
    ada, bob = crew
    for one in (ada, bob):
        code, said = one.says("doctor", "--repo", upstream.slug)

        assert 0 == code, said
        for name in ("git", "hub", "token", "sandboxed command", "clone", "push (dry run)", "model "):
            assert f"ok      {name}" in said


def test_the_doctor_names_what_does_not_work_and_what_repairs_it(
    providers: Providers, crew: list[Sidecar], tmp_path: Path
) -> None:
    ada = crew[0]
    known = ada.root / "ada" / "config.json"
    settings = json.loads(known.read_text())
    settings["models"][0]["model"] = "gone:latest"
    settings |= {"token": settings["token"][:-6] + "AAAAAA", "commands": [{"name": "cli", "argv": ["no-such-cli"]}]}
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "config.json").write_text(json.dumps(settings))
    (tmp_path / "ada" / "config.json").chmod(0o600)
    code, said = ada.says("doctor", "--root", str(tmp_path), "--repo", "no-such-repo")

    assert 1 == code
    for line in (
        "FAILED  token: The hub does not take it (HTTP 401).",
        "repair: agentcom-sidecar join",
        "FAILED  clone: ",
        "FAILED  model gone:latest: model_missing",
        "repair: ollama pull gone:latest",
        "FAILED  command cli: ",
        "4 of these do not work.",
    ):
        assert line in said, said


def test_when_an_endpoint_dies_in_the_middle_the_chain_moves_on(
    hub: Hub, upstream: Upstream, providers: Providers
) -> None:
    hub.shell(
        "from apps.endpoints import rules; rules.change('standard', ['local', 'claude'], 1, by='us'); print('ok')"
    )
    providers.policy.silent = True
    providers.ollama.said.clear()
    task = in_words(upstream, "standard")
    eventually(providers.ollama.said.is_set, what="the model at work")
    providers._running.pop(0).stop()
    hub.await_status(task, "completed", within=120)
    attempts = hub.task(task)["attempts"]

    assert ("released", "ollama") == (attempts[0]["outcome"], attempts[0]["executor"])
    assert ("succeeded", "claude") == (attempts[-1]["outcome"], attempts[-1]["executor"])
    assert 0 == hub.task(task)["failures"]
