"""From settings to executors, and to what the hub is told."""

from __future__ import annotations

import pytest

from sidecar import minds
from sidecar.agent.models.claude import Claude
from sidecar.agent.models.ollama import Ollama
from sidecar.config import Thinker
from sidecar.minds import Minds
from sidecar.wire.nouns import ModelOffer

LOCAL = Thinker(executor="ollama", model="qwen:7b", url="http://127.0.0.1:11434", context=8_192, digest="ab")
REMOTE = Thinker(
    executor="claude", model="claude-sonnet", url="https://api.example.org", grade="claude", context=200_000, key="sk-x"
)


def test_there_is_an_executor_for_each_kind_of_endpoint_beside_the_shell():
    made = minds.executors([LOCAL, REMOTE])

    assert {"shell", "ollama", "claude"} == set(made)
    assert {name: name for name in made} == {name: executor.name for name, executor in made.items()}
    assert {"shell"} == set(minds.executors([]))


def test_the_hub_hears_what_the_trial_found_and_no_key():
    told = minds.offers([LOCAL, REMOTE])

    assert (
        ModelOffer(
            executor="ollama",
            model="qwen:7b",
            grade="local",
            context=8_192,
            dialect="native",
            digest="ab",
            url="http://127.0.0.1:11434",
        )
        == told[0]
    )
    assert "sk-x" not in "".join(offer.model_dump_json() for offer in told)


@pytest.mark.parametrize(("dialect", "order"), [("native", ["native", "fenced"]), ("fenced", ["fenced", "native"])])
def test_a_local_model_has_both_dialects_the_better_one_first(dialect, order):
    manner = minds.mind(LOCAL.model_copy(update={"dialect": dialect})).manner

    assert order == [spoken.name for spoken in manner.dialects]


def test_claude_has_one_dialect_and_its_own_temperature():
    manner = minds.mind(REMOTE).manner

    assert ["native"] == [spoken.name for spoken in manner.dialects]
    assert manner.temperature is None


@pytest.mark.parametrize(("given", "used"), [(None, minds.WARMEST), (0.0, 0.0), (1.0, 1.0)])
def test_a_local_model_is_asked_coolly_unless_its_settings_say_otherwise(given, used):
    assert used == minds.mind(LOCAL.model_copy(update={"temperature": given})).manner.temperature


@pytest.mark.parametrize(("context", "answer"), [(2_048, 512), (8_192, 2_048), (131_072, 4_096)])
def test_an_answer_never_takes_more_than_half_of_the_context(context, answer):
    assert answer == minds.mind(LOCAL.model_copy(update={"context": context})).manner.answer_tokens


async def test_a_mind_connects_to_its_own_endpoint():
    for thinker, kind in ((LOCAL, Ollama), (REMOTE, Claude)):
        model = minds.mind(thinker).connect()

        assert isinstance(model, kind)
        assert (thinker.model, thinker.context) == (model.name, model.context)
        await model.close()


def test_what_was_borrowed_can_be_found_again_with_its_newest_settings_and_only_so_much_of_it(monkeypatch):
    monkeypatch.setattr(minds, "FORMER", 3)
    lent = [LOCAL.model_copy(update={"model": f"m{number}"}) for number in range(5)]
    found = Minds([LOCAL], borrows=True)
    for thinker in (*lent, lent[2].model_copy(update={"context": 4_096})):
        found.borrow([thinker])
    found.borrow([])

    kept = [one.manner.answer_tokens for name in ("m3", "m4", "m2") if (one := found.find("ollama", name, LOCAL.url))]
    assert [2_048, 2_048, 1_024] == kept
    assert found.find("ollama", "m1", LOCAL.url) is None
    own = found.find("ollama", "qwen:7b", LOCAL.url)
    assert own is not None
    assert not own.borrowed
