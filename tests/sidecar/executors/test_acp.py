"""Agent CLIs that speak the Agent Client Protocol: a small agent of ours plays them, a scene at a time."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from sidecar import minds
from sidecar.config import AgentCommand
from sidecar.executors import Job
from sidecar.executors.acp import Paced
from sidecar.sandbox import Limits
from sidecar.wire import messages
from sidecar.wire.nouns import Brief
from tests.sidecar.executors.stage import FILL, SMALL, Heard, on_the_hub, processes_with

# The other side of the wire, strict about what it is told. A scene follows it.
AGENT = """#!/usr/bin/env python3
import json, os, pathlib, signal, sys, time

def read():
    line = sys.stdin.readline()
    if not line:
        raise SystemExit("the end of input")
    message = json.loads(line)
    assert message["jsonrpc"] == "2.0", message
    return message

def raw(text):
    sys.stdout.write(text)
    sys.stdout.flush()

def send(**members):
    raw(json.dumps({"jsonrpc": "2.0", **members}) + "\\n")

def expect(method):
    message = read()
    assert message["method"] == method, message
    return message

def answer(request, **result):
    send(id=request["id"], result=result)

def update(what, **more):
    send(method="session/update", params={"sessionId": "s-1", "update": {"sessionUpdate": what, **more}})

def say(text):
    update("agent_message_chunk", content={"type": "text", "text": text})

def ask(method, **params):
    send(id=f"q-{method}", method=method, params={"sessionId": "s-1", **params})
    message = read()
    assert message["id"] == f"q-{method}", message
    return message

def permission():
    kinds = ("allow_always", "allow_once", "reject_once")
    call = {"toolCallId": "c-1"}
    found = ask("session/request_permission", toolCall=call,
                options=[{"optionId": f"o-{kind}", "name": kind, "kind": kind} for kind in kinds])
    return found["result"]["outcome"]

def initialize(version=1):
    hello = expect("initialize")
    assert hello["params"]["protocolVersion"] == 1, hello
    assert hello["params"]["clientCapabilities"] == {
        "fs": {"readTextFile": True, "writeTextFile": True}, "terminal": False}, hello
    answer(hello, protocolVersion=version, agentCapabilities={}, authMethods=[])

def begin():
    initialize()
    new = expect("session/new")
    assert new["params"] == {"cwd": os.getcwd(), "mcpServers": []}, new
    answer(new, sessionId="s-1")
    prompt = expect("session/prompt")
    assert prompt["params"]["sessionId"] == "s-1", prompt
    block, = prompt["params"]["prompt"]
    assert block["type"] == "text", prompt
    return prompt

def end(prompt, reason="end_turn"):
    answer(prompt, stopReason=reason)

"""
WORK = 'pathlib.Path("value.txt").write_text("2\\n")\n'


@pytest.fixture
def agent(tmp_path):
    """Write an agent that plays a scene, and answer its settings."""
    tools = tmp_path / "tools"
    tools.mkdir()

    def written(scene, *words, **settings):
        path = tools / "ada-acp"
        path.write_text(AGENT + scene)
        path.chmod(0o755)
        return AgentCommand(name="ada-acp", argv=["ada-acp", *words], read_only=[tools], protocol="acp", **settings)

    return written


async def do(command, place, sandbox, heard=None, seconds=30.0, **brief):
    executor = minds.executors([], [command])["command"]
    job = Job(
        task=7,
        attempt=41,
        generation=2,
        brief=Brief(**{"title": "Fix the value", **brief}),
        timeout_seconds=seconds,
        model="ada-acp",
    )
    return await executor.execute(job, place, sandbox, heard or Heard())


# --- a turn that goes well --------------------------------------------------------------------------------------------


async def test_a_turn_that_ends_well_is_done_and_its_last_words_are_the_summary(agent, place, sandbox):
    heard = Heard()
    scene = f"""
prompt = begin()
pathlib.Path("prompt").write_text(prompt["params"]["prompt"][0]["text"])
say("I lo"); say("ok.")
update("agent_thought_chunk", content={{"type": "text", "text": "hm"}})
update("tool_call", toolCallId="c-1", title="Write value.txt", kind="edit", rawInput={{"path": "value.txt"}})
{WORK}
update("tool_call_update", toolCallId="c-1", status="completed")
update("news_of_tomorrow", x=1)
send(method="_vendor/hint", params={{"sessionId": "s-1"}})
say("I set it to 2.\\nThe check ran.")
end(prompt)
"""

    done = await do(agent(scene), place, sandbox, heard, title="-- 'quoted' $(id)")

    assert done.succeeded, done
    assert ("I look.\nI set it to 2.\nThe check ran.", "end_turn", 0, "ada-acp", {}) == (
        done.summary,
        done.stop_reason,
        done.exit_code,
        done.model,
        done.tokens,
    )
    assert [
        ("note", "ada-acp is awake."),
        ("note", "I look."),
        ("tool", "Write value.txt"),
        ("note", "I set it to 2."),
        ("note", "The check ran."),
    ] == heard.told[:5]
    assert {"tool": "edit", "arguments": '{"path": "value.txt"}'} == heard.facts[2]
    assert heard.notes[-1].startswith("ada-acp ended with exit code 0 after ")
    assert "# -- 'quoted' $(id)" in (place.tree / "prompt").read_text()
    assert "2\n" == (place.tree / "value.txt").read_text()


async def test_files_are_read_and_written_for_it_but_only_in_the_tree(agent, place, sandbox, tmp_path):
    (place.tree / "old.txt").write_text("one\ntwo\n")
    (tmp_path / "private").write_text("not for agents")
    scene = f"""
prompt = begin()
here = os.getcwd()
read_ = ask("fs/read_text_file", path=here + "/old.txt", line=2, limit=1)
wrote = ask("fs/write_text_file", path=here + "/deep/new.txt", content="é" + chr(10))
outside = ask("fs/read_text_file", path={str(tmp_path / "private")!r})
upward = ask("fs/write_text_file", path=here + "/../stolen", content="x")
other = ask("fs/read_text_file", path=here + "/old.txt", sessionId="s-2")
terminal = ask("terminal/create", command="id")
codes = [one["error"]["code"] for one in (outside, upward, other, terminal)]
say(json.dumps([read_["result"], wrote["result"], *codes]))
end(prompt)
"""

    done = await do(agent(scene), place, sandbox)

    assert done.succeeded, done
    assert '[{"content": "two\\n"}, {}, -32602, -32602, -32602, -32601]' == done.summary
    assert "é\n" == (place.tree / "deep" / "new.txt").read_text()
    assert not (tmp_path / "attempt" / "stolen").exists()


@pytest.mark.parametrize(("policy", "chosen"), [("allow", "o-allow_once"), ("reject", "o-reject_once")])
async def test_its_questions_are_answered_by_the_operators_policy(agent, place, sandbox, policy, chosen):
    heard = Heard()
    scene = """
prompt = begin()
update("tool_call", toolCallId="c-1", title="Remove it all", kind="delete")
say(json.dumps(permission()))
end(prompt)
"""

    done = await do(agent(scene, permissions=policy), place, sandbox, heard)

    assert f'{{"outcome": "selected", "optionId": "{chosen}"}}' == done.summary
    assert f"Remove it all: {policy}ed" in heard.notes


async def test_what_it_prints_as_errors_is_a_log_and_no_part_of_the_conversation(agent, place, sandbox):
    heard = Heard()

    done = await do(agent('print("a log", file=sys.stderr, flush=True); end(begin())'), place, sandbox, heard)

    assert done.succeeded, done
    assert ("It said nothing.", "a log\n") == (done.summary, done.output)
    assert ("output", "a log") in heard.told


async def test_a_login_that_is_wanted_is_a_fault_of_the_setup(agent, place, sandbox):
    scene = """
initialize()
new = expect("session/new")
send(id=new["id"], error={"code": -32000, "message": "Authentication required"})
read()
"""

    lacking = await do(agent(scene), place, sandbox)

    assert ("command_failed", "setup", False) == (lacking.code, lacking.blame, lacking.partial)
    assert "wants a login first" in lacking.message
    assert "Authentication required" in lacking.message


# --- how a turn ends --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "means"),
    [
        ("end_turn", ("", False, "")),
        ("max_tokens", ("out_of_steps", True, "capability")),
        ("max_turn_requests", ("out_of_steps", True, "capability")),
        ("refusal", ("declined", True, "capability")),
        ("cancelled", ("stopped", True, "")),
        ("boredom", ("acp_protocol", True, "")),
    ],
)
async def test_a_stop_reason_says_how_it_went(agent, place, sandbox, reason, means):
    ended = await do(agent(WORK + f"end(begin(), {reason!r})"), place, sandbox)

    assert means == (ended.code, ended.partial, ended.blame), ended
    assert "2\n" == (place.tree / "value.txt").read_text()


async def test_an_error_in_place_of_a_stop_reason_is_quoted(agent, place, sandbox):
    failed = await do(agent('send(id=begin()["id"], error={"code": -32603, "message": "no credit"})'), place, sandbox)

    assert ("command_failed", True) == (failed.code, failed.partial)
    assert failed.message.startswith("ada-acp failed: no credit.")


async def test_an_agent_that_does_not_leave_when_all_is_said_is_ended(agent, place, sandbox, monkeypatch):
    monkeypatch.setattr("sidecar.executors.acp.LEAVE_SECONDS", 0.1)

    done = await do(agent("end(begin())\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"),
                    place, sandbox)  # fmt: skip

    assert done.succeeded, done
    assert "end_turn" == done.stop_reason


async def test_an_agent_that_exits_in_the_middle_of_its_turn_failed_and_its_work_is_kept(agent, place, sandbox):
    scene = f'begin()\n{WORK}say("half")\nprint("out of memory", file=sys.stderr)\nsys.exit(3)'

    failed = await do(agent(scene), place, sandbox)

    assert ("command_failed", 3, True) == (failed.code, failed.exit_code, failed.partial)
    assert "ended with exit code 3 before its turn was over" in failed.message
    assert failed.message.endswith("It said last:\nout of memory")
    assert "2\n" == (place.tree / "value.txt").read_text()


async def test_an_agent_that_exits_at_once_says_why(agent, place, sandbox):
    failed = await do(agent('sys.exit("no such model")'), place, sandbox)

    assert ("command_failed", 1) == (failed.code, failed.exit_code)
    assert failed.message.endswith("no such model")


async def test_a_missing_program_is_missing_here_too(place, sandbox):
    missing = await do(AgentCommand(name="ada-acp", argv=["no-such-agent"], protocol="acp"), place, sandbox)

    assert ("command_missing", "setup") == (missing.code, missing.blame)


async def test_an_agent_that_does_not_say_hello_is_ended_with_the_reason(agent, place, sandbox, monkeypatch):
    monkeypatch.setattr("sidecar.executors.acp.LEAVE_SECONDS", 0.1)

    silent = await do(agent("while True: time.sleep(1)", start_seconds=0.3), place, sandbox)

    assert ("command_failed", "silent", "setup") == (silent.code, silent.stop_reason, silent.blame)
    assert "ada-acp did not answer within 0.3 seconds." == silent.message


async def test_an_agent_of_another_version_is_named(agent, place, sandbox):
    other = await do(agent("initialize(2); read()"), place, sandbox)

    assert ("acp_protocol", "setup") == (other.code, other.blame)
    assert "speaks version 2 of the protocol" in other.message


# --- the protocol is broken -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scene", "what"),
    [
        ('raw("Migrating the database\\n")', "a line that is no JSON: Migrating the database"),
        ('raw("x" * (5 * 1024 * 1024))', "a line of more than 4,194,304 bytes"),
        ('send(id=99, result={})', "answered what was not asked"),
        ('raw(2 * (json.dumps({"jsonrpc": "2.0", "id": 1, "method": "a"}) + "\\n"))', "used the id '1' again"),
        ('send(id=prompt["id"], result="end_turn")', "answered session/prompt with what is no object"),
    ],
)  # fmt: skip
async def test_what_breaks_the_protocol_ends_the_turn_and_the_work_is_kept(agent, place, sandbox, scene, what):
    broken = await do(agent(f"prompt = begin()\n{WORK}{scene}\nwhile True: time.sleep(1)"), place, sandbox)

    assert ("acp_protocol", "garbled", True) == (broken.code, broken.stop_reason, broken.partial), broken
    assert what in broken.message
    assert "2\n" == (place.tree / "value.txt").read_text()


async def test_requests_pile_up_to_a_limit_when_their_answers_are_not_taken(agent, place, sandbox):
    (place.tree / "large").write_text("x" * 900_000)
    scene = """
begin()
for n in range(200):
    send(id=n, method="fs/read_text_file", params={"sessionId": "s-1", "path": "large"})
while True: time.sleep(1)
"""

    broken = await do(agent(scene), place, sandbox)

    assert "acp_protocol" == broken.code
    assert "more than 100 requests without waiting for an answer" in broken.message


@pytest.mark.parametrize("answered", ["initialize", "session/new"])
async def test_an_answer_without_what_was_asked_for_is_named(agent, place, sandbox, answered):
    scene = (
        'answer(expect("initialize"))' if answered == "initialize" else 'initialize(); answer(expect("session/new"))'
    )

    broken = await do(agent(f"{scene}\nread()"), place, sandbox)

    assert "acp_protocol" == broken.code
    assert f"answered {answered} without a" in broken.message


async def test_a_stream_without_an_end_is_cut(agent, place, sandbox, monkeypatch):
    monkeypatch.setattr("sidecar.acp.protocol.TOTAL_BYTES", 300_000)

    broken = await do(agent("begin()\nwhile True: say('x' * 1000)"), place, sandbox)

    assert "acp_protocol" == broken.code
    assert "more than 300,000 bytes in all" in broken.message


# --- time and cancelling ----------------------------------------------------------------------------------------------


async def test_before_its_time_is_over_it_is_told_to_stop(agent, place, sandbox, monkeypatch):
    monkeypatch.setattr("sidecar.executors.acp.CANCEL_SECONDS", 27.0)
    monkeypatch.setattr("sidecar.executors.acp.CANCEL_SHARE", 0.9)
    scene = f"""
prompt = begin()
{WORK}
cancel = expect("session/cancel")
assert cancel == {{"jsonrpc": "2.0", "method": "session/cancel", "params": {{"sessionId": "s-1"}}}}, cancel
pathlib.Path("asked").write_text(json.dumps(permission()))
end(prompt, "cancelled")
"""

    late = await do(agent(scene), place, sandbox, seconds=30.0)

    assert ("deadline", "cancelled", True, "capability") == (late.code, late.stop_reason, late.partial, late.blame), (
        late
    )
    assert "ada-acp did not end within 30 seconds." == late.message
    assert '{"outcome": "cancelled"}' == (place.tree / "asked").read_text()


async def test_an_agent_that_is_silent_for_ever_ends_at_the_deadline(agent, place, sandbox):
    scene = "begin()\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)"

    late = await do(agent(scene), place, sandbox, seconds=2.0)

    assert ("deadline", "timeout", True) == (late.code, late.stop_reason, late.partial)


async def test_an_agent_that_asks_for_much_and_takes_no_answer_is_not_waited_for_beyond_the_deadline(
    agent, place, sandbox
):
    (place.tree / "large").write_text("x" * 900_000)
    scene = """
begin()
for n in range(50):
    send(id=n, method="fs/read_text_file", params={"sessionId": "s-1", "path": "large"})
while True: time.sleep(1)
"""

    late = await do(agent(scene), place, sandbox, seconds=2.0)

    assert ("deadline", "timeout", True) == (late.code, late.stop_reason, late.partial)


async def test_cancelling_tells_it_to_stop_then_ends_it_and_all_it_started(agent, place, sandbox, tmp_path):
    mark = f"agentcom-mark-{os.getpid()}-{tmp_path.name}"
    heard = Heard(until="ready")
    scene = """
import subprocess
prompt = begin()
subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, 1); time.sleep(600)", sys.argv[1]],
                 start_new_session=True, stdin=-3, stdout=-3, stderr=-3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("ready\\n")
expect("session/cancel")
pathlib.Path("heard").touch()
"""
    sandbox = replace(sandbox, limits=Limits(grace_seconds=20))  # until it has heard, on however slow a machine
    doing = asyncio.create_task(do(agent(scene, mark), place, sandbox, heard))
    await asyncio.wait_for(heard.there.wait(), 20)
    assert processes_with(mark)

    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing

    assert (place.tree / "heard").exists()
    assert [] == processes_with(mark)


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_a_granted_secret_is_shown_in_nothing_that_it_says(agent, place, sandbox):
    heard = Heard()
    scene = """
prompt = begin()
key = os.environ["ADA_API_KEY"]
say(key[:9]); say(key[9:] + "\\n")
update("tool_call", toolCallId="c-1", title="x" * 490 + key, kind=key, rawInput={"a": ["y" * 1980 + key, key]})
update("plan", entries=[{"content": key, "status": "in_progress"}])
permission()
print(key, file=sys.stderr, flush=True)
raw("z" * 1490 + key + "\\n")
read()
"""

    failed = await do(agent(scene, env={"ADA_API_KEY": 'sk-canary-0123456789/+="quoted"-end'}), place, sandbox, heard)

    everything = f"{failed!r} {heard.told!r} {heard.facts!r}"
    assert "acp_protocol" == failed.code, failed
    assert "[ADA_API_KEY]" in failed.summary
    assert "canary" not in everything
    assert "plan: [ADA_API_KEY]" in heard.notes


async def test_a_secret_in_a_file_that_was_written_for_it_is_found_in_the_work(agent, place, sandbox):
    scene = """
prompt = begin()
ask("fs/write_text_file", path=os.getcwd() + "/config", content="key = " + os.environ["ADA_API_KEY"])
end(prompt)
"""

    spilt = await do(agent(scene, env={"ADA_API_KEY": "sk-canary-0123456789"}), place, sandbox)

    assert ("secret_in_work", False) == (spilt.code, spilt.partial)
    assert [] == list(place.tree.iterdir())


# --- the pipe under it ------------------------------------------------------------------------------------------------


async def test_what_is_written_to_a_command_is_its_input_and_its_errors_come_apart(place, sandbox):
    out: list[bytes] = []
    errors: list[bytes] = []

    async def talk(pipe):
        pipe.write(b"over and out\n")

    outcome = await sandbox.run("cat; echo wrong >&2", tree=place.tree, timeout_seconds=20, talk=talk,
                                output=out.append, errors=errors.append)  # fmt: skip

    assert (b"over and out\n", b"wrong\n") == (b"".join(out), b"".join(errors))
    assert ("over and out\n", "exited") == (outcome.output, outcome.ended)


async def test_a_command_whose_talker_fails_is_ended_and_the_failure_is_seen(place, sandbox):
    async def talk(pipe):
        raise LookupError("lost for words")

    with pytest.raises(LookupError):
        await sandbox.run("cat; sleep 60", tree=place.tree, timeout_seconds=20, talk=talk)


async def test_a_talker_who_goes_on_does_not_keep_a_command_from_ending(place, sandbox):
    async def talk(pipe):
        await asyncio.Event().wait()

    outcome = await sandbox.run("exit 4", tree=place.tree, timeout_seconds=20, talk=talk)

    assert (4, "exited") == (outcome.exit_code, outcome.ended)


async def test_cancelling_before_it_has_begun_ends_it_all_the_same(agent, place, sandbox, tmp_path):
    mark = f"agentcom-mark-{os.getpid()}-{tmp_path.name}"
    heard = Heard(until="up")
    scene = "print('up', file=sys.stderr, flush=True)\nwhile True: time.sleep(1)"
    doing = asyncio.create_task(do(agent(scene, mark), place, sandbox, heard))
    await asyncio.wait_for(heard.there.wait(), 20)

    doing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doing

    assert [] == processes_with(mark)


# --- live steps and settings ------------------------------------------------------------------------------------------


async def test_an_agent_that_tells_too_much_is_told_in_part(agent, place, sandbox):
    heard = Heard()

    done = await do(agent("prompt = begin()\nfor n in range(5000): say(f'{n}\\n')\nend(prompt)"), place, sandbox, heard)

    assert done.succeeded, done
    assert len(heard.told) < 1000
    assert any("steps were left out" in note for note in heard.notes)
    assert done.summary.endswith("4999")


def test_steps_flow_again_after_a_pause_and_those_left_out_are_counted():
    heard, clock = Heard(), [0.0]
    paced = Paced(heard, now=lambda: clock[0])

    for number in range(150):
        paced("output", str(number))
    clock[0] = 1.0
    paced("output", "later")

    assert [("output", "99"), ("note", "50 steps were left out."), ("output", "later")] == heard.told[99:]


@pytest.mark.parametrize("wrong", [{"protocol": "mcp"}, {"permissions": "ask"}])
def test_nobody_can_be_asked_and_no_other_protocol_is_known(wrong):
    with pytest.raises(ValidationError):
        AgentCommand(**{"name": "x", "argv": ["x"], **wrong})


def test_the_documented_example_is_a_setting():
    text = (Path(__file__).parents[3] / "docs" / "agents.md").read_text()
    example = re.search(r"^    (\{.*\"protocol\": \"acp\".*\})$", text, re.MULTILINE)

    assert example is not None
    assert "acp" == AgentCommand(**json.loads(example[1])).protocol


# --- as a whole attempt -----------------------------------------------------------------------------------------------


async def test_the_work_of_an_agent_that_speaks_acp_is_verified_and_published(agent, attempt, hub):
    scene = """
prompt = begin()
ask("fs/write_text_file", path=os.getcwd() + "/value.txt", content="2\\n")
say("I set it to 2.")
end(prompt)
"""

    report = await attempt(agent(scene), "grep 2 value.txt")

    assert isinstance(report, messages.TaskCompleted), report
    assert ("I set it to 2.", "end_turn") == (report.result.summary, report.result.stop_reason)
    assert "2" == on_the_hub(hub, "agentcom/ada/7-fix")


async def test_its_end_turn_is_a_claim_and_the_checks_decide(agent, attempt):
    report = await attempt(agent("pathlib.Path('value.txt').write_text('3'); end(begin())"), "grep 2 value.txt")

    assert "verification_failed" == report.error.code


async def test_what_a_broken_conversation_left_is_kept(agent, attempt, hub):
    report = await attempt(
        agent("begin(); pathlib.Path('value.txt').write_text('3'); raw('oops\\n'); read()"), "grep 2 value.txt"
    )

    assert ("acp_protocol", True) == (report.error.code, report.result.partial)
    assert "3" == on_the_hub(hub, "refs/agentcom/salvage/1")


@pytest.mark.parametrize("ending", ["end(prompt)", "read()"])
async def test_an_agent_that_fills_the_disk_is_ended_by_name_whatever_it_says(agent, attempt, ending):
    scene = f"""
prompt = begin()
import subprocess
subprocess.run(["sh", "-c", {FILL!r}])
{ending}
"""

    report = await attempt(agent(scene), "true", bounds=SMALL)

    assert ("tree_too_large", False) == (report.error.code, report.result.partial)
    assert "more than 8 MB" in report.error.message
