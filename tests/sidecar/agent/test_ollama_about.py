"""What an Ollama server tells of itself, and that nonsense is named as such."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import pytest

from sidecar.agent import faults
from sidecar.agent.models.ollama import supports_strict_context
from tests.providers.ollama import NAME, Answer, Known
from tests.sidecar.agent.ollama_questions import CONTEXT


async def test_the_server_tells_its_version_and_models(connect, server):
    server.models["small:1b"] = Known(size=7)

    client = connect()
    assert "0.33.0" == await client.version()
    assert [(NAME, 5_000_000_000), ("small:1b", 7)] == [(model.name, model.size) for model in await client.models()]
    assert "ab" * 32 == (await client.models())[0].digest


async def test_the_server_shows_what_a_model_can_do(connect):
    shown = await connect().show(NAME)

    assert frozenset({"completion", "tools", "thinking"}) == shown.capabilities
    assert 131_072 == shown.context
    assert ("{{ .Prompt }}", "", "") == (shown.template, shown.parser, shown.renderer)


async def test_a_model_that_is_not_there_cannot_be_shown(connect):
    with pytest.raises(faults.ModelMissing):
        await connect().show("nobody:7b")


async def test_the_server_tells_what_is_loaded(connect, server, ask):
    server.models[NAME] = Known(size=9, size_vram=4)
    assert [] == await connect().running()
    await ask(Answer(text="Done."))

    (running,) = await connect().running()
    assert (NAME, CONTEXT, 9, 4) == (running.name, running.context, running.size, running.size_vram)
    assert datetime(2026, 11, 2, 9, 0, 0, 123456, tzinfo=UTC) == running.expires_at


async def test_an_old_server_tells_less(connect, server):
    server.pages["/api/show"] = {"model_info": {"llama.context_length": 4096}}
    server.pages["/api/ps"] = {"models": [{"model": "m", "size": 1}]}

    shown = await connect().show("m")
    (running,) = await connect().running()
    assert (frozenset(), 4096) == (shown.capabilities, shown.context)
    assert (None, 0, None) == (running.context, running.size_vram, running.expires_at)


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/api/version", b"not json"),
        ("/api/version", []),
        ("/api/version", {"version": 3}),
        ("/api/version", b" " * 17_000_000),
        ("/api/tags", {"models": "none"}),
        ("/api/tags", {"models": [{"size": 1}]}),
        ("/api/tags", {"models": [{"name": "m", "size": "big"}]}),
        ("/api/show", {"capabilities": [1]}),
        ("/api/show", {"model_info": [1]}),
        ("/api/show", {"model_info": {"x.context_length": True}}),
        ("/api/ps", {"models": [{"name": "m", "expires_at": "tomorrow"}]}),
    ],
)
async def test_a_malformed_answer_is_garbled(connect, server, path, page):
    server.pages[path] = page
    client = connect()
    ways = {
        "/api/version": client.version,
        "/api/tags": client.models,
        "/api/show": lambda: client.show("m"),
        "/api/ps": client.running,
    }

    with pytest.raises(faults.Garbled):
        await ways[path]()


async def test_a_question_to_nobody_is_unreachable(connect):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(faults.Unreachable):
            await connect(f"http://127.0.0.1:{taken.getsockname()[1]}").version()


@pytest.mark.parametrize(
    ("version", "strict"),
    [
        ("0.12.5", False),
        ("0.12.6-rc1", False),
        ("0.12.6", True),
        ("0.12.6+build7", True),
        ("v0.12.7", True),
        ("0.33.0-rc2", True),
        ("1.0.0", True),
        ("0.9.99", False),
        ("0.0.0", False),
        ("", False),
        ("latest", False),
        ("0.13", False),
    ],
)
def test_only_a_server_that_is_new_enough_can_be_kept_from_cutting(version, strict):
    assert strict == supports_strict_context(version)
