"""How a talk with Claude is written down: what the API would refuse is never written."""

import json

import pytest

from sidecar.agent.models.claude_talk import estimate_tokens, messages_of, thinking_of, unbroken, with_breakpoint
from sidecar.agent.talk import Observed, RawCall, Reply, Said, Told
from tests.providers.asking_claude import a_call, asking, observed, result, said_by_hand


def user(*texts):
    return {"role": "user", "content": [{"type": "text", "text": text} for text in texts]}


def test_words_in_a_row_become_one_message():
    assert [user("One.\n\nTwo.")] == messages_of([Told(text="One."), Told(text=" "), Told(text="Two.")])


def test_results_stand_alone_and_words_after_them_go_inside_the_last():
    said = said_by_hand(a_call("a"), a_call("b"))

    messages = messages_of([Told(text="Do."), said, *observed(said), Told(text="Hurry."), Told(text="Please.")])

    assert [result("a", "{}"), result("b", "{}", "Hurry.\n\nPlease.")] == messages[-1]["content"]


def test_words_between_results_wait_for_the_last_of_them():
    said = said_by_hand(a_call("a"), a_call("b"))
    first, second = observed(said)

    messages = messages_of([Told(text="Do."), said, first, Told(text="Hurry."), second])

    assert [result("a", "{}"), result("b", "{}", "Hurry.")] == messages[-1]["content"]


def test_a_call_that_was_not_carried_out_gets_a_result_that_says_so():
    said = said_by_hand(a_call("a"), a_call("b"))

    messages = messages_of([Told(text="Do."), said, *observed(said)[:1], Told(text="One at a time.")])

    orphan = result("b", "This call was not carried out.", "One at a time.", is_error=True)
    assert [result("a", "{}"), orphan] == messages[-1]["content"]


def test_a_result_without_its_call_becomes_words():
    messages = messages_of([Told(text="Do."), said_by_hand(text="See."), Observed(call=a_call("gone"), text="{}")])

    assert user("read_file: {}") == messages[-1]


def test_an_empty_result_has_no_content():
    said = said_by_hand(a_call("a"))

    assert [result("a")] == messages_of([Told(text="Do."), said, *observed(said, "")])[-1]["content"]


def test_an_assistant_without_blocks_is_made_of_its_text_and_calls():
    messages = messages_of([Told(text="Do."), said_by_hand(a_call("a"), text="I do.")])

    use = {"type": "tool_use", "id": "a", "name": "read_file", "input": {"path": "calc.py"}}
    assert [{"type": "text", "text": "I do."}, use] == messages[1]["content"]


def test_a_talk_never_begins_or_ends_with_the_assistant_nor_lets_it_speak_twice():
    messages = messages_of([said_by_hand(text="One."), said_by_hand(text="Two.")])

    assert ["user", "assistant", "user", "assistant", "user"] == [message["role"] for message in messages]
    assert user("Go on.") == messages[-1]


def test_nothing_said_at_all_is_still_a_message():
    messages = messages_of([Told(text="Do."), Said(reply=Reply(blocks=({"type": "text", "text": ""},)))])

    assert [{"type": "text", "text": "(nothing)"}] == messages[1]["content"]


def test_arguments_that_could_not_be_read_go_back_as_they_were_repaired():
    use = {"type": "tool_use", "id": "a", "name": "read_file", "input": {}}
    reply = Reply(blocks=(use,), calls=(RawCall(name="read_file", arguments="{path: calc.py}", id="a"),))

    refused = messages_of([Told(text="Do."), Said(reply=reply)])
    repaired = messages_of([Told(text="Do."), Said(reply=reply, calls=(a_call("a"),))])

    assert [use] == refused[1]["content"]
    assert [use | {"input": {"path": "calc.py"}}] == repaired[1]["content"]


def test_only_the_last_result_of_all_is_a_breakpoint():
    first, second = said_by_hand(a_call("a")), said_by_hand(a_call("b"), a_call("c"))
    messages = messages_of([Told(text="Do."), first, *observed(first), second, *observed(second)])

    marked = with_breakpoint([*messages, {"role": "assistant", "content": [{"type": "text", "text": "So."}]}])

    assert 1 == json.dumps(marked).count("cache_control")
    assert {"type": "ephemeral"} == marked[-2]["content"][-1]["cache_control"]
    assert "cache_control" not in json.dumps(messages)


def test_without_a_result_nothing_is_a_breakpoint():
    assert "cache_control" not in json.dumps(with_breakpoint(messages_of([Told(text="Do.")])))


def test_thoughts_of_an_unknown_origin_are_kept():
    messages = [{"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "of old"}]}]

    assert messages == unbroken(messages, "head", {})[0]
    assert [{"type": "text", "text": "(nothing)"}] == unbroken(messages, "head", {"of old": "other"})[0][0]["content"]


@pytest.mark.parametrize(
    ("policy", "model", "sent"),
    [
        ("own", "claude-opus-5-5", None),
        ("adaptive", "claude-opus-5-5", "adaptive"),
        ("adaptive", "claude-sonnet-4-6", "adaptive"),
        ("adaptive", "claude-haiku-4-5-20251001", None),
        ("adaptive", "claude-opus-4-20250514", None),
        ("least", "claude-opus-5-5", None),
        ("least", "claude-sonnet-5-5", "between_tools"),
        ("least", "claude-opus-5", "disabled"),
        ("least", "claude-new-9", None),
        ("adaptive", "of-somebody-else", None),
    ],
)
def test_thinking_is_asked_for_only_where_it_can_be(policy, model, sent):
    assert (sent and {"type": sent}) == thinking_of(policy, model)


def test_an_estimate_grows_with_what_is_said():
    small, large = asking(), asking(Told(text="Repair calc.py. " * 100))

    assert 0 < estimate_tokens(small) < estimate_tokens(large)
    assert 480 <= estimate_tokens(large) - estimate_tokens(small) <= 500
