"""Find the models that this machine can use, and try each before it is offered to a hub."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from sidecar.agent.dialects.base import Dialect
from sidecar.agent.dialects.fenced import Fenced
from sidecar.agent.dialects.native import Native
from sidecar.agent.faults import ModelFault, ServerTooOld
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.ollama import Installed, Ollama, Shown, Think, supports_strict_context
from sidecar.agent.probe import Probed, probe
from sidecar.config import Thinker, hub_address
from sidecar.report import storable
from sidecar.wire.nouns import KnownEndpoint, KnownModel, Trial

HERE = "127.0.0.1"
PORTS = {"": 11434, "http": 80, "https": 443}
"""Where an Ollama answers when its address names no port, by the scheme that it is given with."""
EVERYWHERE = {"0.0.0.0": HERE, "[::]": "[::1]"}  # noqa: S104  what a server listens to; a client reaches it here
SMALLEST_CONTEXT = 4_096
"""Less holds no task, its tools and an answer."""
LARGEST_CONTEXT = 16_384
"""More is rarely followed well by local models, and costs memory; a larger one can be set by hand."""
CLAUDE = "https://api.anthropic.com"
CLAUDE_MODEL = "claude-sonnet-5-5"
CLAUDE_CONTEXT = 200_000
MOST_TRIED = 3

Say = Callable[[str], None]


def ollama_address(environment: Mapping[str, str] = os.environ) -> str:
    """Where Ollama's own tools would look for it: OLLAMA_HOST, or its usual port here. Raises ConfigProblem."""
    given = environment.get("OLLAMA_HOST", "").strip(" \t\"'")
    scheme, _, rest = given.rpartition("://")
    place, slash, path = rest.partition("/")
    host, port = _host_and_port(place)
    host = EVERYWHERE.get(host, host) or HERE
    return hub_address(f"{scheme or 'http'}://{host}:{port or PORTS.get(scheme, 11434)}{slash}{path}")


def _host_and_port(place: str) -> tuple[str, str]:
    """Either may be empty; an IPv6 address comes out in brackets, whether it went in with them or not."""
    if place.count(":") > 1 and not place.startswith("["):
        return f"[{place}]", ""
    host, colon, port = place.rpartition(":")
    return (host, port) if colon and not port.endswith("]") else (place, "")


async def local_models(
    say: Say, *, wanted: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> list[Thinker]:
    """Every model of the Ollama here that passes its trial; each step is said. None where there is no Ollama.

    `wanted` names models; without it the first few that the server lists are tried.
    """
    url = ollama_address(environment)
    try:
        async with _asking(url, model="", context=LARGEST_CONTEXT) as server:
            version = await server.version()
            if not supports_strict_context(version):
                say(f"ollama: version {version} cuts long conversations without a word; it takes 0.12.6 or later")
                return []
            chosen = _chosen(await server.models(), wanted, say)
    except ModelFault as fault:
        say(f"ollama: none at {url} ({fault.message})")
        return []
    say(f"ollama: version {version} at {url}; trying {len(chosen)} of its models")
    tried = [await _tried(url, model, say) for model in chosen]
    return [thinker for thinker in tried if thinker is not None]


def _chosen(installed: Sequence[Installed], wanted: Sequence[str], say: Say) -> list[Installed]:
    if not wanted:
        return list(installed[:MOST_TRIED])
    names = {name: model for model in installed for name in (model.name.removesuffix(":latest"), model.name)}
    for name in wanted:
        if name not in names:
            say(f"ollama: it has no model {name}")
    return list(dict.fromkeys(names[name] for name in wanted if name in names))


class Unfit(Exception):
    """A model answers, but cannot do our work; the text says why."""


async def _tried(url: str, installed: Installed, say: Say) -> Thinker | None:
    """Its settings when it passed; what was found is said either way."""
    try:
        thinker, found = await _trial(url, installed)
    except Unfit as unfit:
        say(f"  {installed.name}: not offered. {unfit}")
    except ModelFault as fault:
        say(f"  {installed.name}: {fault.message}")
    else:
        say(f"  {installed.name}: {_in_words(found, thinker)}")
        return thinker
    return None


async def _trial(url: str, installed: Installed) -> tuple[Thinker, Probed]:
    """Raises Unfit, and ModelFault when the endpoint fails."""
    thinker, shown = await _shown(url, installed)
    async with _asking(url, model=thinker.model, context=thinker.context, think=thinker.think) as server:
        found = await probe(server, _dialects(shown))
    if not found.dialect:
        raise Unfit(storable(found.reason))
    return _measured(thinker, found), found


def _measured(thinker: Thinker, found: Probed) -> Thinker:
    """The settings with what the trial found; its results go along, for people to see what the model is weak in."""
    results = found.scores[-1].results
    return thinker.model_copy(
        update={
            "dialect": "native" if found.dialect == "native" else "fenced",
            "tokens_per_second": found.tokens_per_second,
            "context_measured": found.context_measured,
            "trials": [
                Trial(name=one.name, ok=one.ok, what=storable(one.what)[:200], repairs=one.repairs, duration_ms=one.ms)
                for one in results
            ],
        }
    )


async def _shown(url: str, installed: Installed) -> tuple[Thinker, Shown]:
    """How it would be spoken to, by what its server tells of it."""
    async with _asking(url, model=installed.name, context=LARGEST_CONTEXT) as server:
        shown = await server.show(installed.name)
    if lack := _lack(shown):
        raise Unfit(lack)
    return _settings(url, installed, shown), shown


async def borrowed(endpoint: KnownEndpoint, model: KnownModel) -> Thinker:
    """A model of an endpoint that the hub tells of, tried unless this very build of it was found good before.

    Raises Unfit, and ModelFault when the endpoint fails.
    """
    installed = Installed(name=model.name, digest=model.digest, size=0)
    async with _asking(endpoint.url, model="", context=LARGEST_CONTEXT) as server:
        accept(await server.version())
    if model.dialect in {"native", "fenced"}:
        thinker, _ = await _shown(endpoint.url, installed)
        found = {"dialect": model.dialect, "tokens_per_second": model.tokens_per_second}
        return thinker.model_copy(update={**found, "grade": endpoint.grade})
    thinker, _ = await _trial(endpoint.url, installed)
    return thinker.model_copy(update={"grade": endpoint.grade})


def accept(version: str) -> None:
    """Raises ServerTooOld for a server of this version: of its models that says nothing, for it may be renewed."""
    if not supports_strict_context(version):
        raise ServerTooOld(f"Version {version} cuts long conversations without a word; it takes 0.12.6 or later.")


def _lack(shown: Shown) -> str:
    """Why a model cannot work for us, as far as the server knows; nothing when it may."""
    if shown.capabilities and "completion" not in shown.capabilities:
        return "It does not write text."
    if shown.context is not None and shown.context < SMALLEST_CONTEXT:
        return f"Its context of {shown.context} tokens is too small; it takes {SMALLEST_CONTEXT}."
    return ""


def _settings(url: str, installed: Installed, shown: Shown) -> Thinker:
    return Thinker(
        executor="ollama",
        model=installed.name,
        url=url,
        grade="local",
        context=min(shown.context or LARGEST_CONTEXT, LARGEST_CONTEXT),
        think="low" if "gptoss" in installed.name.replace("-", "") else False,
        digest=installed.digest[:200],
    )


def _dialects(shown: Shown) -> list[Dialect]:
    return [Native(), Fenced()] if "tools" in shown.capabilities else [Fenced()]


def _in_words(found: Probed, thinker: Thinker) -> str:
    score = found.scores[-1]
    return (
        f"{score.dialect} calls, context {thinker.context} (measured to {found.context_measured}), "
        f"{found.tokens_per_second:g} tokens/s, {score.in_words()}"
    )


async def claude(say: Say, *, environment: Mapping[str, str] = os.environ) -> list[Thinker]:
    """Claude, if its key is in the environment and the model named there (or the usual one) passes its trial.

    The trial is twelve short calls that cost a few cents; they are in no hub's ledger, for there is none yet.
    """
    key = environment.get("ANTHROPIC_API_KEY", "").strip()
    if not key:
        return []
    url = hub_address(environment.get("ANTHROPIC_BASE_URL", "").strip() or CLAUDE)
    name = environment.get("AGENTCOM_CLAUDE_MODEL", "").strip() or CLAUDE_MODEL
    thinker = Thinker(executor="claude", model=name, url=url, grade="claude", context=CLAUDE_CONTEXT, key=key)
    model = Claude(model=name, api_key=key, base_url=url, context=CLAUDE_CONTEXT)
    say(f"claude: a key is in the environment; trying {name}, which costs a few cents")
    try:
        found = await probe(model, [Native()], fill=False)
    except ModelFault as fault:
        say(f"  {name}: {fault.message}")
        return []
    finally:
        await model.close()
    if not found.dialect:
        say(f"  {name}: not offered. {found.reason}")
        return []
    say(f"  {name}: {found.tokens_per_second:g} tokens/s, {found.scores[-1].in_words()}")
    return [_measured(thinker, found)]


@asynccontextmanager
async def _asking(url: str, *, model: str, context: int, think: Think = False) -> AsyncIterator[Ollama]:
    server = Ollama(url=url, model=model, context=context, think=think)
    try:
        yield server
    finally:
        await server.close()
