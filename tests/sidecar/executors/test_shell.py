"""The shell executor: a command, its brief, its end."""

import asyncio
import json

import pytest

from sidecar.executors import EXECUTORS, Job, Sandbox, Shell
from sidecar.executors.shell import Lines
from sidecar.sandbox import Limits, Policy, detect
from sidecar.wire.nouns import Brief

SANDBOX = Sandbox(policy=Policy(sandbox="bubblewrap" if "bubblewrap" == detect().name else "off"))


def job(command, seconds=30.0, **brief):
    return Job(
        task=7, attempt=41, generation=2, brief=Brief(title="Work", command=command, **brief), timeout_seconds=seconds
    )


def nobody(kind, text, **_):
    return None


async def test_a_command_that_ends_well_is_done_without_tokens(place):
    done = await Shell().execute(job("echo work > done; echo said"), place, SANDBOX, nobody)

    assert done.succeeded
    assert ("said\n", 0, "exited", {}) == (done.output, done.exit_code, done.stop_reason, done.tokens)
    assert "work\n" == (place.tree / "done").read_text()


async def test_a_command_that_fails_has_failed_with_its_code_and_words(place):
    failed = await Shell().execute(job("echo what went wrong >&2; exit 9"), place, SANDBOX, nobody)

    assert ("command_failed", 9) == (failed.code, failed.exit_code)
    assert "what went wrong\n" == failed.output


async def test_a_command_over_the_deadline_is_named_so(place):
    late = await Shell().execute(job("echo begun; sleep 60", seconds=0.6), place, SANDBOX, nobody)

    assert ("deadline", "timeout", "begun\n") == (late.code, late.stop_reason, late.output)


async def test_a_task_without_a_command_is_refused_at_once(place):
    assert "no_command" == (await Shell().execute(job("  "), place, SANDBOX, nobody)).code


async def test_the_brief_is_a_file_and_the_fence_is_in_the_environment(place):
    command = "cp $AGENTCOM_BRIEF_FILE brief.json; echo $AGENTCOM_TASK_ID $AGENTCOM_ATTEMPT_ID $AGENTCOM_GENERATION"
    tricky = "'; touch hacked; echo '$(touch hacked)`touch hacked`"

    done = await Shell().execute(job(command, description=tricky), place, SANDBOX, nobody)

    assert "7 41 2\n" == done.output
    assert tricky == json.loads((place.tree / "brief.json").read_text())["description"]
    assert not (place.tree / "hacked").exists()


async def test_lines_are_told_as_they_come(place):
    told = []

    def tell(kind, text, **_):
        told.append((kind, text))

    await Shell().execute(job("echo one; echo two; printf three"), place, SANDBOX, tell)

    assert [("output", "one"), ("output", "two"), ("output", "three")] == told


async def test_cancelling_ends_the_command(place):
    sandbox = Sandbox(policy=SANDBOX.policy, limits=Limits(grace_seconds=0.2))
    task = asyncio.create_task(Shell().execute(job("touch begun; sleep 60"), place, sandbox, nobody))
    async with asyncio.timeout(20):
        while not (place.tree / "begun").exists():  # noqa: ASYNC110 - what happens inside has no event out here
            await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_stream_is_cut_into_lines_whatever_its_chunks():
    told = []

    def tell(kind, text, **_):
        told.append(text)

    lines = Lines(tell)

    for chunk in ("é\n".encode()[:1], "é\n".encode()[1:], b"10%\r50%\r100%\n\n", b"x" * 5_000, b"\xff"):
        lines.feed(chunk)
    lines.close()

    assert ["é", "100%", "x" * 2_000, "\ufffd"] == told


def test_executors_are_found_by_name():
    assert "shell" == EXECUTORS["shell"].name
