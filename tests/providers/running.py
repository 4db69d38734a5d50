"""A provider of models that runs beside a test which is not asynchronous: in a thread, with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AbstractAsyncContextManager
from typing import Any


class Running:
    """Serves from `start` to `stop`, which raises what the server has to object to."""

    def __init__(self, serving: AbstractAsyncContextManager[Any]) -> None:
        self._serving = serving
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> Any:
        self._thread.start()
        return self._wait(self._serving.__aenter__())

    def stop(self) -> None:
        try:
            self._wait(self._serving.__aexit__(None, None, None))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)
