"""What the commands of one tree take of the disk has an end, however they take it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.discard import discard
from sidecar.executors.base import Sandbox
from sidecar.sandbox import Limits, Outcome, Policy, disk
from sidecar.sandbox.disk import allocated
from tests.deep import deepen, without_rights

MIB = 1024 * 1024
LIMIT = 8 * MIB
LIMITS = Limits(tree_bytes=LIMIT, grace_seconds=20.0)
FILL = "while [ $((n += 1)) -le 300 ]; do head -c 1048576 /dev/zero > {}$n; done; echo everything"
"""Writes 300 MB, if nobody ends it."""


def write(name: str, megabytes: int) -> str:
    return f"head -c {megabytes * MIB} /dev/zero > {name}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree"
    place.mkdir()
    return place


@pytest.fixture(params=[pytest.param("bubblewrap", marks=pytest.mark.bwrap), "off"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    return Sandbox(policy=Policy(sandbox=request.param), limits=LIMITS)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each measuring of the tree has found."""
    found: list[int] = []

    def measuring(tree: Path, unwanted: threading.Event) -> int:
        found.append(allocated(tree, unwanted))
        return found[-1]

    monkeypatch.setattr(disk, "allocated", measuring)
    return found


async def command(sandbox: Sandbox, text: str, tree: Path) -> Outcome:
    return await sandbox.run(text, tree=tree, timeout_seconds=60)


async def test_a_command_that_fills_the_disk_is_ended(sandbox: Sandbox, tree: Path):
    outcome = await command(sandbox, FILL.format("f"), tree)

    assert ("tree_too_large", 137, False) == (outcome.ended, outcome.exit_code, outcome.succeeded)
    assert "The work tree takes more than 8 MB of the disk." == outcome.problem
    assert "everything" not in outcome.output


async def test_it_is_not_asked_to_stop_first_for_it_would_go_on_meanwhile(sandbox: Sandbox, tree: Path):
    outcome = await command(sandbox, f"trap 'echo asked' TERM; {FILL.format('f')}", tree)

    assert ("tree_too_large", "") == (outcome.ended, outcome.output)


async def test_what_was_written_in_no_time_is_noticed_at_the_end(
    sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "_PAUSES", (60.0, 60.0))

    outcome = await command(sandbox, write("f", 9), tree)

    assert ("tree_too_large", 0, False) == (outcome.ended, outcome.exit_code, outcome.succeeded)


async def test_small_steps_add_up_from_one_command_to_the_next(sandbox: Sandbox, tree: Path):
    steps = [(await command(sandbox, write(f"f{number}", 2), tree)).ended for number in range(4)]

    assert ["exited", "exited", "exited"] == steps[:3]
    assert "tree_too_large" == (await command(sandbox, write("more", 2), tree)).ended


async def test_small_steps_of_a_command_with_other_walls_count_as_well(sandbox: Sandbox, tree: Path):
    other = dataclasses.replace(sandbox, policy=dataclasses.replace(sandbox.policy, read_only=(Path("/opt"),)))

    for number, one in enumerate((sandbox, other, sandbox)):
        await command(one, write(f"f{number}", 3), tree)

    assert sandbox.exceeded(tree)
    assert other.exceeded(tree)


async def test_nothing_is_started_any_more_after_that(sandbox: Sandbox, tree: Path):
    await command(sandbox, FILL.format("f"), tree)

    outcome = await command(sandbox, "touch started", tree)

    assert ("tree_too_large", 137) == (outcome.ended, outcome.exit_code)
    assert not (tree / "started").exists()


async def test_another_tree_of_the_same_sandbox_is_not_concerned(sandbox: Sandbox, tree: Path, tmp_path: Path):
    await command(sandbox, FILL.format("f"), tree)
    (tmp_path / "other").mkdir()

    assert (await command(sandbox, "true", tmp_path / "other")).succeeded


async def test_what_is_removed_again_makes_room(sandbox: Sandbox, tree: Path):
    for _ in range(4):
        assert (await command(sandbox, f"{write('f', 6)}; rm f", tree)).succeeded


async def test_sparse_files_take_nothing_and_names_are_not_files(sandbox: Sandbox, tree: Path):
    outcome = await command(sandbox, f"truncate -s 1G sparse; {write('f', 6)}; for n in a b c; do ln f $n; done", tree)

    assert outcome.succeeded


async def test_a_tree_is_not_measured_while_the_disk_has_lost_nothing(
    sandbox: Sandbox, tree: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "_PAUSES", (0.001, 0.001))
    space = disk._space(tree)
    monkeypatch.setattr(disk, "_space", lambda _: space)

    assert (await command(sandbox, "sleep 0.2", tree)).succeeded

    assert [] == measured


async def test_what_others_write_only_makes_it_look(
    sandbox: Sandbox, tree: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(disk, "_PAUSES", (0.001, 0.001))
    space = disk._space(tree)
    asked: Iterator[int] = iter(range(1_000_000))
    monkeypatch.setattr(disk, "_space", lambda _: dataclasses.replace(space, free=space.free - next(asked) * MIB // 4))

    assert (await command(sandbox, "sleep 0.5", tree)).succeeded

    assert measured
    assert max(measured) < MIB


def full(space: disk._Space) -> disk._Space:
    return dataclasses.replace(space, free=min(LIMITS.free_bytes, space.size // 20) - 1)


def out_of_nodes(space: disk._Space) -> disk._Space:
    return dataclasses.replace(space, nodes=1_000_000, free_nodes=9_999)


@pytest.mark.parametrize("become", [full, out_of_nodes], ids=["bytes", "files"])
async def test_a_command_is_ended_when_the_disk_becomes_full(
    sandbox: Sandbox, tree: Path, become: Callable[[disk._Space], disk._Space], monkeypatch: pytest.MonkeyPatch
):
    space = disk._space(tree)
    monkeypatch.setattr(disk, "_space", lambda _: become(space) if (tree / "begun").exists() else space)

    outcome = await command(sandbox, "touch begun; sleep 60", tree)

    assert ("disk_full", 137) == (outcome.ended, outcome.exit_code)
    assert outcome.problem.startswith("The disk of this machine has ")


async def test_on_a_full_disk_nothing_is_started(sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch):
    space = disk._space(tree)
    monkeypatch.setattr(disk, "_space", lambda _: full(space))

    outcome = await command(sandbox, "touch started", tree)

    assert "disk_full" == outcome.ended
    assert not (tree / "started").exists()


async def test_an_operator_can_do_without_free_space(sandbox: Sandbox, tree: Path, monkeypatch: pytest.MonkeyPatch):
    space = disk._space(tree)
    monkeypatch.setattr(disk, "_space", lambda _: dataclasses.replace(space, free=0, nodes=100, free_nodes=0))
    careless = dataclasses.replace(sandbox, limits=dataclasses.replace(LIMITS, free_bytes=0))

    assert (await command(careless, "true", tree)).succeeded


@pytest.mark.parametrize("way", ["plain", "closed", "deep", "named twice", "empty files"])
def test_what_a_tree_takes_is_measured_wherever_it_is(tree: Path, way: str):
    content = b"x" * MIB
    if way == "deep":
        deepen(tree, 2_100, content=content)
    elif way == "empty files":
        for number in range(2_100):
            (tree / str(number)).touch()
    else:
        (tree / "sub").mkdir()
        (tree / "sub" / "f").write_bytes(content)
    if way == "closed":
        (tree / "sub").chmod(0)
    if way == "named twice":
        (tree / "g").hardlink_to(tree / "sub" / "f")
    found: list[int] = []

    without_rights(lambda: found.append(allocated(tree, threading.Event())))
    discard(tree)  # pytest's own way gives up on directories this deep

    assert MIB <= found[0] < 2 * MIB + 2_100 * 4_608


def test_nothing_outside_is_measured(tree: Path, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"x" * MIB)
    (tree / "link").symlink_to(tmp_path / "outside")
    (tree / "file").symlink_to(tmp_path / "outside" / "f")

    assert allocated(tree, threading.Event()) < MIB // 8


def test_a_measuring_that_nobody_waits_for_stops(tree: Path):
    unwanted = threading.Event()
    unwanted.set()
    (tree / "f").write_bytes(b"x" * MIB)

    assert 0 == allocated(tree, unwanted)


@pytest.mark.bwrap
async def test_directories_that_move_about_do_not_hide_what_is_in_them(tree: Path):
    sandbox = Sandbox(limits=LIMITS)
    hide = "mkdir -p a/x b; (while :; do mv a/x b; mv b/x a; done) 2>/dev/null & cd a/x;"

    outcome = await command(sandbox, f"{hide} {FILL.format('f')}", tree)

    assert "tree_too_large" == outcome.ended
