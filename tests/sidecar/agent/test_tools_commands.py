"""What a model starts in the tree: commands, searches, and the verification after a change."""

import dataclasses
import os
from pathlib import Path

import pytest

from sidecar.agent.talk import Call
from sidecar.agent.tools import nudge
from sidecar.agent.tools.box import Box
from sidecar.agent.tools.clipping import json_length
from sidecar.executors.base import Sandbox
from sidecar.sandbox import Outcome, Policy, Unavailable
from sidecar.sandbox.policy import Ended

OFF = Sandbox(policy=Policy(sandbox="off"))
BOTH = [pytest.param(Sandbox(), marks=pytest.mark.bwrap, id="bubblewrap"), pytest.param(OFF, id="off")]
ROOM = 6_000
ROOT = os.geteuid() == 0


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "attempts" / "1" / "tree"
    (place / "src").mkdir(parents=True)
    (place / "app.py").write_text("def add(a, b):\n    return a - b\n")
    (place / "src" / "shop.py").write_text("from app import add\n\nTOTAL = add(1, 2)  # sum?\n")
    return place


@pytest.fixture
def canary(tmp_path):
    secret = tmp_path / "config.json"
    secret.write_text("act_agent_canary")
    return secret


def a_box(tree, sandbox=OFF, seconds=60.0, **more):
    return Box(tree, sandbox, deadline=lambda: seconds, **more)


async def use(box, name, **arguments):
    seen = await box.use(Call(name=name, arguments=arguments))
    assert json_length(seen.data) <= ROOM
    assert seen.ok or "error" in seen.data
    return seen


@dataclasses.dataclass(frozen=True)
class Recorded(Sandbox):
    """A sandbox that only takes down what it is asked, and answers as it is told."""

    asked: list = dataclasses.field(default_factory=list)
    seconds: float = 0.1
    ended: Ended = "exited"

    async def run(self, command, *, tree, timeout_seconds, **_):
        self.asked.append((command, timeout_seconds))
        took = round(self.seconds * 1000)
        return Outcome(exit_code=0, ended=self.ended, output="", elided=0, duration_ms=took, level="off", enforced=())

    @property
    def commands(self):
        return [command for command, _ in self.asked if isinstance(command, str)]


# --- commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sandbox", BOTH)
async def test_a_command_runs_at_the_top_of_the_tree(tree, sandbox):
    seen = await use(a_box(tree, sandbox), "run_command", command="pwd; cat app.py; echo work > made")

    assert (True, 0, "exited") == (seen.ok, seen.data["exit_code"], seen.data["ended"])
    assert f"{tree}\ndef add(a, b):\n    return a - b" == seen.data["output"]
    assert "work\n" == (tree / "made").read_text()


async def test_a_command_that_fails_says_how(tree):
    seen = await use(a_box(tree), "run_command", command="echo wrong >&2; exit 9")

    assert (False, 9, "wrong") == (seen.ok, seen.data["exit_code"], seen.data["output"])
    assert "exit code 9" in seen.data["error"]
    assert seen.brief.startswith("[ran `echo wrong >&2; exit 9`: exit 9, ")


async def test_of_much_output_the_beginning_and_the_end_are_told(tree):
    output = (await use(a_box(tree), "run_command", command="seq 1 20000")).data["output"]

    assert output.startswith("1\n2\n")
    assert output.endswith("19999\n20000")
    assert " left out ...]\n" in output


async def test_a_command_that_takes_too_long_is_ended_with_what_it_said(tree):
    seen = await use(a_box(tree), "run_command", command="echo begun; sleep 60", timeout_seconds=1)

    assert (False, "timeout", "begun") == (seen.ok, seen.data["ended"], seen.data["output"])


@pytest.mark.parametrize(
    ("asked", "left", "given"),
    [({}, 500.0, 120), ({"timeout_seconds": 300}, 50.0, 50.0), ({"timeout_seconds": -1}, 50.0, 1)],
)
async def test_no_command_gets_more_time_than_the_attempt_has(tree, asked, left, given):
    sandbox = Recorded()

    await use(a_box(tree, sandbox, seconds=left), "run_command", command="true", **asked)

    assert [("true", given)] == sandbox.asked


async def test_when_the_time_is_up_nothing_is_started(tree):
    sandbox = Recorded()

    seen = await use(a_box(tree, sandbox, seconds=0.2), "run_command", command="true")

    assert "no time left" in seen.data["error"]
    assert [] == sandbox.asked


@pytest.mark.parametrize("command", ["", "  ", "a\0b", "x" * 30_001])
async def test_what_is_no_command_is_refused(tree, command):
    assert not (await use(a_box(tree), "run_command", command=command)).ok


async def test_a_deleted_tree_is_an_observation_and_no_end(tree):
    box = a_box(tree)
    await use(box, "run_command", command='rm -rf "$PWD"')

    for name, arguments in [
        ("run_command", {"command": "true"}),
        ("read_file", {"path": "app.py"}),
        ("write_file", {"path": "app.py", "content": "x = 1\n"}),
        ("list_directory", {"path": "."}),
        ("search_files", {"pattern": "x"}),
    ]:
        assert not (await use(box, name, **arguments)).ok


async def test_a_machine_without_its_sandbox_is_no_fault_of_the_model(tree):
    class Without(Sandbox):
        async def run(self, *_, **__):
            raise Unavailable("no bubblewrap")

    with pytest.raises(Unavailable):
        await use(a_box(tree, Without()), "run_command", command="true")


# --- what a hostile command finds -------------------------------------------------------------------------------------


@pytest.mark.bwrap
async def test_a_command_finds_neither_the_machines_secrets_nor_ours(tree, canary):
    box = a_box(tree, Sandbox())

    seen = await use(box, "run_command", command=f"cat /etc/shadow ~/.ssh/id_* {canary}; env; cat /proc/self/environ")

    assert "act_agent_canary" not in seen.data["output"]
    assert "root:" not in seen.data["output"]
    assert "AGENTCOM" not in seen.data["output"]
    assert "PWD=" in seen.data["output"]


@pytest.mark.bwrap
async def test_what_a_command_writes_outside_the_tree_is_not_there(tree, canary):
    script = f"echo x > ~/.bashrc; echo x > /etc/profile.d/x; echo x > {canary}; echo x > ../escape; cat ~/.bashrc"

    seen = await use(a_box(tree, Sandbox()), "run_command", command=script)

    assert seen.data["output"].endswith("x")
    assert "act_agent_canary" == canary.read_text()
    assert [tree] == list(tree.parent.iterdir())
    assert not Path("/etc/profile.d/x").exists()


@pytest.mark.bwrap
async def test_a_repository_made_by_a_command_is_not_the_works(tree):
    box = a_box(tree, Sandbox())

    await use(box, "run_command", command="mkdir -p .git/hooks && echo x > .git/hooks/pre-commit")

    assert not (await use(box, "write_file", path=".git/config", content="[core]\n")).ok
    assert not (tree / ".git" / "config").exists()
    assert [] == (await use(box, "search_files", pattern="x", path=".git/hooks/none")).data.get("matches", [])


@pytest.mark.bwrap
async def test_links_and_pipes_that_a_command_leaves_lead_nowhere(tree, canary):
    box = a_box(tree, Sandbox())
    await use(box, "run_command", command=f"ln -s {canary.parent} out; ln -s {canary} result.json; mkfifo pipe")

    for path in ("out/config.json", "result.json", "pipe"):
        assert not (await use(box, "read_file", path=path)).ok
        assert not (await use(box, "write_file", path=path, content="x")).ok
        assert "canary" not in str((await use(box, "search_files", pattern="canary", path=path)).data)
    assert "act_agent_canary" == canary.read_text()


@pytest.mark.bwrap
async def test_hard_links_devices_and_foreign_rights_cannot_be_made(tree, canary):
    script = f"ln {canary} hard; ln /etc/passwd hard2; mknod dev c 1 5; cp /bin/sh s; chmod u+s s; ls; stat -c %a s"

    output = (await use(a_box(tree, Sandbox()), "run_command", command=script)).data["output"]

    assert {"app.py", "s", "src"} == {place.name for place in tree.iterdir()}
    assert output.endswith("755")


@pytest.mark.bwrap
async def test_a_file_beyond_the_limit_is_not_written(tree):
    small = Sandbox()
    limited = Sandbox(limits=dataclasses.replace(small.limits, file_bytes=1_000_000))

    seen = await use(a_box(tree, limited), "run_command", command="head -c 2000000 /dev/zero > big")

    assert not seen.ok
    assert (tree / "big").stat().st_size <= 1_000_000


@pytest.mark.bwrap
async def test_commands_can_go_on_with_what_the_file_tools_made(tree):
    box = a_box(tree, Sandbox())
    await use(box, "run_command", command="true")
    await use(box, "write_file", path="new/mod.py", content="x = 1\n")
    await use(box, "edit_file", path="app.py", old="a - b", new="a + b")

    seen = await use(box, "run_command", command="echo y >> new/mod.py; touch new/more; echo z >> app.py; ls new")

    assert (True, "mod.py\nmore") == (seen.ok, seen.data["output"])


@pytest.mark.bwrap
@pytest.mark.skipif(ROOT, reason="root reads everything")
async def test_files_that_a_command_has_closed_are_observations(tree):
    box = a_box(tree, Sandbox())
    await use(box, "run_command", command="chmod 0 app.py src")

    for name, path in [("read_file", "app.py"), ("list_directory", "src"), ("read_file", "src/shop.py")]:
        assert "permissions" in (await use(box, name, path=path)).data["error"]


# --- searching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sandbox", BOTH)
async def test_lines_are_found_by_expression_with_their_places(tree, sandbox):
    seen = await use(a_box(tree, sandbox), "search_files", pattern=r"\badd\(\w+, \w\)")

    assert ["app.py:1: def add(a, b):", "src/shop.py:3: TOTAL = add(1, 2)  # sum?"] == seen.data["matches"]
    assert "more" not in seen.data


@pytest.mark.parametrize(("path", "count"), [("src", 1), ("src/shop.py", 1), ("app.py", 0), (".", 1)])
async def test_a_search_stays_below_its_path(tree, path, count):
    assert count == len((await use(a_box(tree), "search_files", pattern="TOTAL", path=path)).data["matches"])


async def test_what_is_no_expression_is_looked_for_as_text(tree):
    seen = await use(a_box(tree), "search_files", pattern="add(1")

    assert ["src/shop.py:3: TOTAL = add(1, 2)  # sum?"] == seen.data["matches"]
    assert "plain text" in seen.data["note"]


async def test_a_search_looks_into_no_repository_binary_link_or_pipe(tree, canary):
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("act_agent_canary")
    (tree / "binary").write_bytes(b"act_agent_canary\0")
    (tree / "link").symlink_to(canary)
    (tree / "out").symlink_to(canary.parent)
    os.mkfifo(tree / "pipe")

    seen = await use(a_box(tree), "search_files", pattern="canary")

    assert (True, []) == (seen.ok, seen.data["matches"])


@pytest.mark.parametrize("path", ["out", "out/config.json", "link", "..", "/etc", "nothing"])
async def test_a_search_elsewhere_is_refused(tree, canary, path):
    (tree / "link").symlink_to(canary)
    (tree / "out").symlink_to(canary.parent)

    seen = await use(a_box(tree), "search_files", pattern="canary", path=path)

    assert not seen.ok
    assert "act_agent" not in str(seen.data)


async def test_of_many_matches_the_rest_is_counted(tree):
    (tree / "many.txt").write_text("hit " * 100 + "\n" + "hit\n" * 5_000)

    data = (await use(a_box(tree), "search_files", pattern="hit", path="many.txt")).data

    assert 5_001 == len(data["matches"]) + data["more"]
    assert len(data["matches"]) <= 100


async def test_an_expression_without_end_is_cut_off_with_what_it_found(tree):
    (tree / "a.txt").write_text("aaab\n")
    (tree / "z.txt").write_text("a" * 60 + "c\n")

    seen = await use(a_box(tree, seconds=2.0), "search_files", pattern="(a+)+b", path=".")

    assert (False, ["a.txt:1: aaab"]) == (seen.ok, seen.data["matches"])
    assert "cut short" in seen.data["error"]


@pytest.mark.parametrize("pattern", ["", "x" * 1_001, "a\0b"])
async def test_what_is_no_pattern_is_refused(tree, pattern):
    assert not (await use(a_box(tree), "search_files", pattern=pattern)).ok


async def test_a_pattern_is_no_option_and_no_program(tree):
    for pattern in ("-rf", "--help", "$(touch made)", "`touch made`", "'; touch made; '"):
        assert (await use(a_box(tree), "search_files", pattern=pattern)).ok
    assert not (tree / "made").exists()


# --- the verification after a change ----------------------------------------------------------------------------------

CHECK = "python3 -c 'from app import add; assert add(1, 2) == 3, add(1, 2)'"


async def test_after_a_change_the_work_is_verified(tree):
    box = a_box(tree, verify_command=CHECK)

    wrong = await use(box, "edit_file", path="app.py", old="a - b", new="a * b")
    right = await use(box, "edit_file", path="app.py", old="a * b", new="a + b")

    assert "verify" == list(wrong.data)[-1]
    assert (True, CHECK, 1) == (wrong.ok, wrong.data["verify"]["command"], wrong.data["verify"]["exit_code"])
    assert "AssertionError: 2" in wrong.data["verify"]["output"]
    assert 0 == right.data["verify"]["exit_code"]


async def test_without_a_change_nothing_is_verified(tree):
    sandbox = Recorded()
    box = a_box(tree, sandbox, verify_command="check")

    for name, arguments in [
        ("read_file", {"path": "app.py"}),
        ("edit_file", {"path": "app.py", "old": "nowhere", "new": "x"}),
        ("write_file", {"path": "app.py", "content": (tree / "app.py").read_text()}),
    ]:
        assert "verify" not in (await use(box, name, **arguments)).data
    assert [] == sandbox.commands


async def test_a_slow_verification_is_named_but_not_run_again(tree):
    sandbox = Recorded(seconds=nudge._QUICK_SECONDS, ended="timeout")
    box = a_box(tree, sandbox, verify_command="check")

    first = await use(box, "write_file", path="a.txt", content="1")
    second = await use(box, "write_file", path="a.txt", content="2")

    assert "timeout" == first.data["verify"]["ended"]
    assert {"command": "check"} == second.data["verify"]
    assert [("check", nudge._QUICK_SECONDS)] == sandbox.asked


async def test_a_verification_that_the_model_has_run_itself_counts_as_measured(tree):
    sandbox = Recorded(seconds=30.0)
    box = a_box(tree, sandbox, verify_command="check")

    await use(box, "run_command", command="check")
    seen = await use(box, "write_file", path="a.txt", content="1")

    assert {"command": "check"} == seen.data["verify"]
    assert ["check"] == sandbox.commands


async def test_towards_the_end_of_the_attempt_it_is_only_named(tree):
    sandbox = Recorded()

    seen = await use(
        a_box(tree, sandbox, seconds=15.0, verify_command="check"), "write_file", path="a.txt", content="1"
    )

    assert {"command": "check"} == seen.data["verify"]
    assert [] == sandbox.commands


@pytest.mark.parametrize("more", [{}, {"verify_command": " "}, {"verify_command": "check", "verify_after_edit": False}])
async def test_it_can_be_switched_off(tree, more):
    sandbox = Recorded()

    seen = await use(a_box(tree, sandbox, **more), "write_file", path="a.txt", content="1")

    assert "verify" not in seen.data
    assert [] == sandbox.commands
