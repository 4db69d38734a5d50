"""Finding the models of this machine: where an Ollama is looked for, and which of its models are offered."""

from __future__ import annotations

import socket

import pytest

from apps.demo.player import play
from sidecar import discover
from sidecar.config import ConfigProblem
from tests.providers.ollama import NAME, Answer, Fault, Known, OllamaServer, serving


@pytest.fixture
async def server():
    async with serving(OllamaServer(player=play)) as running:
        yield running


@pytest.fixture
def find(server):
    """What is found at the server, and what was said about it."""

    async def found(**kwargs):
        said: list[str] = []
        environment = {"OLLAMA_HOST": server.url}
        return await discover.local_models(said.append, **{"environment": environment, **kwargs}), said

    return found


# --- where ------------------------------------------------------------------------------------------------------------


EVERYWHERE = "0.0.0.0"  # noqa: S104  what some servers are told to listen to


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (None, "http://127.0.0.1:11434"),
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("gpu-box", "http://gpu-box:11434"),
        ("gpu-box:1234", "http://gpu-box:1234"),
        (' "gpu-box" ', "http://gpu-box:11434"),
        (":1234", "http://127.0.0.1:1234"),
        (EVERYWHERE, "http://127.0.0.1:11434"),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("0.0.0.0.example.org", "http://0.0.0.0.example.org:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[::1]:1234", "http://[::1]:1234"),
        ("[::]:1234", "http://[::1]:1234"),
        ("::", "http://[::1]:11434"),
        ("http://gpu-box", "http://gpu-box:80"),
        ("https://gpu-box", "https://gpu-box:443"),
        ("https://gpu-box:1234", "https://gpu-box:1234"),
        ("https://gpu-box/ollama/", "https://gpu-box:443/ollama"),
    ],
)
def test_ollama_is_looked_for_where_its_own_tools_would(given, address):
    assert address == discover.ollama_address({} if given is None else {"OLLAMA_HOST": given})


@pytest.mark.parametrize("given", ["ftp://gpu-box", "gpu-box:port", "http://me:secret@gpu-box", "gpu-box:99999"])
def test_what_is_no_address_is_a_problem_of_the_settings(given):
    with pytest.raises(ConfigProblem):
        discover.ollama_address({"OLLAMA_HOST": given})


# --- whether ----------------------------------------------------------------------------------------------------------


async def test_without_an_ollama_there_is_nothing_and_it_is_said(find):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]

        found, said = await find(environment={"OLLAMA_HOST": f"127.0.0.1:{port}"})

    assert [] == found
    assert said[0].startswith(f"ollama: none at http://127.0.0.1:{port}")


async def test_something_else_at_its_port_is_no_ollama(find, server):
    server.pages["/api/version"] = b"<html>It works!</html>"

    found, said = await find()

    assert [] == found
    assert "ollama: none at" in said[0]


@pytest.mark.parametrize("version", ["0.12.5", "0.6.0", "nightly"])
async def test_a_server_that_cuts_without_a_word_is_not_used(find, server, version):
    server.version = version

    found, said = await find()

    assert [] == found
    assert [f"ollama: version {version} cuts long conversations without a word; it takes 0.12.6 or later"] == said
    assert not server.asked


# --- which ------------------------------------------------------------------------------------------------------------


async def test_a_model_that_passes_is_offered_with_what_its_trial_found(find, server):
    (found,), said = await find()

    assert ("ollama", NAME, server.url, "local") == (found.executor, found.model, found.url, found.grade)
    assert (discover.LARGEST_CONTEXT, "native", False, "ab" * 32) == (
        found.context,
        found.dialect,
        found.think,
        found.digest,
    )
    assert found.tokens_per_second > 0
    assert (12, True) == (len(found.trials), all(one.ok for one in found.trials))
    assert found.context_measured > discover.LARGEST_CONTEXT / 2
    assert f"ollama: version 0.33.0 at {server.url}; trying 1 of its models" == said[0]
    assert said[1].startswith(f"  {NAME}: native calls, context 16384 (measured to ")
    assert said[1].endswith(" tokens/s, 12 of 12 right")


async def test_a_model_is_given_no_more_context_than_it_was_trained_for(find, server):
    server.models[NAME] = Known(context=8_192)

    (found,), _ = await find()

    assert 8_192 == found.context
    assert {8_192} == {asked.body["options"]["num_ctx"] for asked in server.asked}


async def test_a_model_without_tools_is_tried_in_fenced_blocks_only(find, server):
    server.models[NAME] = Known(capabilities=("completion",))
    server.player = lambda _: Answer(text="How may I help you?")

    found, said = await find()

    assert [] == found
    assert f"  {NAME}: not offered. It cannot call tools well enough: fenced: 0 of the first 4" in said[1]
    assert not any(asked.tools for asked in server.asked)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Known(capabilities=("embedding",), context=512), "It does not write text."),
        (Known(context=2_048), "Its context of 2048 tokens is too small; it takes 4096."),
    ],
)
async def test_a_model_that_can_do_no_work_is_not_even_tried(find, server, known, words):
    server.models = {"small:latest": known, NAME: Known()}

    found, said = await find()

    assert [NAME] == [thinker.model for thinker in found]
    assert f"  small:latest: not offered. {words}" == said[1]


async def test_a_digest_is_kept_as_long_as_it_is(find, server):
    digest = "sha256:" + "ab" * 64
    server.pages["/api/tags"] = {"models": [{"name": NAME, "digest": digest}]}

    (found,), _ = await find()

    assert digest == found.digest


async def test_gpt_oss_thinks_a_little_for_it_cannot_be_told_not_to(find, server):
    server.models = {"gpt-oss:20b": Known()}

    (found,), _ = await find()

    assert "low" == found.think
    assert {"low"} == {asked.body["think"] for asked in server.asked}


async def test_only_the_first_few_are_tried_unless_named(find, server):
    server.models = {f"model-{number}:latest": Known() for number in range(5)}

    found, _ = await find()
    named, _ = await find(wanted=["model-4:latest", "model-3"])

    assert [f"model-{number}:latest" for number in range(3)] == [thinker.model for thinker in found]
    assert ["model-4:latest", "model-3:latest"] == [thinker.model for thinker in named]


async def test_a_named_model_that_is_not_there_is_said_and_the_others_are_tried(find, server):
    found, said = await find(wanted=["missing:7b", NAME, NAME])

    assert [NAME] == [thinker.model for thinker in found]
    assert "ollama: it has no model missing:7b" == said[0]


async def test_a_server_that_fails_during_a_trial_costs_that_model_only(find, server):
    server.models = {"broken:latest": Known(), NAME: Known()}

    def breaking(asked):
        if "broken:latest" == asked.body["model"]:
            return Fault(name="status", status=500, error="out of memory")
        return play(asked)

    server.player = breaking

    found, said = await find()

    assert [NAME] == [thinker.model for thinker in found]
    assert "  broken:latest: 500: out of memory" == said[1]
