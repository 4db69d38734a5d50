"""Every attack straight at the sandbox and at the tools: nothing of it comes through, and nothing of it stays."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.agent.talk import Call
from sidecar.agent.tools.base import Observation
from sidecar.agent.tools.box import Box
from sidecar.executors.base import Sandbox
from sidecar.sandbox import Outcome, Policy
from tests.attacks.attacks import ATTACKS, BREACH, OVER, Attack
from tests.attacks.stage import LIMITS, Heart, World, beating
from tests.providers.ollama import OllamaServer, serving

pytestmark = pytest.mark.bwrap
SANDBOX = Sandbox(policy=Policy(), limits=LIMITS)


@pytest.fixture
async def heart() -> AsyncIterator[Heart]:
    async with beating() as one:
        yield one


@pytest.fixture
def tree(world: World) -> Path:
    world.tree.mkdir(parents=True)
    (world.tree / "value.txt").write_text("1\n")
    return world.tree


async def command(text: str, tree: Path, seconds: float = 20) -> Outcome:
    return await SANDBOX.run(text, tree=tree, timeout_seconds=seconds)


def shown(seen: Observation) -> str:
    return str(dict(seen.data))


def nothing_happened(world: World) -> None:
    assert [] == world.changes()
    assert [] == world.left()


@pytest.mark.parametrize("attack", [one for one in ATTACKS if one.command], ids=lambda one: one.id)
async def test_a_command_gains_nothing(attack: Attack, world: World, tree: Path, heart: Heart):
    async with serving(OllamaServer()) as server:
        tried = attack.at(world.places(int(server.url.rpartition(":")[2])))

        outcome = await command(tried.command, tree, tried.seconds)

    assert BREACH not in outcome.output, outcome.output
    assert [] == world.secrets.found_in(outcome.output)
    if attack.comes_to_its_end:
        assert ("exited", True) == (outcome.ended, OVER in outcome.output), outcome.output
    assert heart.beats
    assert [] == server.headers
    nothing_happened(world)


@pytest.mark.parametrize("attack", [one for one in ATTACKS if one.calls or one.prepare], ids=lambda one: one.id)
async def test_a_tool_gains_nothing(attack: Attack, world: World, tree: Path, heart: Heart):
    tried = attack.at(world.places())
    box = Box(tree, SANDBOX, deadline=lambda: 60.0)
    if tried.command:
        await command(tried.command, tree, tried.seconds)

    prepared = [await box.use(Call(name=name, arguments=given)) for name, given in tried.prepare]
    refused = [await box.use(Call(name=name, arguments=given)) for name, given in tried.calls]

    assert [] == [call for call, seen in zip(tried.calls, refused, strict=True) if seen.ok]
    said = "\n".join(map(shown, [*prepared, *refused]))
    assert BREACH not in said, said
    assert [] == world.secrets.found_in(said)
    assert heart.beats
    nothing_happened(world)


async def test_what_listens_inside_cannot_be_called_from_this_machine(world: World, tree: Path):
    """N09."""
    code = (
        "import socket\ns = socket.create_server(('0.0.0.0', 0))\nprint(s.getsockname()[1], flush=True)\n"
        "s.settimeout(20)\ntry: s.accept(); print('BREACH')\nexcept TimeoutError: pass\n"
    )
    (tree / "listen.py").write_text(code)
    tried: list[bool] = []

    def knock(chunk: bytes) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(chunk)), 5)
        tried.append(True)
        stop.set()

    stop = asyncio.Event()
    outcome = await SANDBOX.run(["python3", "listen.py"], tree=tree, timeout_seconds=20, output=knock, stop=stop)

    assert tried
    assert BREACH not in outcome.output


def test_the_sidecar_opens_no_port_of_its_own():
    """N09: what does not listen cannot be called by a web page or by another user of the machine."""
    words = ("start_server", "start_unix_server", "create_server", "socketserver", "http.server", ".listen(")
    sources = Path(__file__).parents[2] / "sidecar"

    listening = [str(path) for path in sources.rglob("*.py") if any(word in path.read_text() for word in words)]

    assert [] == listening


async def test_all_files_of_a_tree_together_have_an_end(world: World, tree: Path):
    """S16: many times the limit of one file, in many files."""
    fill = "while [ $((n += 1)) -le 400 ]; do head -c 1048576 /dev/zero > $n; done; echo BREACH"

    outcome = await command(fill, tree)

    assert ("tree_too_large", 137) == (outcome.ended, outcome.exit_code)
    assert BREACH not in outcome.output
    nothing_happened(world)
