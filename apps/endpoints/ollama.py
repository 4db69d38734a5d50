"""What an Ollama says of itself: its version, the models that it has, and which of them are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
from django.conf import settings

from apps.endpoints.guard import Forbidden, Guarded

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
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
    """A server that answered."""

    version: str
    models: tuple[Seen, ...]


def look(url: str, *, known: Iterable[Seen] = ()) -> Looked:
    """Ask it. What `known` models can do is not asked again while their digests stay. Raises NoAnswer."""
    transport = Guarded(networks=settings.ENDPOINT_NETWORKS, ports=settings.ENDPOINT_PORTS)
    # identity: what is bounded is what comes out, and a small answer could unpack into a huge one
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        with httpx.Client(
            base_url=url, transport=transport, timeout=TIMEOUT, headers=headers, follow_redirects=False, trust_env=False
        ) as client:
            return _look(client, {(model.name, model.digest): model for model in known})
    except (Forbidden, NoAnswer) as no:
        raise NoAnswer(str(no)) from no
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise NoAnswer(str(problem)[:300] or type(problem).__name__) from problem
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as garbled:
        raise NoAnswer("What it said is not what an Ollama says.") from garbled


def _look(client: httpx.Client, known: Mapping[tuple[str, str], Seen]) -> Looked:
    version = str(_ask(client, "GET", "/api/version")["version"])[:64]
    loaded = {name for name, _ in _named(_ask(client, "GET", "/api/ps"))}
    models = [
        known.get((name, digest)) or _shown(client, name, digest)
        for name, digest in _named(_ask(client, "GET", "/api/tags"))
    ]
    return Looked(version, tuple(replace(model, warm=model.name in loaded) for model in models))


def _named(listed: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and digests of a list of models, each name once."""
    found = {str(one["name"])[:NAMES]: str(one.get("digest") or "")[:NAMES] for one in listed["models"] or []}
    return [(name, digest) for name, digest in list(found.items())[:MOST_MODELS] if name and "\0" not in name + digest]


def _shown(client: httpx.Client, name: str, digest: str) -> Seen:
    shown = _ask(client, "POST", "/api/show", {"model": name})
    facts = shown.get("model_info") or {}
    sizes = [size for key, size in facts.items() if key.endswith(".context_length") and isinstance(size, int)]
    capabilities = tuple(sorted({str(one)[:64] for one in (shown.get("capabilities") or [])[:20]}))
    return Seen(name, digest, min(max(0, *sizes, 0), LARGEST_CONTEXT), capabilities)


def _ask(client: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    answer = client.request(method, path, json=body)
    if answer.status_code != httpx.codes.OK:
        where = f", and leads elsewhere ({answer.headers['location'][:200]})" if answer.has_redirect_location else ""
        raise NoAnswer(f"{path} answered {answer.status_code}{where}.")
    said = answer.json()
    if not isinstance(said, dict):
        raise TypeError(path)
    return said
