"""The command executor: agent CLIs of every kind, played by small scripts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from sidecar import minds
from sidecar.config import AgentCommand, Config
from sidecar.discard import discard
from sidecar.executors import Job, Sandbox
from sidecar.executors.command import Command, NotReady, check, packed
from sidecar.executors.secrets import Secrets
from sidecar.sandbox import Level, Limits, Policy, disk
from sidecar.wire import messages
from sidecar.wire.nouns import Brief
from tests.deep import deepen, without_rights
from tests.sidecar.executors.stage import FILL, SMALL, Heard, git, on_the_hub, processes_with

SECRET = 'sk-canary-0123456789/+="quoted"-end'
TRICKY = '\'; touch hacked; "$(touch hacked)" `touch hacked` {tree} {unknown} %s \\n\n--help\n\tünïcode 🙂\n'


@pytest.fixture
def tools(tmp_path):
    (tmp_path / "tools").mkdir()
    return tmp_path / "tools"


@pytest.fixture
def agent(tools):
    """Write an agent CLI and answer its settings."""

    def written(script, *words, name="ada-cli", **settings):
        path = tools / name
        path.write_text(script if script.startswith("#!") else f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return AgentCommand(name=name, argv=[name, *words], read_only=[tools], **settings)

    return written


@pytest.fixture
def confined():
    return Sandbox(policy=Policy(), limits=Limits(grace_seconds=0.3))


def job(model="ada-cli", seconds=30.0, checks=(), **brief):
    return Job(
        task=7,
        attempt=41,
        generation=2,
        brief=Brief(**{"title": "Fix the value", **brief}),
        timeout_seconds=seconds,
        checks=checks,
        model=model,
        steps=5,
    )


async def do(command, place, sandbox, heard=None, environment=None, **asked):
    executor = Command([command], os.environ if environment is None else environment)
    return await executor.execute(job(**asked), place, sandbox, heard or Heard())


# --- the task goes in, the work comes out -----------------------------------------------------------------------------


async def test_an_agent_that_ends_well_is_done_and_its_last_words_are_the_summary(agent, place, sandbox):
    done = await do(agent("echo 2 > value.txt; echo thinking; echo 'I set the value.'"), place, sandbox)

    assert done.succeeded
    assert ("thinking\nI set the value.\n", 0, "exited", "ada-cli") == (
        done.output,
        done.exit_code,
        done.stop_reason,
        done.model,
    )
    assert "thinking\nI set the value." == done.summary
    assert {} == done.tokens
    assert "2\n" == (place.tree / "value.txt").read_text()


async def test_brief_and_prompt_arrive_intact_and_are_no_part_of_the_tree(agent, place, sandbox):
    command = agent('cp "$AGENTCOM_BRIEF_FILE" brief; cp "$AGENTCOM_PROMPT_FILE" prompt; echo "$AGENTCOM_TASK_ID"')

    done = await do(command, place, sandbox, title="-rf --help $(id)", description=TRICKY)

    brief = json.loads((place.tree / "brief").read_text())
    prompt = (place.tree / "prompt").read_text()
    assert ("-rf --help $(id)", TRICKY) == (brief["title"], brief["description"])
    assert TRICKY.strip() in prompt
    assert "# -rf --help $(id)" in prompt
    assert "end instead" in prompt
    assert "7\n" == done.output
    assert {"brief", "prompt"} == {path.name for path in place.tree.iterdir()}


async def test_placeholders_become_paths_and_every_other_word_stays_as_it_is(agent, place, sandbox):
    words = ["-x", "", "a b", "$(id)", "`id`", "{", "{unknown}", "{{tree}}", "'\"", "*", "é", "--dir={tree}"]
    script = """#!/usr/bin/env python3
import json, sys
brief, prompt, *rest = sys.argv[1:]
print(json.dumps([open(brief).read()[:1], "Fix the value" in open(prompt).read(), rest]))
"""

    done = await do(agent(script, "{brief_file}", "{prompt_file}", *words), place, sandbox)

    tree = str(place.tree.resolve())
    filled = [*words[:7], f"{{{tree}}}", *words[8:-1], f"--dir={tree}"]
    assert ["{", True, filled] == json.loads(done.output)


async def test_signals_that_python_ignores_are_not_ignored_by_the_agent(agent, place, sandbox):
    done = await do(agent("grep SigIgn /proc/self/status"), place, sandbox)

    ignored = int(done.output.removeprefix("SigIgn:"), 16)  # whoever started the tests may ignore others, as nohup does
    assert not ignored & (1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1))


async def test_the_files_of_its_home_are_a_copy_for_each_run(agent, place, sandbox, tmp_path):
    home = tmp_path / "login"
    (home / ".cli").mkdir(parents=True, mode=0o700)
    (home / ".cli" / "auth.json").write_text("logged in")
    (home / ".cli" / "auth.json").chmod(0o600)
    (home / "out").symlink_to("/etc/shadow")
    command = agent('cat "$HOME/.cli/auth.json"; cp ~/.cli/auth.json ~/.cli/new; echo x > ~/.cli/auth.json', home=home)

    first = await do(command, place, sandbox)
    second = await do(command, place, sandbox)

    assert ("logged in", "logged in") == (first.output, second.output)
    assert ["auth.json"] == [path.name for path in (home / ".cli").iterdir()]
    assert "logged in" == (home / ".cli" / "auth.json").read_text()


def test_a_home_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("sidecar.executors.command.HOME_BYTES", 10)
    (tmp_path / "file").write_text("more than ten characters")

    with pytest.raises(NotReady, match="too much to copy"):
        packed(tmp_path)


# --- it cannot start, fails, hangs, is stopped ------------------------------------------------------------------------


async def test_a_missing_program_fails_at_once_and_its_operator_is_to_blame(place, sandbox):
    heard = Heard()

    missing = await do(AgentCommand(name="ada-cli", argv=["no-such-agent-cli"]), place, sandbox, heard)

    assert ("command_missing", "setup", False) == (missing.code, missing.blame, missing.partial)
    assert "no-such-agent-cli" in missing.message
    assert heard.notes[0].startswith("ada-cli was not started: ")


async def test_a_program_that_cannot_be_seen_from_inside_is_missing(agent, place, confined):
    command = agent("echo here").model_copy(update={"read_only": []})

    hidden = await do(command.model_copy(update={"argv": [str(Path("/opt/nowhere/cli"))]}), place, confined)

    assert "command_missing" == hidden.code


async def test_a_program_that_disappears_after_the_first_look_is_missing(agent, place, sandbox, monkeypatch):
    monkeypatch.setattr("sidecar.executors.command.find_program", lambda *_: Path("/usr/bin/gone"))

    gone = await do(AgentCommand(name="ada-cli", argv=["gone-since-then"]), place, sandbox)

    assert ("command_missing", "setup") == (gone.code, gone.blame)


async def test_a_model_that_is_no_command_here_is_named(agent, place, sandbox):
    unknown = await do(agent("true"), place, sandbox, model="bob-cli")

    assert "command_missing" == unknown.code
    assert "bob-cli" in unknown.message


async def test_a_variable_that_the_sidecar_does_not_have_is_named(agent, place, sandbox):
    lacking = await do(agent("true", pass_env=["ADA_API_KEY"]), place, sandbox, environment={})

    assert ("command_setup", "setup") == (lacking.code, lacking.blame)
    assert "ADA_API_KEY" in lacking.message


@pytest.mark.parametrize("setting", ["read_only", "home"])
def test_a_directory_that_would_show_too_much_is_refused(tmp_path, setting):
    root = tmp_path / "root"
    root.mkdir()
    for place in (Path("/"), Path("/etc"), Path("~"), root, tmp_path, tmp_path / "missing"):
        plain = AgentCommand(name="x", argv=["sh"])
        greedy = plain.model_copy(update={setting: [place] if setting == "read_only" else place})
        with pytest.raises(NotReady) as lack:
            check(greedy, Policy(sandbox="off", hidden=(root,)))
        assert "command_setup" == lack.value.code


async def test_a_program_without_its_interpreter_is_a_fault_of_the_setup(agent, place, sandbox):
    broken = await do(agent("#!/usr/bin/env no-such-interpreter\n"), place, sandbox)

    assert ("command_failed", "setup") == (broken.code, broken.blame)
    assert broken.exit_code in {126, 127}
    assert "no-such-interpreter" in broken.message


async def test_an_agent_that_fails_is_quoted_and_its_work_stays_for_the_checks(agent, place, sandbox):
    failed = await do(agent("echo half > value.txt; echo 'out of credit' >&2; exit 9"), place, sandbox)

    assert ("command_failed", 9, True) == (failed.code, failed.exit_code, failed.partial)
    assert failed.message.endswith("It said last:\nout of credit")
    assert "half\n" == (place.tree / "value.txt").read_text()


async def test_an_agent_that_hangs_ends_at_the_deadline_with_its_work(agent, place, sandbox):
    late = await do(agent("echo half > value.txt; echo begun; trap '' TERM; while :; do sleep 1; done"), place, sandbox,
                    seconds=2.0)  # fmt: skip

    assert ("deadline", "timeout", True) == (late.code, late.stop_reason, late.partial)
    assert "begun\n" == late.output
    assert "half\n" == (place.tree / "value.txt").read_text()


async def test_cancelling_ends_the_agent_and_all_it_started(agent, place, sandbox, tmp_path):
    mark = f"agentcom-mark-{os.getpid()}-{tmp_path.name}"
    heard = Heard(until="ready")
    command = agent(f"trap '' TERM; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' {mark} &)\n"
                    f"echo ready; while :; do sleep 1; done # {mark}", mark)  # fmt: skip
    doing = asyncio.create_task(do(command, place, sandbox, heard))
    await asyncio.wait_for(heard.there.wait(), 20)
    assert processes_with(mark)

    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing

    assert [] == processes_with(mark)


# --- the first sign of life -------------------------------------------------------------------------------------------


async def test_the_first_output_says_that_it_is_awake_and_its_end_is_told(agent, place, sandbox):
    heard = Heard()

    await do(agent("echo one; echo two"), place, sandbox, heard)

    assert [("note", "ada-cli is awake."), ("output", "one"), ("output", "two")] == heard.told[:3]
    assert heard.notes[-1].startswith("ada-cli ended with exit code 0 after ")


async def test_a_silent_agent_is_told_to_be_awake_once_it_has_run_for_a_while(agent, place, sandbox):
    heard = Heard(until="is awake")
    command = agent("while [ ! -e go ]; do sleep 0.05; done; echo late", start_seconds=0.2)
    doing = asyncio.create_task(do(command, place, sandbox, heard))

    await asyncio.wait_for(heard.there.wait(), 20)
    (place.tree / "go").touch()
    await doing

    assert "ada-cli is awake: it runs, and has printed nothing in 0.2 s." == heard.notes[0]
    assert 1 == sum("awake" in note for note in heard.notes)


async def test_an_agent_that_ends_without_a_word_is_told_to_have_ended(agent, place, sandbox):
    heard = Heard()

    await do(agent("exit 3"), place, sandbox, heard)

    assert 1 == len(heard.told)
    assert heard.notes[0].startswith("ada-cli ended with exit code 3 after ")


def test_no_agent_may_keep_its_waking_secret_for_more_than_ten_seconds():
    with pytest.raises(ValidationError):
        AgentCommand(name="x", argv=["x"], start_seconds=11)


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_a_granted_secret_reaches_the_agent_and_nobody_else(agent, place, sandbox):
    script = """#!/usr/bin/env python3
import json, os, pathlib, sys, urllib.parse
key = os.environ["ADA_API_KEY"]
print(len(key), key, json.dumps({"key": key}), urllib.parse.quote(key, safe=""), os.environ["OTHER_TOKEN"])
sys.stdout.flush()
for part in key[:9], key[9:]:
    os.write(2, part.encode())
print()
print("argv", [path.read_bytes() for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if path.exists()])
sys.exit(key)
"""
    heard = Heard()
    command = agent(script, pass_env=["ADA_API_KEY"], env={"OTHER_TOKEN": "tok-0123456789"})

    failed = await do(command, place, sandbox, heard, environment={"ADA_API_KEY": SECRET, "REST": "x"})

    everything = f"{failed!r} {heard.told!r}"
    assert f"{len(SECRET)} [ADA_API_KEY] " in failed.output
    assert "[OTHER_TOKEN]" in failed.output
    assert "canary" not in everything
    assert "tok-0123456789" not in everything
    assert failed.message.endswith("[ADA_API_KEY]")


async def test_a_granted_secret_is_in_no_command_line_of_this_machine(agent, place, sandbox):
    heard = Heard(until="ready")
    command = agent("echo ready; while [ ! -e go ]; do sleep 0.05; done", env={"ADA_API_KEY": SECRET})
    doing = asyncio.create_task(do(command, place, sandbox, heard))
    await asyncio.wait_for(heard.there.wait(), 20)

    seen = processes_with("ada-cli"), processes_with(SECRET)
    (place.tree / "go").touch()
    await doing

    assert seen[0]
    assert [] == seen[1]


async def test_without_the_operators_word_no_variable_of_the_sidecar_is_there(agent, place, sandbox, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)

    done = await do(agent("env; cat /proc/self/environ"), place, sandbox)

    assert "ANTHROPIC" not in done.output
    assert "canary" not in done.output


async def test_a_file_into_which_a_secret_was_written_is_removed_and_the_work_is_no_success(agent, place, sandbox):
    (place.tree / "old").write_text("old")
    script = 'mkdir -p a; echo "key: $ADA_API_KEY" > a/config; echo fine > b; ln -s "$ADA_API_KEY" link'

    spilt = await do(agent(script, env={"ADA_API_KEY": "sk-canary-0123456789"}), place, sandbox)

    assert ("secret_in_work", False) == (spilt.code, spilt.partial)
    assert "a/config" in spilt.message
    assert {"a", "b", "old"} == {path.name for path in place.tree.iterdir()}
    assert [] == list((place.tree / "a").iterdir())


def test_a_secret_is_removed_from_below_closed_directories_and_from_closed_files(place):
    (place.tree / "closed" / "inner").mkdir(parents=True)
    (place.tree / "closed" / "inner" / "key").write_text("sk-canary-0123456789")
    (place.tree / "plain").write_text("work")
    for path in ("closed/inner/key", "closed/inner", "closed", "plain"):
        (place.tree / path).chmod(0)
    removed = []

    without_rights(lambda: removed.extend(Secrets({"ADA_API_KEY": "sk-canary-0123456789"}).remove_from(place.tree, 0)))

    assert ["closed/inner/key"] == removed
    assert [] == list((place.tree / "closed" / "inner").iterdir())


def test_a_secret_is_removed_from_deeper_than_a_path_is_long(place):
    key = "sk-canary-0123456789"
    deepen(place.tree, 2_100, content=key.encode())

    try:
        removed, again = (Secrets({"ADA_API_KEY": key}).remove_from(place.tree, 0) for _ in range(2))
    finally:
        discard(place.tree)  # pytest's own way gives up on directories this deep

    assert (1, []) == (len(removed), again)


async def test_a_plain_setting_may_be_part_of_the_work(agent, place, sandbox):
    done = await do(agent('echo "$MODEL" > b', env={"MODEL": "some-large-model"}), place, sandbox)

    assert done.succeeded
    assert "some-large-model\n" == (place.tree / "b").read_text()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 20, 1000])
def test_a_secret_is_masked_however_the_stream_is_cut(size):
    secrets = Secrets({"A": "abcdefgh", "LONG": "abcdefghij-abcdefgh", "LINES": "first line of it\nsecond line of it"})
    text = b"x abcdefgh y abcdefghij-abcdefgh abcdefghij-abcdefg! first line of it\nsecond line of it\nabcdef"
    shown, held = b"", b""

    for at in range(0, len(text), size):
        some, held = secrets.masked(held + text[at : at + size], more=True)
        shown += some
    shown += secrets.masked(held)[0]

    assert b"x [A] y [LONG] [A]ij-abcdefg! [LINES]\nabcdef" == shown


def test_short_values_are_left_alone():
    assert (b"1 on", b"") == Secrets({"A": "1", "B": "on"}).masked(b"1 on", more=True)


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def listening():
    reached = []

    def note(_reader, writer):
        reached.append("reached")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], reached
    server.close()
    await server.wait_closed()


CONNECT = """#!/usr/bin/env python3
import socket
try:
    socket.create_connection(("127.0.0.1", %d), 5)
    print("reached")
except OSError:
    print("no")
"""


@pytest.mark.bwrap
async def test_the_network_is_there_only_for_a_command_that_was_given_it(agent, place, confined, listening):
    port, reached = listening

    without = await do(agent(CONNECT % port), place, confined)
    given = await do(agent(CONNECT % port, network=True), place, confined)

    assert ("no\n", "reached\n") == (without.output, given.output)
    assert ["reached"] == reached


@pytest.mark.bwrap
async def test_the_prompt_tells_of_the_network_only_who_has_one(agent, place, confined):
    without = await do(agent('cat "$AGENTCOM_PROMPT_FILE"'), place, confined)
    given = await do(agent('cat "$AGENTCOM_PROMPT_FILE"', network=True), place, confined)

    assert ["do have a network" in done.output for done in (without, given)] == [False, True]


# --- as a whole attempt -----------------------------------------------------------------------------------------------


async def test_the_work_of_an_agent_is_verified_and_published_like_any_other(agent, attempt, hub):
    report = await attempt(agent("echo 2 > value.txt; echo 'Set it to 2.'"), "grep 2 value.txt")

    assert isinstance(report, messages.TaskCompleted), report
    assert "2" == on_the_hub(hub, "agentcom/ada/7-fix")
    assert ("command", "ada-cli", "Set it to 2.", {}, 0) == (
        report.result.executor,
        report.result.model,
        report.result.summary,
        report.result.tokens,
        report.result.cost_microusd,
    )


async def test_an_agent_that_claims_to_be_done_is_judged_by_the_checks(agent, attempt):
    report = await attempt(agent("echo 3 > value.txt; echo done"), "grep 2 value.txt")

    assert "verification_failed" == report.error.code


async def test_a_failed_check_is_in_the_words_of_the_next_run(agent, attempt, hub):
    script = 'echo 3 > value.txt; if grep -q "An earlier attempt" "$AGENTCOM_PROMPT_FILE"; then echo 2 > value.txt; fi'

    report = await attempt(agent(script), "grep 2 value.txt", max_fixes=1)

    assert isinstance(report, messages.TaskCompleted), report
    assert 2 == report.result.runs


async def test_work_of_an_agent_that_failed_counts_when_the_checks_pass(agent, attempt, hub):
    report = await attempt(agent("echo 2 > value.txt; exit 1"), "grep 2 value.txt")

    assert isinstance(report, messages.TaskCompleted), report
    assert "2" == on_the_hub(hub, "agentcom/ada/7-fix")


async def test_work_of_an_agent_that_failed_is_kept_when_the_checks_do_not_pass(agent, attempt, hub):
    report = await attempt(agent("echo 3 > value.txt; echo no credit; exit 1"), "grep 2 value.txt")

    assert ("command_failed", True) == (report.error.code, report.result.partial)
    assert "no credit" in report.error.message
    assert "3" == on_the_hub(hub, "refs/agentcom/salvage/1")


async def test_time_is_left_for_the_checks_of_an_agent_that_hangs(agent, attempt, hub):
    report = await attempt(agent("echo 2 > value.txt; sleep 60"), "grep 2 value.txt", timeout_seconds=3)

    assert isinstance(report, messages.TaskCompleted), report
    assert "timeout" == report.result.stop_reason


async def test_a_missing_program_fails_the_attempt_with_the_reason(attempt):
    report = await attempt(AgentCommand(name="ada-cli", argv=["no-such-agent-cli"]))

    assert ("command_missing", "setup") == (report.error.code, report.result.blame)


async def test_a_secret_reaches_neither_the_report_nor_the_hubs_repository(agent, attempt, hub):
    key = "sk-canary-0123456789"
    script = 'echo "$ADA_API_KEY" > leak.txt; echo "$ADA_API_KEY"; echo 2 > value.txt'

    report = await attempt(agent(script, env={"ADA_API_KEY": key}), 'test ! -n "$ADA_API_KEY"')

    assert "secret_in_work" == report.error.code
    assert key not in report.model_dump_json()
    assert "2" == on_the_hub(hub, "refs/agentcom/salvage/1")
    assert "" == git("log", "--all", f"-S{key}", "--format=%h", cwd=hub / "git" / "sample.git")


@pytest.mark.bwrap
@pytest.mark.parametrize("sandbox", ["bubblewrap"], indirect=True)
async def test_the_checks_have_neither_the_network_nor_the_secrets_of_the_agent(agent, attempt, listening):
    port, reached = listening
    probe = f"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'"
    command = agent(f"{probe}; echo 2 > value.txt", network=True, env={"ADA_API_KEY": "sk-canary-0123456789"})

    report = await attempt(command, f"! {probe}", 'test -z "$ADA_API_KEY"')

    assert isinstance(report, messages.TaskCompleted), report
    assert ["reached"] == reached


@pytest.mark.parametrize("ending", ["exit 0", "exit 1", "sleep 60"])
async def test_an_agent_that_fills_the_disk_is_ended_by_name(agent, attempt, ending):
    report = await attempt(agent(f"{FILL}; {ending}"), "true", bounds=SMALL)

    assert ("tree_too_large", "capability", False) == (report.error.code, report.result.blame, report.result.partial)
    assert "more than 8 MB" in report.error.message
    assert [] == report.reports


async def test_a_machine_without_room_is_said_and_no_missing_program(agent, attempt, monkeypatch):
    space = disk._space(Path("/"))
    monkeypatch.setattr(disk, "_space", lambda _: replace(space, free=0))

    report = await attempt(agent("touch started"), "true")

    assert ("disk_full", "infrastructure") == (report.error.code, report.result.blame)


# --- settings and offers ----------------------------------------------------------------------------------------------


def test_a_command_that_can_be_started_is_offered_with_its_grade_and_another_is_said(agent):
    there = agent("true", grade="gold")
    missing = AgentCommand(name="bob-cli", argv=["no-such-agent-cli"])

    with capture_logs() as logs:
        usable = minds.usable([there, missing], Policy(sandbox="off"))

    assert [("command", "ada-cli", "gold")] == [
        (offer.executor, offer.model, offer.grade) for offer in minds.offers([], usable)
    ]
    assert ["bob-cli"] == [line["command"] for line in logs]
    assert "no-such-agent-cli" in logs[0]["reason"]


def test_there_is_a_command_executor_only_where_there_are_commands(agent):
    assert "command" not in minds.executors([])
    assert "command" == minds.executors([], [agent("true")])["command"].name


def test_the_hub_is_told_with_whom_the_network_is_shared(agent):
    level = Level(name="bubblewrap", reason="It works here.")
    commands = [agent("true", network=True), agent("true", name="bob-cli")]

    assert "It works here. The network is shared with: ada-cli." == minds.in_words(level, commands)
    assert "It works here." == minds.in_words(level, commands[1:])


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": []},
        {"argv": [""]},
        {"argv": ["./cli"]},
        {"argv": ["bin/cli"]},
        {"argv": ["{tree}/cli"]},
        {"argv": ["-c"]},
        {"argv": ["cli", "a\0b"]},
        {"env": {"LD_PRELOAD": "x"}},
        {"env": {"AGENTCOM_TASK_ID": "8"}},
        {"env": {"A": "x\0y"}},
        {"env": {"A B": "x"}},
        {"pass_env": ["HOME"]},
        {"pass_env": ["A=B"]},
        {"name": "../up"},
        {"shell": True},
    ],
)
def test_a_command_that_could_not_mean_what_it_says_is_refused(wrong):
    with pytest.raises(ValidationError):
        AgentCommand(**{"name": "cli", "argv": ["cli"], **wrong})


def test_commands_are_told_apart_by_their_names():
    twice = [AgentCommand(name="cli", argv=[word]) for word in ("a", "b")]

    with pytest.raises(ValidationError, match="same name"):
        Config(hub="http://hub", name="ada", token="t", commands=twice)


def test_a_secret_in_the_settings_is_not_shown_with_them():
    command = AgentCommand(name="cli", argv=["cli"], env={"ADA_API_KEY": SECRET})

    assert "canary" not in repr(command)


DOCUMENTED = re.findall(r"```json\n(.*?)```", (Path(__file__).parents[3] / "docs" / "agents.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("example", DOCUMENTED)
def test_the_documented_examples_are_settings(example):
    found = json.loads(example)
    commands = [AgentCommand(**found)] if "argv" in found else Config(hub="x", name="ada", token="t", **found).commands

    assert any("{prompt_file}" in word or "{brief_file}" in word for word in commands[0].argv)


def test_the_four_agents_that_people_ask_for_are_documented():
    names = {json.loads(example).get("name") for example in DOCUMENTED}

    assert {"claude", "codex", "opencode", "openclaw"} <= names
