"""What a hostile tree can make the sidecar itself do: use memory without end, look outside, give up on a depth."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar import verify
from sidecar.detect_tests import runner_of
from sidecar.executors.base import Sandbox
from sidecar.git import Remote
from sidecar.sandbox import Limits, Policy, detect
from sidecar.wire.nouns import Check
from sidecar.workspace import Workspace
from tests.attacks.attacks import BREACH, python
from tests.attacks.stage import LIMITS, World

OFF = Sandbox(policy=Policy(sandbox="off"))


@contextmanager
def measured() -> Iterator[list[int]]:
    """In the end, the most memory that Python had in use during the block, in bytes."""
    most: list[int] = []
    tracemalloc.start()
    try:
        yield most
        most.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await Workspace.prepare(remote=Remote(str(world.repository)), attempt=1, root=world.root)


async def test_looking_for_secrets_takes_no_multiple_of_what_is_looked_at(workspace: Workspace):
    """X17: the sidecar's own memory has no limit, and a model writes the file."""
    (workspace.tree / "lines").write_bytes(b"\n" * 50_000)

    with measured() as most:
        await verify.verify([Check(type="no_secrets")], tree=workspace.tree, sandbox=OFF, workspace=workspace)

    assert most[0] < 20 * 50_000


async def test_a_picture_of_the_work_takes_no_more_memory_than_is_kept_of_it(workspace: Workspace):
    """X17."""
    for name in range(8):
        (workspace.tree / f"{name}.txt").write_text("line\n" * 200_000)

    with measured() as most:
        await workspace.snapshot_diff()

    assert most[0] < 2_000_000


@pytest.mark.parametrize("link", ["conftest.py", "pytest.ini", "Cargo.toml"])
async def test_whether_something_is_there_outside_cannot_be_told_by_how_tests_are_run(world: World, link: str):
    """S24."""
    world.tree.mkdir(parents=True)
    (world.tree / link).symlink_to(world.home / "notes.txt")
    there = runner_of(world.tree)
    (world.tree / link).unlink()
    (world.tree / link).symlink_to(world.home / "nothing.txt")

    assert there == runner_of(world.tree)


@pytest.mark.bwrap
@pytest.mark.skipif("memory" not in detect().enforced, reason="no control group for memory on this machine")
@pytest.mark.parametrize("place", ["memfd", "/dev/shm", "/tmp", "shared mapping"])
async def test_memory_that_belongs_to_no_process_has_an_end_as_well(world: World, place: str):
    """X06: what is in a file without a disk counts for nobody's own limit."""
    world.tree.mkdir(parents=True)
    made = {"memfd": "os.memfd_create('x')", "shared mapping": "None"}
    file = made.get(place, f"os.open('{place}/x', os.O_CREAT | os.O_RDWR)")
    code = (
        "import mmap, os\n"
        f"file = {file}\n"
        "def fill():\n"
        "    if file is None:\n"
        "        held = mmap.mmap(-1, 600 << 20)\n"
        "        for at in range(0, 600 << 20, 4096): held[at] = 1\n"
        "    else:\n"
        "        for at in range(600): os.pwrite(file, b'x' * (1 << 20), at << 20)\n"
        "attempt('memory', fill)\n"
    )
    sandbox = Sandbox(limits=Limits(memory_bytes=LIMITS.memory_bytes, processes=LIMITS.processes))

    outcome = await sandbox.run(python(code), tree=world.tree, timeout_seconds=20)

    assert BREACH not in outcome.output
    assert [] == world.left()


@pytest.mark.bwrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands trees over")
async def test_a_checkout_deeper_than_python_recurses_can_be_worked_in(world: World):
    """S20: such a tree can be published, and is then checked out by whoever verifies it."""
    world.tree.mkdir(parents=True)
    _deep(world.tree, 1_100)

    assert (await Sandbox(limits=LIMITS).run("true", tree=world.tree, timeout_seconds=20)).succeeded


def _deep(tree: Path, levels: int) -> None:
    place = tree
    for _ in range(levels):
        place = place / "d"
        place.mkdir()
