"""The scripted Ollama server, and a client of it."""

from __future__ import annotations

import pytest

from sidecar.agent.models.ollama import Ollama
from tests.providers.ollama import NAME, OllamaServer, serving
from tests.sidecar.agent.ollama_questions import CONTEXT, question


@pytest.fixture
async def server():
    """A scripted Ollama server, strict at its end."""
    async with serving(OllamaServer()) as running:
        yield running


@pytest.fixture
async def connect(server):
    """Make a client of the server; all are closed in the end."""
    made = []

    def connected(url="", **kwargs):
        client = Ollama(url=url or server.url, **{"model": NAME, "context": CONTEXT, **kwargs})
        made.append(client)
        return client

    yield connected
    for client in made:
        await client.close()


@pytest.fixture
def ask(server, connect):
    """Let the server do one thing, and ask for a reply."""

    async def asked(turn, request=None, **kwargs):
        server.script.append(turn)
        return await connect(**kwargs).reply(request or question())

    return asked
