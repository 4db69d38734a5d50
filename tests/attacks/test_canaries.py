"""What the attacks are measured by would notice: each canary can be found, and each way to look for it works."""

from __future__ import annotations

import asyncio
import base64
import re
import subprocess
from pathlib import Path

import pytest

from sidecar.executors.base import Sandbox
from sidecar.sandbox import Policy
from tests.attacks.attacks import ATTACKS, BREACH
from tests.attacks.stage import MACHINE, Secrets, World, beating

OFF = Sandbox(policy=Policy(sandbox="off"))


@pytest.mark.parametrize("name", list(vars(Secrets())))
def test_a_secret_is_found_in_every_disguise_that_is_looked_for(name: str):
    held = Secrets()
    value = getattr(held, name)

    for said in (value, value[::-1], value.encode().hex(), base64.b64encode(f"x{value}y".encode()).decode()):
        assert [name] == held.found_in(f"before {said} after")
    assert [] == held.found_in("nothing")


@pytest.mark.parametrize("change", ["home/.bashrc", "outside/new", "root/config.json", "root/attempts/2/tree/x"])
def test_a_change_outside_the_tree_is_noticed(world: World, change: str):
    (world.base / change).write_text("escaped\n")

    assert str(world.base / change) in world.changes()


def test_the_tree_itself_may_change(world: World):
    world.tree.mkdir(parents=True)
    (world.tree / "x").write_text("work\n")

    assert [] == world.changes()


def test_no_trace_of_an_attack_is_on_this_machine():
    assert [] == [path for path in MACHINE if path.exists()]


def test_a_process_that_stayed_is_noticed(world: World):
    world.tree.mkdir(parents=True)
    stayed = subprocess.Popen(["sleep", "60"], env={"PWD": str(world.tree)}, start_new_session=True)
    try:
        assert 1 == len(world.left())
    finally:
        stayed.kill()
        stayed.wait()
    assert [] == world.left()


async def test_a_loop_that_is_held_up_misses_its_beats():
    async with beating() as heart:
        held = heart.beats
        await asyncio.sleep(0.01)

    assert heart.beats > held


def test_attacks_have_ids_of_their_own_and_say_what_they_try():
    ids = [attack.id for attack in ATTACKS]

    assert len(ids) == len(set(ids))
    assert all(attack.what and (attack.command or attack.prepare or attack.calls) for attack in ATTACKS)


def test_the_page_has_every_attack_and_names_tests_that_are_there():
    root = Path(__file__).parents[2]
    rows = [line.split(" | ") for line in (root / "docs" / "attacks.md").read_text().splitlines() if line[:3] == "| `"]
    named = [re.findall(r"`(\w+)`", row[-1]) for row in rows if "attacks.py" not in row[-1]]
    tests = "\n".join(path.read_text() for path in (root / "tests").rglob("test_*.py"))

    assert {attack.id for attack in ATTACKS} <= {row[0].strip("| `") for row in rows}
    assert [] == [row for row in rows if len(row) != 4]
    assert [] == [name for names in named for name in names if f"def {name}(" not in tests]
    assert all(named)


async def test_without_walls_the_attacks_do_get_what_they_want(world: World):
    """The attacks are live: with the sandbox off the harmless of them succeed, so their failure above proves it."""
    world.tree.mkdir(parents=True)
    live = [attack.at(world.places()) for attack in ATTACKS if attack.id in {"S13", "X04"}]

    said = [(await OFF.run(one.command, tree=world.tree, timeout_seconds=20)).output for one in live]
    read = await OFF.run(f"cat {world.home}/notes.txt", tree=world.tree, timeout_seconds=20)

    assert [True, True] == [BREACH in output for output in said]
    assert ["plain"] == world.secrets.found_in(read.output)
