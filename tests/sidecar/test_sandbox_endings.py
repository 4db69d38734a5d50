"""However a command ends, no process of it is left; in the sandbox, and without one."""

import asyncio
import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidecar.sandbox import Limits, Policy, Unavailable, detect, run
from sidecar.sandbox.capture import HeadTail
from sidecar.sandbox.processes import descendants, marked, send, waiting_for_nobody

BOTH = [pytest.param(Policy(), marks=pytest.mark.bwrap, id="bubblewrap"), pytest.param(Policy(sandbox="off"), id="off")]
both = pytest.mark.parametrize("policy", BOTH)
ROOT = Path(__file__).resolve().parents[2]

# Ignores SIGTERM, in a session of its own, with its output closed; says that it is there by a file.
STUBBORN = """
setsid python -c '
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
os.close(0); os.close(1); os.close(2)
open("there", "w").close()
while True: time.sleep(60)
' {mark} &
while [ ! -e there ]; do sleep 0.01; done
"""


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "tree"
    place.mkdir()
    return place


@pytest.fixture
def mark(tmp_path):
    """A word in the command line by which the test finds its own processes on the whole machine."""
    return f"agentcom-test-{tmp_path.name}-{os.getpid()}"


def alive(mark):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        await asyncio.sleep(0.01)


@both
async def test_a_grandchild_in_its_own_session_ends_with_the_command(tree, mark, policy):
    outcome = await run(STUBBORN.format(mark=mark) + "echo done", tree=tree, policy=policy)

    assert ("done\n", "exited", 0) == (outcome.output, outcome.ended, outcome.exit_code)
    assert [] == alive(mark)


@both
async def test_a_deadline_ends_even_what_ignores_every_signal(tree, mark, policy):
    limits = Limits(timeout_seconds=1.5, grace_seconds=0.3)

    outcome = await run(
        STUBBORN.format(mark=mark) + "trap '' TERM; while :; do sleep 1; done", tree=tree, policy=policy, limits=limits
    )

    assert "timeout" == outcome.ended
    assert not outcome.succeeded
    assert [] == alive(mark)


@both
async def test_a_stopped_command_may_tidy_up_within_its_grace(tree, policy):
    stop = asyncio.Event()
    script = "trap 'echo tidied > tidy; exit 7' TERM; echo ready; while :; do sleep 0.05; done"

    outcome = await run(script, tree=tree, policy=policy, stop=stop, output=lambda _chunk: stop.set())

    assert "stopped" == outcome.ended
    assert "tidied\n" == (tree / "tidy").read_text()


@both
async def test_cancelling_leaves_nothing_behind(tree, mark, policy):
    limits = Limits(grace_seconds=0.3)
    task = asyncio.create_task(run(STUBBORN.format(mark=mark) + "sleep 60", tree=tree, policy=policy, limits=limits))
    await until((tree / "there").exists)
    assert alive(mark)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == alive(mark)


@both
async def test_cancelling_twice_does_not_wait_for_the_grace(tree, mark, policy):
    limits = Limits(grace_seconds=300)
    task = asyncio.create_task(
        run(STUBBORN.format(mark=mark) + "trap '' TERM; sleep 60", tree=tree, policy=policy, limits=limits)
    )
    await until((tree / "there").exists)

    task.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [] == alive(mark)


@both
async def test_a_command_that_kills_its_parents_gains_nothing(tree, mark, policy):
    script = STUBBORN.format(mark=mark) + "kill -9 $PPID; sleep 0.2; kill -9 -1 2>/dev/null; true"
    if policy.sandbox == "off":
        script = STUBBORN.format(mark=mark) + "kill -9 $PPID; sleep 0.2"

    outcome = await run(script, tree=tree, policy=policy, limits=Limits(timeout_seconds=20))

    assert "exited" == outcome.ended
    assert [] == alive(mark)


@both
async def test_nothing_outlives_a_sidecar_that_is_killed(tree, mark, policy):
    sandbox = policy.sandbox
    program = (
        "import asyncio, pathlib, sys\nfrom sidecar.sandbox import Policy, run\n"
        f"asyncio.run(run(sys.argv[1], tree=pathlib.Path(sys.argv[2]), policy=Policy(sandbox={sandbox!r})))\n"
    )
    script = STUBBORN.format(mark=mark) + "sleep 60"
    owner = subprocess.Popen([sys.executable, "-c", program, script, str(tree)], cwd=Path(__file__).parents[2])  # noqa: ASYNC220
    await until((tree / "there").exists)

    owner.kill()
    owner.wait()

    await until(lambda: [] == [pid for pid in alive(mark) if pid != owner.pid])


@both
async def test_output_is_kept_at_both_ends_and_told_as_it_comes(tree, policy):
    heard: list[bytes] = []
    limits = Limits(output_head=10, output_tail=10)

    outcome = await run("seq 1 100000", tree=tree, policy=policy, limits=limits, output=heard.append)

    everything = "".join(f"{number}\n" for number in range(1, 100001)).encode()
    assert everything == b"".join(heard)
    assert outcome.output.startswith("1\n2\n3\n4\n5\n\n[... ")
    assert outcome.output.endswith("99\n100000\n")
    assert len(everything) - 20 == outcome.elided
    assert f"{outcome.elided} bytes left out" in outcome.output


@both
async def test_output_that_is_no_text_is_made_one(tree, policy):
    outcome = await run(r"printf 'a\377b\303'", tree=tree, policy=policy)

    assert "a\ufffdb\ufffd" == outcome.output


@both
async def test_a_question_is_answered_by_the_end_of_input(tree, policy):
    outcome = await run("read answer || echo nobody there", tree=tree, policy=policy)

    assert "nobody there\n" == outcome.output


@both
async def test_exit_codes_are_the_shells(tree, policy):
    codes = [
        (await run(script, tree=tree, policy=policy)).exit_code
        for script in ("exit 7", "kill -9 $$", "no-such-program")
    ]

    assert [7, 137, 127] == codes


@both
async def test_a_command_in_words_is_not_read_by_a_shell(tree, policy):
    outcome = await run(["echo", "$HOME; id"], tree=tree, policy=policy)

    assert "$HOME; id\n" == outcome.output


@both
async def test_a_program_that_is_missing_is_an_outcome_and_no_exception(tree, policy):
    outcome = await run(["no-such-program"], tree=tree, policy=policy)

    assert not outcome.succeeded
    assert "no-such-program" in outcome.output


@both
async def test_a_listener_that_fails_ends_the_command_and_is_heard(tree, mark, policy):
    def broken(chunk):
        raise RuntimeError("the listener broke")

    with pytest.raises(RuntimeError, match="listener broke"):
        await run(f"echo x; sleep 60; : {mark}", tree=tree, policy=policy, output=broken)

    assert [] == alive(mark)


@both
async def test_many_at_once_do_not_get_in_each_others_way(tree, policy):
    outcomes = await asyncio.gather(*(run(f"echo {number}", tree=tree, policy=policy) for number in range(8)))

    assert [f"{number}\n" for number in range(8)] == [outcome.output for outcome in outcomes]


@both
async def test_nothing_of_ours_stays_on_disk_or_open(tree, policy, tmp_path, monkeypatch):
    await run("true", tree=tree, policy=policy)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = {path.name for path in Path("/proc/self/fd").iterdir()}

    await run("echo $TMPDIR; touch $TMPDIR/x $HOME/y", tree=tree, policy=policy, files={"BRIEF": b"x"})

    assert before == {path.name for path in Path("/proc/self/fd").iterdir()}
    assert [] == list(temporary.iterdir())
    assert [] == [*Path("/sys/fs/cgroup").glob(f"*/agentcom-{os.getpid()}-*")]


async def test_without_the_sandbox_the_environment_is_still_scrubbed(tree, monkeypatch):
    monkeypatch.setenv("AGENTCOM_TOKEN", "act_agent_canary")

    outcome = await run("env", tree=tree, policy=Policy(sandbox="off"), env={"TASK": "7"})

    assert "canary" not in outcome.output
    assert "TASK=7" in outcome.output
    assert f"HOME={Path.home()}\n" not in outcome.output
    assert "off" == outcome.level
    assert "files" not in outcome.enforced


async def test_strays_are_known_by_their_environment(tree):
    child = subprocess.Popen(["sleep", "60"], env={"AGENTCOM_RUN": "abc"}, start_new_session=True)  # noqa: ASYNC220
    try:
        assert [child.pid] == marked("AGENTCOM_RUN=abc")
        assert child.pid in descendants(os.getpid())
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert [] == marked("AGENTCOM_RUN=abc")


@pytest.mark.parametrize(("words", "complaint"), [([], "no command"), ("", None), (["a\0b"], "NUL")])
async def test_a_command_that_means_nothing_is_refused(tree, words, complaint):
    if complaint is None:
        assert (await run(words, tree=tree, policy=Policy(sandbox="off"))).succeeded
        return
    with pytest.raises(ValueError, match=complaint):
        await run(words, tree=tree, policy=Policy(sandbox="off"))


async def test_a_missing_bubblewrap_is_said_with_what_to_install(tree, monkeypatch):
    monkeypatch.setattr(detect_module(), "_confinement", lambda: ("bubblewrap is not installed.", "Install it."))

    level = detect()
    with pytest.raises(Unavailable, match="not installed"):
        await run("true", tree=tree)

    assert ("none", "bubblewrap is not installed.", "Install it.") == (level.name, level.reason, level.hint)
    assert "off" == detect(Policy(sandbox="off")).name


def detect_module():
    return sys.modules["sidecar.sandbox.detect"]


def test_the_trial_without_a_bubblewrap_finds_none(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")

    found = detect_module()._confinement.__wrapped__()

    assert isinstance(found, tuple)
    assert "apt install bubblewrap" in found[1]


def test_the_whole_of_a_short_output_is_kept():
    kept = HeadTail(4, 4)
    for chunk in (b"ab", b"cdef", b"gh"):
        kept.write(chunk)

    assert ("abcdefgh", 0) == (kept.text(), kept.elided)


@pytest.mark.bwrap
@pytest.mark.parametrize("mode", ["dropped", "mapped"])
async def test_both_ways_of_giving_rights_up_hold(tree, monkeypatch, mode):
    if mode == "dropped" and os.geteuid():
        pytest.skip("only root has rights to drop")
    found = detect_module()._confinement()
    monkeypatch.setattr(detect_module(), "_confinement", lambda: dataclasses.replace(found, mode=mode))

    outcome = await run("id -u; echo work > done; grep CapEff /proc/self/status; unshare -U true", tree=tree)

    assert not outcome.output.startswith("0\n")
    assert "CapEff:\t0000000000000000" in outcome.output
    assert "not permitted" in outcome.output
    assert "work\n" == (tree / "done").read_text()


START = """
import asyncio, pathlib, sys
from sidecar.sandbox import detect, run
detect()
print("go", flush=True)
asyncio.run(run(f"sleep 2; : {sys.argv[2]}", tree=pathlib.Path(sys.argv[1])))
"""


@pytest.mark.bwrap
async def test_of_a_sidecar_that_is_killed_while_it_starts_a_command_the_next_one_finds_what_waits(tree, mark):
    for number in range(20):
        started = subprocess.Popen([sys.executable, "-c", START, str(tree), mark], stdout=subprocess.PIPE, cwd=ROOT)  # noqa: ASYNC220
        assert started.stdout
        assert started.stdout.readline() == b"go\n"
        time.sleep(number / 1_000)  # noqa: ASYNC251  the start takes some ten milliseconds; each moment of it is tried
        started.kill()
        started.communicate()
    await until(lambda: {*alive(mark)} <= {*waiting_for_nobody(tree.parent)})
    send(waiting_for_nobody(tree.parent), signal.SIGKILL)

    await until(lambda: [] == alive(mark))
