"""The Agent Client Protocol without a process: lines in, messages out, and what we answer."""

from __future__ import annotations

import json

import pytest

from sidecar.acp import protocol
from sidecar.acp.client import Client, Refusal
from sidecar.acp.protocol import Answer, Fault, Garbled, Notification, Request, Wire
from sidecar.acp.updates import Updates


def line(**members):
    return json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n"


def heard(*chunks, wire=None):
    wire = wire or Wire()
    return [message for chunk in chunks for message in wire.feed(chunk)]


# --- lines and messages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_messages_are_found_however_the_stream_is_cut(size):
    stream = b"\n \n" + line(method="a", params={"text": "é\n🙂"}) + line(id="x", method="b") + b'{"half'

    found = heard(*(stream[at : at + size] for at in range(0, len(stream), size)))

    assert [Notification("a", {"text": "é\n🙂"}), Request("x", "b", {})] == found


def test_what_we_send_is_one_line_of_json_rpc_each():
    wire = Wire()
    request = heard(line(id="q", method="fs/read_text_file"), wire=wire)[0]

    sent = [
        wire.ask("initialize", {"text": "a\nb"}),
        wire.ask("session/new", {}),
        wire.tell("session/cancel", {"sessionId": "s"}),
        wire.answer(request, {}),
        wire.refuse(request, Fault(-32601, "no")),
    ]

    assert [1] * 5 == [one.count(b"\n") for one in sent]
    assert [
        {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"text": "a\nb"}},
        {"jsonrpc": "2.0", "id": 1, "method": "session/new", "params": {}},
        {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": "s"}},
        {"jsonrpc": "2.0", "id": "q", "result": {}},
        {"jsonrpc": "2.0", "id": "q", "error": {"code": -32601, "message": "no"}},
    ] == [json.loads(one) for one in sent]


def test_answers_come_with_what_was_asked_in_any_order():
    wire = Wire()
    wire.ask("one", {})
    wire.ask("two", {})

    found = heard(line(id=1, error={"code": -32000, "message": "login", "data": 1}), line(id=0, result=None), wire=wire)

    assert [Answer("two", None, Fault(-32000, "login")), Answer("one", None)] == found


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (b"hello\n", "a line that is no JSON"),
        (b"\xff{}\n", "a line that is no JSON"),
        (b'{"jsonrpc": "2.0", "method": "a", "params": {"n": NaN}}\n', "a line that is no JSON"),
        (b"[" * 200_000 + b"\n", "a line that is no JSON"),
        (b"9" * 10_000 + b"\n", "a line that is no JSON"),
        (b"[]\n", "no JSON object"),
        (b"{}\n", "no JSON-RPC 2.0"),
        (b'{"jsonrpc": "1.0", "method": "a"}\n', "no JSON-RPC 2.0"),
        (line(method=3), "a request that is none"),
        (line(method="a", params=[1]), "a request that is none"),
        (line(method="a", id=1, result=2), "a request that is none"),
        (line(method="a", id=1.5), "an id"),
        (line(method="a", id=True), "an id"),
        (line(method="a", id={}), "an id"),
        (line(id=7), "neither a request nor an answer"),
        (line(id=7, result=1, error={"code": 1, "message": ""}), "neither a request nor an answer"),
        (line(id=7, result=1), "answered what was not asked"),
        (line(id="0", result=1), "answered what was not asked"),
        (line(result=1), "answered what was not asked"),
        (line(id=0, error="bad"), "an error without a code"),
        (line(id=None, error={"code": -32700, "message": "?"}), "could not read what it was sent"),
        (line(id=0, result=1) * 2, "answered what was not asked"),
        (line(id=5, method="a") * 2, "used the id '5' again"),
    ],
)
def test_what_breaks_the_protocol_is_named(wrong, what):
    wire = Wire()
    wire.ask("initialize", {})

    with pytest.raises(Garbled, match=what):
        heard(wrong, wire=wire)


def test_a_line_is_bounded_with_and_without_its_end(monkeypatch):
    monkeypatch.setattr(protocol, "LINE_BYTES", 100)

    for chunks in ([b"x" * 101], [b"x" * 60, b"x" * 60], [b"x" * 101 + b"\n"]):
        with pytest.raises(Garbled, match="a line of more than 100 bytes"):
            heard(*chunks)
    assert [Notification("a", {})] * 9 == heard(line(method="a") * 9)


def test_all_that_is_sent_is_bounded(monkeypatch):
    monkeypatch.setattr(protocol, "TOTAL_BYTES", 300)

    with pytest.raises(Garbled, match="more than 300 bytes in all"):
        heard(*[line(method="a")] * 12)


def test_requests_that_wait_for_an_answer_are_bounded():
    wire = Wire()
    waiting = heard(*(line(id=number, method="a") for number in range(100)), wire=wire)

    wire.answered(waiting[7])
    heard(line(id=7, method="a"), wire=wire)

    with pytest.raises(Garbled, match="more than 100 requests"):
        heard(line(id=100, method="a"), wire=wire)


def test_half_a_character_becomes_a_question_mark():
    found = heard(
        b'{"jsonrpc": "2.0", "method": "a", "params": {"x": "\\ud83d", "y": "\\ud83d\\ude42", "z": "\\\\ud83d"}}\n'
    )

    assert [Notification("a", {"x": "?", "y": "🙂", "z": "\\ud83d"})] == found


# --- what an agent may ask --------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "secret").write_text("outside")
    return tmp_path / "tree"


def client(tree, permissions="allow"):
    found = Client(tree, permissions)
    found.session = "s"
    return found


def ask(of, method, **params):
    return of.answer(Request(1, method, {"sessionId": "s", **params}))


def refused(of, method, **params):
    with pytest.raises(Refusal) as refusal:
        ask(of, method, **params)
    return refusal.value.fault.code


def test_a_file_of_the_tree_is_read_whole_or_by_lines(tree):
    (tree / "a.txt").write_bytes("eins\r\nzwei\u2028\ndr\u00e9i".encode())
    asked: list[dict[str, int | None]] = [
        {},
        {"line": 2},
        {"line": 2, "limit": 1},
        {"line": None, "limit": 1},
        {"line": 9},
        {"limit": 0},
    ]

    found = [ask(client(tree), "fs/read_text_file", path=str(tree / "a.txt"), **lines)["content"] for lines in asked]

    whole = "eins\r\nzwei\u2028\ndréi"
    assert [whole, "zwei\u2028\ndréi", "zwei\u2028\n", "eins\r\n", "", ""] == found


def test_a_file_is_written_with_the_directories_above_it(tree):
    written = ask(client(tree), "fs/write_text_file", path=str(tree / "a" / "b.txt"), content="é\n")

    assert {} == written
    assert "é\n" == (tree / "a" / "b.txt").read_text()


def test_nothing_outside_the_tree_is_read_or_written(tree, tmp_path):
    (tree / "link").symlink_to(tmp_path)
    (tree / "direct").symlink_to(tmp_path / "secret")
    ways = [
        str(tmp_path / "secret"),
        f"{tree}/../secret",
        "../secret",
        f"{tree}/link/secret",
        "direct",
        "/etc/passwd",
        "~/x",
        "a\0b",
    ]

    codes = [
        refused(client(tree), method, path=path, content="x")
        for path in ways
        for method in ("fs/read_text_file", "fs/write_text_file")
    ]

    assert {protocol.INVALID_PARAMS} == set(codes)
    assert "outside" == (tmp_path / "secret").read_text()


def test_nothing_is_written_into_git(tree):
    assert protocol.INVALID_PARAMS == refused(client(tree), "fs/write_text_file", path=".git/config", content="x")


def test_a_file_that_is_not_there_is_not_found(tree):
    assert -32002 == refused(client(tree), "fs/read_text_file", path="none")


def test_what_is_no_text_or_too_much_is_refused(tree):
    (tree / "binary").write_bytes(b"\xff\xfe")
    (tree / "large").write_text("x" * 99 + "\n" + "y" * 1_000_000)

    assert protocol.INVALID_PARAMS == refused(client(tree), "fs/read_text_file", path="binary")
    assert protocol.INVALID_PARAMS == refused(client(tree), "fs/read_text_file", path="large")
    assert "x" * 99 + "\n" == ask(client(tree), "fs/read_text_file", path="large", limit=1)["content"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"path": 3},
        {"path": "a", "line": "1"},
        {"path": "a", "limit": -1},
        {"path": "a", "line": True},
        {"path": "a", "sessionId": "other"},
    ],
)
def test_params_that_cannot_be_meant_are_refused(tree, params):
    assert protocol.INVALID_PARAMS == refused(client(tree), "fs/read_text_file", **params)


@pytest.mark.parametrize(
    "method", ["terminal/create", "terminal/output", "terminal/kill", "session/elicitation", "_x/y", "initialize", ""]
)
def test_what_was_not_offered_is_no_method(tree, method):
    assert protocol.METHOD_NOT_FOUND == refused(client(tree), method)


def options(*kinds):
    return [{"optionId": f"id-{kind}", "name": kind, "kind": kind} for kind in kinds]


EVERY = ("allow_always", "reject_always", "reject_once", "allow_once")


@pytest.mark.parametrize(
    ("permissions", "kinds", "chosen"),
    [
        ("allow", EVERY, "id-allow_once"),
        ("allow", ("reject_once", "allow_always"), "id-allow_always"),
        ("allow", ("reject_once", "unheard_of"), None),
        ("reject", EVERY, "id-reject_once"),
        ("reject", ("allow_once", "reject_always"), "id-reject_always"),
        ("reject", ("allow_once",), None),
        ("allow", (), None),
    ],
)
def test_permission_is_given_by_the_operators_policy_and_as_narrow_as_it_goes(tree, permissions, kinds, chosen):
    answer = ask(client(tree, permissions), "session/request_permission", toolCall={}, options=options(*kinds))

    expected = {"outcome": "selected", "optionId": chosen} if chosen else {"outcome": "cancelled"}
    assert {"outcome": expected} == answer


def test_every_question_of_a_cancelled_turn_is_answered_cancelled(tree):
    cancelled = client(tree)
    cancelled.cancelled = True

    answer = ask(cancelled, "session/request_permission", toolCall={}, options=options(*EVERY))

    assert {"outcome": {"outcome": "cancelled"}} == answer


@pytest.mark.parametrize("wrong", [None, "x", [1], [{"kind": "allow_once"}], [{"optionId": "x"}], options("a") * 101])
def test_a_question_without_proper_options_is_refused(tree, wrong):
    assert protocol.INVALID_PARAMS == refused(client(tree), "session/request_permission", options=wrong)


# --- what an agent tells ----------------------------------------------------------------------------------------------


class Listening:
    def __init__(self):
        self.told = []

    def awake(self):
        self.told.append("awake")

    def said(self, text):
        self.told.append(("said", text))

    def used(self, title, kind, arguments):
        self.told.append(("used", title, kind, arguments))

    def noted(self, text):
        self.told.append(("noted", text))


def test_updates_are_told_in_words_and_unknown_ones_are_left_out():
    listening = Listening()
    updates = Updates(listening)
    call = {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "Edit a.py", "kind": "edit", "rawInput": {"a": 1}}
    plan = {
        "sessionUpdate": "plan",
        "entries": [{"content": "x", "status": "completed"}, {"content": "y", "status": "in_progress"}],
    }

    for update in (
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "Hel"}},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "image", "data": "x"}},
        {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "hm"}},
        call,
        {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "failed"},
        {"sessionUpdate": "tool_call_update", "toolCallId": "c", "status": "completed"},
        plan,
        plan,
        {"sessionUpdate": "usage_update", "used": 1},
    ):
        updates.take(update)

    assert [
        ("said", "Hel"),
        ("used", "Edit a.py", "edit", {"a": 1}),
        ("noted", "Edit a.py: failed"),
        ("noted", "plan: y"),
    ] == listening.told
    assert ("Edit a.py", "other", "a tool") == (
        updates.title({"toolCallId": "c"}),
        updates.title({"toolCallId": "c", "title": "other"}),
        updates.title(None),
    )


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"sessionUpdate": {}},
        {"sessionUpdate": "agent_message_chunk", "content": "x"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": {}}},
        {"sessionUpdate": "tool_call", "toolCallId": [], "title": 3, "kind": {}},
        {"sessionUpdate": "plan", "entries": [3, {"status": "in_progress", "content": 4}]},
        {"sessionUpdate": "plan", "entries": "x"},
    ],
)
def test_an_odd_update_does_no_harm(odd):
    listening = Listening()

    Updates(listening).take(odd)

    assert listening.told in ([], [("said", "")], [("used", "a tool", "other", None)])
