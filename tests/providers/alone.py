"""The scripted Ollama as a process of its own, to be killed and started: `python -m tests.providers.alone PORT`."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

from tests.providers import ollama
from tests.providers.policy import Policy, as_ollama


async def serve(port: int) -> None:
    """For ever."""
    server = ollama.OllamaServer(player=partial(as_ollama, Policy()))
    server.url = f"http://127.0.0.1:{port}"
    async with await asyncio.start_server(server.connected, "127.0.0.1", port) as listener:
        await listener.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
