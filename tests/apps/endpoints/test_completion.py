"""The hub asks a model, over a real socket: every way that can end has a name, and the ledger is right for each."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.demo.ollama import NAME, Answer, Known, OllamaServer
from apps.endpoints import actions as endpoints
from apps.endpoints import completion, jobs
from apps.endpoints.completion import NoThinker, Question, ThinkingFailed, ask, thinker
from apps.endpoints.models import THINKING, Endpoint, Model
from apps.endpoints.rules import change
from apps.ledger import prices
from apps.ledger.accounts import Exhausted
from apps.ledger.actions import CallTaken
from apps.ledger.jobs import reap
from apps.ledger.models import Account, Budget, Charge
from tests.apps.ledger import till
from tests.providers.ollama import Fault, serving
from tests.providers.running import Running

pytestmark = pytest.mark.django_db
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
SOME = Answer(text="I was about to say")


@pytest.fixture
def ollama(settings: Any, db: None) -> Iterator[OllamaServer]:
    """A scripted server that an operator has added and the hub has looked at."""
    prices.load()
    Budget.objects.all().delete()
    served = OllamaServer()
    running = Running(serving(served))
    running.start()
    settings.ENDPOINT_NETWORKS = LOOPBACK
    settings.ENDPOINT_PORTS = (int(served.url.rpartition(":")[2]), 1)
    add(served.url)
    yield served
    running.stop()
    assert [] == till.faults()


def add(url: str, **facts: Any) -> Endpoint:
    endpoint = endpoints.add(url, by="olga", **facts)
    jobs.look(endpoint.pk)
    return endpoint


def question(call_id: str = "call-1", **wanted: Any) -> Question:
    facts: dict[str, Any] = {"purpose": "judge", "state": "executing", "system": "Be brief.", "prompt": "Is it done?"}
    return Question(call_id=call_id, **{**facts, **wanted})


def charged(call_id: str = "call-1") -> Charge:
    return Charge.objects.get(call_id=call_id)


def failed(code: str, **wanted: Any) -> ThinkingFailed:
    with pytest.raises(ThinkingFailed) as failure:
        ask(question(**wanted))
    assert code == failure.value.code

    return failure.value


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_answer_comes_with_who_gave_it_and_what_it_took(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes, it is."))
    answer = ask(question())
    (billed,) = ollama.billed

    assert ("Yes, it is.", NAME, "local", 0) == (answer.text, answer.model, answer.grade, answer.cost_micro)
    assert (billed.prompt, billed.output) == (answer.prompt_tokens, answer.output_tokens)


def test_what_is_sent_keeps_the_model_loaded_and_cuts_nothing(ollama: OllamaServer) -> None:
    schema = {"type": "object"}
    ollama.script.append(Answer(text="{}"))
    ask(question(schema=schema, max_output=77))
    (asked,) = ollama.asked

    assert {"num_ctx": 8_192, "num_predict": 77, "temperature": 0.3} == asked.body["options"]
    assert (False, False, False, True, schema) == tuple(
        asked.body[name] for name in ("think", "truncate", "shift", "stream", "format")
    )
    assert ["system", "user"] == [message["role"] for message in asked.messages]


def test_the_call_is_in_the_ledger_as_the_server_has_counted_it(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes."))
    ask(question(scopes={"goal": "7", "repo": "textkit"}))
    (billed,), charge = ollama.billed, charged()

    assert ("settled", True, "judge", "executing", f"ollama:{NAME}") == (
        charge.status, charge.certain, charge.purpose, charge.state, charge.model
    )  # fmt: skip
    assert (billed.prompt, billed.output) == (charge.usage.prompt, charge.usage.output)
    assert {"goal": "7", "repo": "textkit", "state": "executing"} == charge.scopes
    for scope in ("goal", "repo", "purpose", "state", "state hour", "state day", "hub"):
        assert (billed.prompt + billed.output, 1) == (till.spent(scope).tokens, till.spent(scope).calls)  # type: ignore[arg-type]


def test_tokens_from_the_servers_cache_are_told_apart(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes.", prompt_tokens=100, cached_tokens=60))
    answer = ask(question())

    assert (40, 60, 100) == (charged().input, charged().cache_read, answer.prompt_tokens)


def test_the_reservation_is_no_less_than_what_the_server_counts(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes."))
    ask(question(prompt="word " * 1_000))

    assert charged().estimated_prompt > ollama.billed[0].prompt
    assert 2_048 == charged().estimated_output


DEAR = {"digits": "31415926" * 200, "signs": "{}();" * 300, "not ASCII": "ꙮ𓂀" * 200}


@pytest.mark.parametrize("name", DEAR)
def test_what_has_more_tokens_than_its_length_says_is_reserved_and_counted_so(ollama: OllamaServer, name: str) -> None:
    """As models count that spell what they do not know: a digit each, two signs, a byte."""
    text = DEAR[name]
    counted = len(text) // 2 if name == "signs" else len(text.encode())
    ollama.script += [Answer(text="Yes.", prompt_tokens=counted), Answer(text=text, counts=False)]
    ask(question(prompt=text))
    ask(question("call-2"))

    assert charged().estimated_prompt >= counted == charged().input
    assert charged("call-2").output >= counted


def test_the_schema_of_an_answer_is_a_part_of_what_is_asked() -> None:
    schema = {"type": "object", "properties": {f"name{n}": {"type": "string"} for n in range(100)}}

    assert question(schema=schema).estimate.prompt > question().estimate.prompt + 1_000


def test_thoughts_are_no_answer(ollama: OllamaServer) -> None:
    ollama.script += [Answer(text="<think>Hm.\nHm.</think>\n\nYes."), Answer(text="No.", thinking="Hm.")]

    assert ["Yes.", "No."] == [ask(question(call_id)).text for call_id in ("a", "b")]


def test_a_server_that_counts_nothing_is_answered_for_by_an_estimate(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes, it is.", counts=False))
    answer = ask(question())

    assert ("Yes, it is.", "uncertain") == (answer.text, charged().status)
    assert (charged().input, charged().output) == (answer.prompt_tokens, answer.output_tokens)
    assert 0 < answer.output_tokens < 10


def test_words_that_cannot_be_unicode_are_sent_all_the_same(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes."))

    assert "Yes." == ask(question(prompt="file \udcff.py")).text


# --- who is asked -----------------------------------------------------------------------------------------------------


def test_pages_can_say_who_would_be_asked(ollama: OllamaServer) -> None:
    found = thinker()

    assert found is not None
    assert ("local", NAME, 8_192, ollama.url) == (found.grade, found.model, found.context, found.endpoint)


def test_the_model_that_the_setting_names_is_asked(ollama: OllamaServer, settings: Any) -> None:
    ollama.models["other:7b"] = Known(context=6_000)
    jobs.look_at_all()
    settings.THINKING_MODEL = "other:7b"
    ollama.script.append(Answer(text="Yes."))

    assert "other:7b" == ask(question()).model
    assert 6_000 == ollama.asked[0].body["options"]["num_ctx"]


def test_nobody_thinks_for_a_hub_without_endpoints() -> None:
    with pytest.raises(NoThinker) as nobody:
        ask(question())

    said = nobody.value.message
    assert said.startswith("The hub has no model to plan or judge with: no endpoint of grade local has a model. Add an")
    assert thinker() is None
    assert not Charge.objects.exists()


def drained(_: OllamaServer) -> None:
    endpoints.drain(Endpoint.objects.get(), by="olga")


def unwanted(_: OllamaServer) -> None:
    endpoints.want(Model.objects.get(), False, by="olga")


def gone(server: OllamaServer) -> None:
    server.models.clear()
    jobs.look_at_all()


def other_rule(_: OllamaServer) -> None:
    change(THINKING, ["claude"], 120, by="olga")


@pytest.mark.parametrize("happened", [drained, unwanted, gone, other_rule])
def test_what_an_operator_keeps_from_the_hub_is_not_asked(ollama: OllamaServer, settings: Any, happened) -> None:
    settings.ANTHROPIC_API_KEY = ""
    happened(ollama)

    with pytest.raises(NoThinker):
        ask(question())
    assert [] == ollama.asked


def test_an_endpoint_that_thought_for_the_hub_was_used(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes."))
    ask(question())

    assert Endpoint.objects.get().last_used_at is not None


# --- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[Any, str, bool, str]] = {
    "400": (Fault(name="status", status=400, error="bad"), "thinking_refused", False, "voided"),
    "401": (Fault(name="status", status=401, error="who?"), "thinking_unauthorized", False, "voided"),
    "404": (Fault(name="status", status=404, error='model "m" not found'), "thinking_model_missing", True, "voided"),
    "429": (Fault(name="status", status=429, error="slow down"), "thinking_limited", True, "voided"),
    "499": (Fault(name="status", status=499, error="cancelled"), "thinking_error", True, "uncertain"),
    "500": (Fault(name="status", status=500, error="crashed"), "thinking_error", True, "uncertain"),
    "502": (Fault(name="status", status=502, error="cloud"), "thinking_error", True, "uncertain"),
    "503": (Fault(name="status", status=503, error="server busy"), "thinking_busy", True, "voided"),
    "400 context": (
        Fault(name="status", status=400, error="the prompt is longer than the context length"),
        "thinking_context", False, "voided",
    ),
    "500 context": (
        Fault(name="status", status=500, error="exceeds the available context size"),
        "thinking_context", False, "uncertain",
    ),
    "500 other context": (
        Fault(name="status", status=500, error="context canceled"), "thinking_error", True, "uncertain"
    ),
    "error line": (Fault(name="error_line", first=SOME, error="out of memory"), "thinking_error", True, "uncertain"),
    "no done": (Fault(name="no_done", first=SOME), "thinking_broke_off", True, "uncertain"),
    "reset": (Fault(name="reset", first=SOME), "thinking_broke_off", True, "uncertain"),
    "half a line": (Fault(name="half_line", first=SOME), "thinking_broke_off", True, "uncertain"),
    "no answer": (Fault(name="no_answer"), "thinking_broke_off", True, "uncertain"),
    "no http": (Fault(name="no_http"), "thinking_garbled", True, "uncertain"),
    "compressed": (
        Fault(name="status", status=200, headers={"Content-Encoding": "gzip"}), "thinking_garbled", True, "uncertain"
    ),
    "compressed refusal": (
        Fault(name="status", status=500, headers={"Content-Encoding": "br"}), "thinking_garbled", True, "uncertain"
    ),
    "no json": (Fault(name="raw", first=SOME, raw=b"{broken\n"), "thinking_garbled", True, "uncertain"),
    "no object": (Fault(name="raw", first=SOME, raw=b"[1]\n"), "thinking_garbled", True, "uncertain"),
    "no utf-8": (Fault(name="raw", first=SOME, raw=b'{"a": "\xff"}\n'), "thinking_garbled", True, "uncertain"),
    "no count": (
        Fault(name="raw", first=SOME, raw=b'{"done": true, "eval_count": -1}\n'), "thinking_garbled", True, "uncertain"
    ),
    "deep": (Fault(name="raw", raw=b"[" * 100_000 + b"\n"), "thinking_garbled", True, "uncertain"),
    "a page": (Fault(name="wrong_type"), "thinking_garbled", True, "uncertain"),
    "redirect": (Fault(name="redirect"), "thinking_garbled", True, "uncertain"),
    "long line": (Fault(name="long_line"), "thinking_broke_off", True, "uncertain"),
    "endless": (Fault(name="endless"), "thinking_broke_off", True, "uncertain"),
    "empty": (Answer(text=""), "thinking_empty", True, "settled"),
    "blank": (Answer(text=" \n\t"), "thinking_empty", True, "settled"),
    "only thoughts": (Answer(text="<think>Hm.</think>", thinking="Hm."), "thinking_empty", True, "settled"),
    "cut off": (Answer(text='{"a": [', done_reason="length"), "thinking_cut_off", True, "settled"),
    "full": (
        Answer(text="Yes", done_reason="length", prompt_tokens=7_000, output_tokens=1_180),
        "thinking_context", False, "settled",
    ),
    "silently cut": (Answer(text="Yes", prompt_tokens=8_192), "thinking_context", False, "settled"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_a_name_and_costs_what_it_may_have_cost(ollama: OllamaServer, name: str) -> None:
    turn, code, transient, status = FAULTS[name]
    ollama.script.append(turn)
    failure = failed(code)
    charge = charged()

    assert (transient, status) == (failure.transient, charge.status)
    assert failure.message.startswith("A model was asked and gave no usable answer: ")
    if status == "settled":
        (billed,) = ollama.billed
        assert (billed.prompt, billed.output) == (charge.usage.prompt, charge.usage.output)
    if status == "uncertain":
        assert charge.usage.tokens > 0
        assert code == charge.note


def test_an_answer_that_comes_to_its_limit_is_kept_as_far_as_it_goes(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="<think>Hm.</think>" + "word " * 1_000))
    failure = failed("thinking_cut_off", max_output=50)

    assert failure.said.startswith("word word")
    assert 50 == ollama.billed[0].output == charged().output


def test_what_was_heard_before_a_stream_broke_is_what_it_is_estimated_by(ollama: OllamaServer) -> None:
    ollama.script.append(Fault(name="reset", first=Answer(text="word " * 100)))
    failed("thinking_broke_off")

    assert 140 < charged().output < 170


@pytest.mark.parametrize("name", ["silent", "silent_after_headers", "silent_midway"])
def test_a_call_ends_when_its_time_is_over(ollama: OllamaServer, settings: Any, name: Any) -> None:
    settings.THINKING_SECONDS = 0.3
    ollama.script.append(Fault(name=name, first=SOME))
    failure = failed("thinking_slow")

    assert (True, "uncertain") == (failure.transient, charged().status)


def test_nobody_listening_costs_nothing(ollama: OllamaServer) -> None:
    Endpoint.objects.update(url="http://127.0.0.1:1")
    failure = failed("thinking_unreachable")

    assert (True, "voided") == (failure.transient, charged().status)


def test_where_the_hub_may_not_connect_it_does_not(ollama: OllamaServer, settings: Any) -> None:
    settings.ENDPOINT_NETWORKS = ()
    failure = failed("thinking_forbidden")

    assert (False, "voided") == (failure.transient, charged().status)
    assert [] == ollama.asked


def test_a_prompt_that_does_not_fit_is_told_from_every_other_refusal(ollama: OllamaServer) -> None:
    failed("thinking_context", prompt="word " * 10_000)

    assert ("voided", []) == (charged().status, ollama.billed)


def test_after_many_calls_the_books_hold_what_the_server_billed(ollama: OllamaServer) -> None:
    turns = [turn for turn, _, _, status in FAULTS.values() if status in ("settled", "voided")]
    ollama.script += [*turns, *[Answer(text="word " * n) for n in range(1, 20)]]
    for number in range(len(ollama.script)):
        with suppress(ThinkingFailed):
            ask(question(f"call-{number}"))

    billed = sum(one.prompt + one.output for one in ollama.billed)
    assert (billed, len(ollama.billed), 0) == (till.spent().tokens, till.spent().calls, till.held().calls)


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_a_state_without_budget_thinks_no_more_and_the_others_do(ollama: OllamaServer) -> None:
    till.allow("state hour", "executing *", calls=1)
    ollama.script += [Answer(text="Yes."), Answer(text="Yes.")]
    ask(question("a"))
    with pytest.raises(Exhausted):
        ask(question("b"))
    ask(question("c", state="healing"))

    assert ["a", "c"] == list(Charge.objects.order_by("pk").values_list("call_id", flat=True))
    assert Account.objects.get(scope="state hour", key__startswith="executing").exhausted_at is not None


def test_the_same_call_is_not_made_twice(ollama: OllamaServer) -> None:
    ollama.script.append(Answer(text="Yes."))
    ask(question())

    with pytest.raises(CallTaken):
        ask(question())
    assert 1 == len(ollama.asked)


def test_a_call_that_somebody_else_makes_just_now_is_not_made_again(ollama: OllamaServer) -> None:
    found = thinker()
    assert found is not None
    completion._reserve(question(), found)

    with pytest.raises(CallTaken):
        ask(question())
    assert ([], "reserved") == (ollama.asked, charged().status)


class Killed(BaseException):
    """What ends a process gives nobody the time to post."""


def test_a_call_whose_process_was_killed_is_posted_at_its_estimate(ollama: OllamaServer, monkeypatch) -> None:
    async def kill(*_: Any) -> None:
        raise Killed

    monkeypatch.setattr(completion, "_call", kill)
    with pytest.raises(Killed):
        ask(question())
    reserved = charged()
    before = reap(timezone.now() + timedelta(minutes=5))
    reap(timezone.now() + timedelta(minutes=7))
    charge = charged()

    assert ("reserved", 0) == (reserved.status, before)
    assert ("uncertain", reserved.estimated_prompt, 2_048) == (charge.status, charge.usage.prompt, charge.usage.output)


def test_a_mistake_of_our_own_leaves_the_call_uncertain(ollama: OllamaServer, monkeypatch) -> None:
    async def stumble(*_: Any) -> None:
        raise KeyError("x")

    monkeypatch.setattr(completion, "_call", stumble)
    with pytest.raises(KeyError):
        ask(question())

    assert ("uncertain", "KeyError") == (charged().status, charged().note)


# --- transactions -----------------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction(ollama: OllamaServer) -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        ask(question())

    assert ([], 0) == (ollama.asked, Charge.objects.count())


@pytest.mark.django_db(transaction=True)
def test_while_the_model_answers_the_reservation_is_committed_and_no_transaction_is_open(ollama: OllamaServer) -> None:
    seen: list[Any] = []

    def look(_: Any) -> Answer:
        def other() -> None:
            seen.append(list(Charge.objects.values_list("status", flat=True)))
            connection.close()

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        return Answer(text="Yes.")

    ollama.script.append(look)
    ask(question())

    assert [["reserved"]] == seen


def _together(deed: Callable[[int], None], count: int) -> None:
    def run(number: int) -> None:
        try:
            deed(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_threads_that_think_at_once_do_not_overspend(ollama: OllamaServer) -> None:
    till.allow("state hour", "executing *", calls=1)
    ollama.player = lambda _: Answer(text="Yes.", pause=0.05)
    seen: list[str] = []

    def think(number: int) -> None:
        try:
            seen.append(ask(question(f"call-{number}")).text)
        except Exhausted:
            seen.append("no room")

    _together(think, 2)

    assert ["Yes.", "no room"] == sorted(seen)
    assert (1, 1) == (len(ollama.asked), till.spent().calls)
