"""One question to an Ollama of an operator's, and its answer.

The `ollama` package keeps the connection, but its `chat` has no words for `truncate` and `shift`, without which a
server cuts a prompt that is too long and says nothing of it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import ollama
from django.conf import settings

from apps.endpoints.choosing import Thinker
from apps.endpoints.guard import Forbidden, Guarded
from apps.endpoints.hearing import Heard, error_in_words
from apps.endpoints.said import Said, ThinkingFailed

TEMPERATURE = 0.3
KEEP_ALIVE = "30m"
CONNECT_SECONDS = 10.0
_ERROR_BYTES = 16_000
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_TYPES = ("application/x-ndjson", "application/json")


async def chat(
    thinker: Thinker, *, system: str, prompt: str, schema: Mapping[str, Any] | None, most: int, seconds: float
) -> Said:
    """Ask once, for `most` tokens at most, and hear the whole answer within `seconds`. Raises ThinkingFailed."""
    content = _written(thinker, system, prompt, schema, most)
    heard = Heard(f"{system}{prompt}")
    answered = False
    client = _Client(thinker.url)
    try:
        async with asyncio.timeout(seconds), client.answer(content) as response:
            await _accept(response)
            answered = True
            async for chunk in response.aiter_raw():
                heard.feed(chunk)
                if heard.done:
                    break
            heard.end()
        return heard.said(context=thinker.context, most=most)
    except TimeoutError as late:
        used = heard.usage() if answered else None
        raise ThinkingFailed("thinking_slow", f"It took more than {seconds:g} seconds.", usage=used) from late
    except Forbidden as no:
        raise ThinkingFailed("thinking_forbidden", str(no)) from no
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as problem:
        raise _broken(problem, heard if answered else None) from problem
    finally:
        await client.close()


class _Client(ollama.AsyncClient):
    """The package's client, made to go where it is sent and nowhere else."""

    def __init__(self, url: str) -> None:
        guarded = Guarded(networks=settings.ENDPOINT_NETWORKS, ports=settings.ENDPOINT_PORTS)
        limits = httpx.Timeout(None, connect=CONNECT_SECONDS)  # the whole has its own limit
        super().__init__(url, timeout=limits, transport=guarded, trust_env=False, follow_redirects=False)
        self._client.headers.pop("authorization", None)  # the package takes OLLAMA_API_KEY, whoever it was meant for
        self._client.headers["accept-encoding"] = "identity"

    async def close(self) -> None:
        await self._client.aclose()

    def answer(self, content: bytes) -> AbstractAsyncContextManager[httpx.Response]:
        stream: AbstractAsyncContextManager[httpx.Response] = self._client.stream("POST", "/api/chat", content=content)
        return stream


def _written(thinker: Thinker, system: str, prompt: str, schema: Mapping[str, Any] | None, most: int) -> bytes:
    """The request. In escapes, not UTF-8: half a surrogate pair in a file's name must not stop us."""
    messages = [{"role": "system", "content": system}] if system else []
    body: dict[str, Any] = {
        "model": thinker.model,
        "messages": [*messages, {"role": "user", "content": prompt}],
        "stream": True,
        "think": thinker.think,
        "truncate": False,
        "shift": False,
        "keep_alive": KEEP_ALIVE,
        "options": {"num_ctx": thinker.context, "num_predict": most, "temperature": TEMPERATURE},
    }
    if schema is not None:
        body["format"] = schema
    return json.dumps(body, separators=(",", ":")).encode("ascii")


async def _accept(response: httpx.Response) -> None:
    """Raises what a status other than 200, or anything but JSON, means."""
    if response.status_code == httpx.codes.OK:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _TYPES:
            raise ThinkingFailed("thinking_garbled", f"The answer is {kind or 'of no type'}, not JSON.")
        return
    status = response.status_code
    words = f"{status}: {await _words(response)}"
    if status in (401, 403):
        raise ThinkingFailed("thinking_unauthorized", words)
    if status == 404 and "model" in words.lower():
        raise ThinkingFailed(
            "thinking_model_missing", words, transient=True
        )  # the next look finds out, and another thinks
    if status in (429, 503):
        raise ThinkingFailed("thinking_limited" if status == 429 else "thinking_busy", words)
    if status < 400:
        raise ThinkingFailed("thinking_garbled", f"The server wants us elsewhere ({status}).")
    raise error_in_words(words, refused=status < 500 and status not in (408, 499))


async def _words(response: httpx.Response) -> str:
    content = b""
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) >= _ERROR_BYTES:
            break
    text = content[:_ERROR_BYTES].decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return text


def _broken(problem: Exception, heard: Heard | None) -> ThinkingFailed:
    """No answer, or part of one. Only what was never sent was certainly not worked on."""
    words = f"{type(problem).__name__}: {problem}"
    if isinstance(problem, (*_NEVER_SENT, httpx.InvalidURL, UnicodeError)):
        return ThinkingFailed("thinking_unreachable", words)
    used = heard.usage() if heard else None
    talks = isinstance(problem, httpx.RemoteProtocolError) and not heard and "without sending" not in str(problem)
    garbled = talks or isinstance(problem, httpx.DecodingError)
    return ThinkingFailed("thinking_garbled" if garbled else "thinking_broke_off", words, usage=used)
