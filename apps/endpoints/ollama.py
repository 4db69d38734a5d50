"""What an Ollama says of itself: its version, the models that it has, and which of them are loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import httpx
from django.conf import settings

from apps.endpoints.guard import Forbidden, Guarded

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
WHOLE_SECONDS = 30.0
"""For all questions together; a server that sends a byte a second keeps every other timeout content."""
MOST_MODELS = 100
NAMES = 200
"""Characters of a name or digest that can be kept."""
LARGEST_CONTEXT = 2**31 - 1


class NoAnswer(Exception):
    """It could not be asked, or said nothing that could be understood; the text says what happened."""


@dataclass(frozen=True)
class Seen:
    """One model, as its server tells of it. `context` in tokens, 0 when it does not say."""

    name: str
    digest: str
    context: int = 0
    capabilities: tuple[str, ...] = ()
    warm: bool = False

    @property
    def writes(self) -> bool:
        """Whether it answers in words; one for embeddings does not."""
        return not self.capabilities or "completion" in self.capabilities


@dataclass(frozen=True)
class Looked:
    """A server that answered. `names` are all models that it lists, `models` those that it had the time to tell of."""

    version: str
    names: tuple[str, ...]
    models: tuple[Seen, ...]


async def look(url: str, *, known: Iterable[Seen] = ()) -> Looked:
    """Ask it. What `known` models can do is not asked again while their digests stay. Raises NoAnswer."""
    transport = Guarded(networks=settings.ENDPOINT_NETWORKS, ports=settings.ENDPOINT_PORTS)
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        async with httpx.AsyncClient(
            base_url=url, transport=transport, timeout=TIMEOUT, headers=headers, follow_redirects=False, trust_env=False
        ) as client:
            return await _look(client, {(model.name, model.digest): model for model in known})
    except (Forbidden, NoAnswer) as no:
        raise NoAnswer(text(str(no), 500)) from no
    except TimeoutError as slow:
        raise NoAnswer(f"It did not answer within {WHOLE_SECONDS:g} seconds.") from slow
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise NoAnswer(text(str(problem), 500) or type(problem).__name__) from problem
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as garbled:
        raise NoAnswer("What it said is not what an Ollama says.") from garbled


def text(said: object, most: int) -> str:
    """What a server said, as any database can keep it."""
    return str(said).encode("utf-8", "replace").decode().replace("\0", "\ufffd")[:most]


async def _look(client: httpx.AsyncClient, known: Mapping[tuple[str, str], Seen]) -> Looked:
    end = asyncio.get_running_loop().time() + WHOLE_SECONDS
    async with asyncio.timeout_at(end):
        version = text((await _ask(client, "GET", "/api/version"))["version"], 64)
        loaded = {name for name, _ in _named(await _ask(client, "GET", "/api/ps"))}
        listed = _named(await _ask(client, "GET", "/api/tags"))
    models: list[Seen] = []
    with suppress(TimeoutError):  # the rest is asked at the next look
        async with asyncio.timeout_at(end):
            for name, digest in listed:
                seen = known.get((name, digest)) or await _shown(client, name, digest)
                models.append(replace(seen, warm=name in loaded))
    return Looked(version, tuple(name for name, _ in listed), tuple(models))


def _named(listed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and digests of a list of models, each name once."""
    found = {text(one["name"], NAMES): text(one.get("digest") or "", NAMES) for one in listed["models"] or []}
    return [(name, digest) for name, digest in list(found.items())[:MOST_MODELS] if name]


async def _shown(client: httpx.AsyncClient, name: str, digest: str) -> Seen:
    shown = await _ask(client, "POST", "/api/show", {"model": name})
    facts = shown.get("model_info") or {}
    sizes = [size for key, size in facts.items() if key.endswith(".context_length") and isinstance(size, int)]
    capabilities = tuple(sorted({text(one, 64) for one in (shown.get("capabilities") or [])[:20]}))
    return Seen(name, digest, min(max(0, *sizes, 0), LARGEST_CONTEXT), capabilities)


async def _ask(
    client: httpx.AsyncClient, method: str, path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    answer = await client.request(method, path, json=body)
    if answer.status_code != httpx.codes.OK:
        where = f", and leads elsewhere ({answer.headers['location'][:200]})" if answer.has_redirect_location else ""
        raise NoAnswer(f"{path} answered {answer.status_code}{where}.")
    said = answer.json()
    if not isinstance(said, dict):
        raise TypeError(path)
    return said
