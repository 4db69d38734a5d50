"""The hub asks Claude, over a real socket, where the rule and its environment say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from apps.endpoints import claude_chat
from apps.endpoints.completion import NoThinker, Question, ThinkingFailed, ask, thinker
from apps.endpoints.models import THINKING
from apps.endpoints.rules import change
from apps.ledger import prices
from apps.ledger.accounts import Exhausted
from apps.ledger.models import Budget, Charge
from apps.ledger.pauses import Paused, begin
from apps.ledger.pricing import CLASSES, Unpriced
from tests.apps.ledger import till
from tests.providers.anthropic import KEY, NAME, Answer, AnthropicServer, Fault, serving
from tests.providers.running import Running

pytestmark = pytest.mark.django_db
SOME = Answer(text="I was about to say")


@pytest.fixture
def claude(settings: Any, db: None) -> Iterator[AnthropicServer]:
    """A scripted API, a key, and a rule that names it."""
    prices.load()
    Budget.objects.all().delete()
    served = AnthropicServer()
    running = Running(serving(served))
    running.start()
    settings.THINKING_CLAUDE_URL, settings.THINKING_CLAUDE_MODEL = served.url, NAME
    settings.ANTHROPIC_API_KEY = KEY
    change(THINKING, ["local", "claude"], 120, by="olga")
    yield served
    running.stop()
    assert [] == till.faults()


def question(call_id: str = "call-1", **wanted: Any) -> Question:
    facts: dict[str, Any] = {"purpose": "judge", "state": "executing", "system": "Be brief.", "prompt": "Is it done?"}
    return Question(call_id=call_id, **{**facts, **wanted})


def charged() -> Charge:
    return Charge.objects.get()


def counted(charge: Charge) -> dict[str, int]:
    return {name: count for name in CLASSES if (count := getattr(charge, name))}


def failed(code: str, **wanted: Any) -> ThinkingFailed:
    with pytest.raises(ThinkingFailed) as failure:
        ask(question(**wanted))
    assert code == failure.value.code

    return failure.value


def test_claude_thinks_when_no_local_model_is_to_be_had(claude: AnthropicServer) -> None:
    claude.script.append(Answer(text="Yes.", thinking="Hm."))
    found, answer = thinker(), ask(question())
    (billed,), charge = claude.billed, charged()

    assert found is not None
    assert ("claude", NAME, "Anthropic") == (found.grade, found.model, found.endpoint)
    assert ("Yes.", NAME, "claude") == (answer.text, answer.model, answer.grade)
    assert billed == counted(charge)
    assert ("settled", True, "req") == (charge.status, charge.certain, charge.request_id[:3])
    assert answer.cost_micro == charge.cost_micro == till.spent().micro > 0


def test_what_is_sent_has_a_limit_and_no_temperature(claude: AnthropicServer) -> None:
    claude.script.append(Answer(text="Yes."))
    ask(question(max_output=77))
    (asked,) = claude.asked

    assert {"model", "max_tokens", "system", "messages", "stream"} == set(asked.body)
    assert 77 == asked.body["max_tokens"]


def test_the_shape_of_an_answer_is_asked_for_in_words(claude: AnthropicServer) -> None:
    schema = {"type": "object", "properties": {"done": {"type": "boolean"}}}
    claude.script.append(Answer(text='```json\n{"done": true}\n```'))
    answer = ask(question(schema=schema))

    assert '{"done": true}' == answer.text
    assert json.dumps(schema) in claude.asked[0].last["content"][0]["text"]


def test_more_is_never_billed_than_was_reserved(claude: AnthropicServer) -> None:
    claude.script.append(Answer(text="word " * 50))
    ask(question(prompt="word " * 2_000, max_output=100))
    charge = charged()

    assert charge.cost_micro is not None
    assert charge.cost_micro <= charge.estimated_micro


def test_without_a_key_claude_is_not_asked(claude: AnthropicServer, settings: Any) -> None:
    settings.ANTHROPIC_API_KEY = ""
    with pytest.raises(NoThinker, match="no ANTHROPIC_API_KEY"):
        ask(question())

    assert [] == claude.asked


def test_a_model_without_a_price_is_not_asked(claude: AnthropicServer, settings: Any) -> None:
    settings.THINKING_CLAUDE_MODEL = "claude-of-tomorrow"
    with pytest.raises(Unpriced):
        ask(question())

    assert ([], 0) == (claude.asked, Charge.objects.count())


def test_money_and_the_pause_of_spending_hold_for_the_hub_too(claude: AnthropicServer) -> None:
    till.allow("state day", "executing *", micro=1)
    with pytest.raises(Exhausted):
        ask(question())
    Budget.objects.all().delete()
    begin("A test.")
    with pytest.raises(Paused):
        ask(question())

    assert [] == claude.asked


def test_the_usual_model_has_a_price_and_is_of_the_cheap_class(settings: Any) -> None:
    prices.load()
    (lowest, *_) = prices.bands(settings.THINKING_CLAUDE_MODEL, till.NOW.date())

    assert lowest.output <= 5_000_000


FAULTS: dict[str, tuple[Any, str, bool, str]] = {
    "400": (Fault(name="status", status=400, kind="invalid_request_error"), "thinking_refused", False, "voided"),
    "401": (Fault(name="status", status=401, kind="authentication_error"), "thinking_unauthorized", False, "voided"),
    "403": (Fault(name="status", status=403, kind="permission_error"), "thinking_unauthorized", False, "voided"),
    "404": (Fault(name="status", status=404, kind="not_found_error"), "thinking_model_missing", False, "voided"),
    "413": (Fault(name="status", status=413, kind="request_too_large"), "thinking_context", False, "voided"),
    "429": (Fault(name="status", status=429, kind="rate_limit_error"), "thinking_limited", True, "voided"),
    "500": (Fault(name="status", status=500), "thinking_error", True, "uncertain"),
    "504": (Fault(name="status", status=504, kind="timeout_error"), "thinking_error", True, "uncertain"),
    "529": (Fault(name="status", status=529, kind="overloaded_error"), "thinking_busy", True, "voided"),
    "too long": (
        Fault(name="status", status=400, message="prompt is too long: 9 tokens > 8 maximum"),
        "thinking_context", False, "voided",
    ),
    "a page": (Fault(name="page", status=502, raw=b"<html>"), "thinking_error", True, "uncertain"),
    "redirect": (Fault(name="redirect"), "thinking_garbled", True, "uncertain"),
    "error event": (Fault(name="error_event", first=SOME), "thinking_error", True, "uncertain"),
    "overloaded event": (
        Fault(name="error_event", first=SOME, kind="overloaded_error"), "thinking_busy", True, "uncertain"
    ),
    "no stop": (Fault(name="no_stop", first=SOME), "thinking_broke_off", True, "uncertain"),
    "reset": (Fault(name="reset", first=SOME), "thinking_broke_off", True, "uncertain"),
    "no answer": (Fault(name="no_answer"), "thinking_broke_off", True, "uncertain"),
    "no http": (Fault(name="no_http"), "thinking_broke_off", True, "uncertain"),
    "no json": (
        Fault(name="raw", first=SOME, raw=b"event: message_delta\ndata: {broken\n\n"),
        "thinking_garbled", True, "uncertain",
    ),
    "wrong type": (Fault(name="wrong_type"), "thinking_garbled", True, "uncertain"),
    "compressed": (Fault(name="compressed"), "thinking_garbled", True, "uncertain"),
    "long line": (Fault(name="long_line"), "thinking_garbled", True, "uncertain"),
    "endless": (Fault(name="endless", first=SOME), "thinking_garbled", True, "uncertain"),
    "refusal": (Answer(text="I will not.", stop="refusal"), "thinking_declined", False, "settled"),
    "max_tokens": (Answer(text="Yes, and", stop="max_tokens"), "thinking_cut_off", True, "settled"),
    "context": (
        Answer(text="Yes", stop="model_context_window_exceeded"), "thinking_context", False, "settled"
    ),
    "empty": (Answer(thinking="Hm."), "thinking_empty", True, "settled"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_name_and_costs_what_it_may_have_cost(
    claude: AnthropicServer, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claude_chat, "MOST_BYTES", 2_000_000)
    turn, code, transient, status = FAULTS[name]
    claude.script.append(turn)
    failure = failed(code)
    charge = charged()

    assert (transient, status) == (failure.transient, charge.status)
    if status == "settled":
        assert claude.billed == [counted(charge)]
    if status == "uncertain":
        assert charge.cost_micro is not None
        assert charge.cost_micro > 0


def test_the_prompt_that_a_broken_stream_has_counted_is_what_is_posted(claude: AnthropicServer) -> None:
    claude.script.append(Fault(name="reset", first=SOME))
    failed("thinking_broke_off")

    assert claude.billed[0]["input"] == charged().input


@pytest.mark.parametrize("name", ["silent", "silent_after_headers", "silent_midway"])
def test_a_call_ends_when_its_time_is_over(claude: AnthropicServer, settings: Any, name: Any) -> None:
    claude_chat._load()
    settings.THINKING_SECONDS = 0.5
    claude.script.append(Fault(name=name, first=SOME))
    failed("thinking_slow")

    assert "uncertain" == charged().status


def test_nobody_listening_costs_nothing(claude: AnthropicServer, settings: Any) -> None:
    settings.THINKING_CLAUDE_URL = "http://127.0.0.1:1"
    failed("thinking_unreachable")

    assert "voided" == charged().status


def test_an_answer_without_counts_is_posted_at_an_estimate(claude: AnthropicServer) -> None:
    claude.script.append(Answer(text="Yes.", usage=None))

    assert ("Yes.", "uncertain") == (ask(question()).text, charged().status)


def test_the_key_is_nowhere_to_be_read(claude: AnthropicServer, settings: Any, caplog: Any) -> None:
    """The scripted API says back, with its refusal, the key that it was given."""
    settings.ANTHROPIC_API_KEY = "sk-ant-wrong-0123456789"
    failure = failed("thinking_unauthorized")

    assert "[the key]" in failure.message
    assert None is failure.__cause__ is failure.__context__
    assert "sk-ant" not in f"{failure!r} {caplog.text} {charged().note}"


@pytest.mark.parametrize("key", ["two words", "sk-\n", "schlüssel"])
def test_a_key_that_cannot_be_one_is_not_sent(claude: AnthropicServer, settings: Any, key: str) -> None:
    settings.ANTHROPIC_API_KEY = key
    failed("thinking_unauthorized")

    assert ("voided", []) == (charged().status, claude.asked)
