"""What the doctor says of a model: one call, and the whole trial where that costs nothing but time."""

from __future__ import annotations

import pytest

from apps.demo.ollama import Player
from apps.demo.player import play
from sidecar import doctor
from sidecar.config import Config, Thinker
from tests.providers.ollama import NAME, Answer, Fault, OllamaServer, serving


async def examined(player: Player, tmp_path, monkeypatch) -> tuple[doctor.Finding, OllamaServer]:
    """What is found of the one model that the agent has; the rest of the examination is left out."""

    async def nothing(*_: object) -> doctor.Finding:
        return doctor.Finding("left out", True, "")

    for name in ("_git", "_hub", "_token"):
        monkeypatch.setattr(doctor, name, lambda *_: doctor.Finding("left out", True, ""))
    monkeypatch.setattr(doctor, "_command", nothing)
    async with serving(OllamaServer(player=player)) as server:
        thinker = Thinker(executor="ollama", model=NAME, url=server.url, context=16_384)
        config = Config(hub="http://127.0.0.1:9", name="ada", token="none", models=[thinker])
        found = [finding async for finding in doctor.examine(config, tmp_path)]
    return found[-1], server


def listing(asked):
    """Makes the one call that it is asked for, and only ever lists a directory when it is asked for more."""
    if "finish_task with" in asked.messages[1]["content"]:
        return play(asked)
    return Answer(calls=[{"name": "list_directory", "arguments": {"path": "."}}])


async def test_a_local_model_is_tried_whole_and_its_score_is_said(tmp_path, monkeypatch):
    found, server = await examined(play, tmp_path, monkeypatch)

    assert (f"model {NAME}", True, "") == (found.name, found.works, found.repair)
    assert found.detail.startswith("made a tool call in ")
    assert found.detail.endswith("; trial: 12 of 12 right")
    assert 13 == len(server.asked)


async def test_a_model_that_would_not_be_offered_is_said_to_be_too_weak(tmp_path, monkeypatch):
    found, server = await examined(listing, tmp_path, monkeypatch)

    assert not found.works
    assert "trial: 0 of the first 4 right, weak in numbers: called list_directory; " in found.detail
    assert doctor.ANOTHER_MODEL == found.repair
    assert 5 == len(server.asked)


async def test_without_the_first_call_there_is_no_trial(tmp_path, monkeypatch):
    found, server = await examined(lambda _: Answer(text="Hello."), tmp_path, monkeypatch)

    assert (False, 1) == (found.works, len(server.asked))
    assert "It did not make the tool call that it was asked for." == found.detail


async def test_a_trial_that_takes_too_long_is_no_verdict(tmp_path, monkeypatch):
    def stalling(asked):
        return play(asked) if "finish_task with" in asked.messages[1]["content"] else Fault(name="silent")

    monkeypatch.setattr(doctor, "FOR_A_TRIAL", 0.05)

    found, _ = await examined(stalling, tmp_path, monkeypatch)

    assert found.works
    assert found.detail.endswith("; its trial was not over after 0 seconds")


@pytest.mark.parametrize("after", [0, 3])
async def test_a_fault_of_the_endpoint_is_named_whenever_it_comes(tmp_path, monkeypatch, after):
    seen = []

    def failing(asked):
        seen.append(asked)
        return Fault(name="status", status=500, error="out of memory") if len(seen) > after else play(asked)

    found, _ = await examined(failing, tmp_path, monkeypatch)

    assert (False, "model_error: 500: out of memory") == (found.works, found.detail)
