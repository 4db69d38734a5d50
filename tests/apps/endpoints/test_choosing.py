"""Which model thinks for the hub, of what the registry knows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.endpoints.choosing import Candidate, Thinker, choose, is_honest

PLAIN = Candidate(
    endpoint=1, name="tower", url="http://tower:11434", grade="local", model="qwen3:8b", context=32_768,
    capabilities=frozenset({"completion", "tools"}), up=True, version="0.33.0",
)  # fmt: skip
CLAUDE = Thinker(provider="claude", grade="claude", model="claude-x", context=8_192, endpoint="Anthropic", url="")


def chosen(*candidates: Candidate, chain: tuple[str, ...] = ("local",), **more: Any) -> Any:
    return choose(chain, candidates, **{"claude": None, "named": "", "context": 8_192, **more})


def test_an_operators_model_thinks_with_the_context_that_is_set() -> None:
    assert Thinker(
        provider="ollama", grade="local", model="qwen3:8b", context=8_192, endpoint="tower", url="http://tower:11434",
        endpoint_id=1,
    ) == chosen(PLAIN)  # fmt: skip


@pytest.mark.parametrize(("own", "context"), [(32_768, 8_192), (6_000, 6_000), (0, 8_192)])
def test_no_more_context_is_asked_for_than_the_model_has(own: int, context: int) -> None:
    assert context == chosen(replace(PLAIN, context=own)).context


@pytest.mark.parametrize(
    ("better", "worse", "named"),
    [
        ({"model": "small"}, {"model": "large", "warm": True, "context": 131_072}, "small"),
        ({"model": "small:latest"}, {"model": "large", "warm": True}, "small"),
        ({"up": True}, {"up": None, "warm": True}, ""),
        ({"warm": True, "context": 8_192}, {"context": 131_072}, ""),
        ({"context": 131_072}, {"context": 32_768}, ""),
        ({"endpoint": 1}, {"endpoint": 2}, "not there"),
    ],
)
def test_the_named_model_goes_first_then_what_answers_is_loaded_and_is_larger(better, worse, named) -> None:
    one, other = replace(PLAIN, url="better", **better), replace(PLAIN, url="worse", **worse)

    assert "better" == chosen(one, other, named=named).url == chosen(other, one, named=named).url


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"grade": "house"}, "no endpoint of grade local has a model"),
        ({"up": False}, "every endpoint of grade local is down or drained"),
        ({"draining": True}, "every endpoint of grade local is down or drained"),
        ({"version": "0.12.5"}, "every endpoint of grade local is too old"),
        ({"usable": False}, "no model of grade local that is wanted and installed can answer in words"),
        ({"context": 4_703}, "no model of grade local has a context of at least 4704 tokens"),
        (
            {"context": 4_703, "usable": False},
            "no model of grade local that is wanted and installed can answer in words",
        ),
        (
            {"capabilities": frozenset({"embedding"})},
            "no model of grade local that is wanted and installed can answer in words",
        ),
    ],
)
def test_what_cannot_think_is_not_asked_and_the_reason_is_said(facts: dict[str, Any], why: str) -> None:
    assert why == chosen(replace(PLAIN, **facts))


def test_what_nobody_has_looked_at_yet_may_well_answer() -> None:
    assert isinstance(chosen(replace(PLAIN, up=None, version="", capabilities=frozenset())), Thinker)


def test_the_next_grade_thinks_when_the_first_is_not_to_be_had() -> None:
    down = replace(PLAIN, up=False)

    assert CLAUDE == chosen(down, chain=("local", "claude"), claude=CLAUDE)
    assert "house" == chosen(down, replace(PLAIN, grade="house"), chain=("local", "house")).grade
    assert "for claude there is no ANTHROPIC_API_KEY; no endpoint of grade local has a model" == chosen(
        chain=("claude", "local")
    )


def test_claude_is_asked_only_when_the_chain_names_it() -> None:
    assert "no endpoint of grade local has a model" == chosen(claude=CLAUDE)
    assert "claude" == chosen(PLAIN, chain=("claude", "local"), claude=CLAUDE).provider


@pytest.mark.parametrize(
    ("model", "capabilities", "think"),
    [
        ("qwen3:8b", {"completion", "thinking"}, False),
        ("qwen3:8b", {"completion"}, False),
        ("gpt-oss:20b", {"completion", "thinking"}, "low"),
        ("gpt-oss:20b", {"completion"}, False),
    ],
)
def test_models_are_told_not_to_think_aloud_where_they_can_be(model: str, capabilities: set[str], think: Any) -> None:
    assert think == chosen(replace(PLAIN, model=model, capabilities=frozenset(capabilities))).think


@pytest.mark.parametrize(
    ("version", "honest"),
    [("0.12.6", True), ("v0.33.0-rc2", True), ("1.0.0", True), ("", True), ("0.12.6-rc1", False), ("0.9.9", False),
     ("the newest", False)],
)  # fmt: skip
def test_servers_that_cut_prompts_silently_are_known_by_their_version(version: str, honest: bool) -> None:
    assert honest == is_honest(version)


def test_prices_are_found_under_the_executors_name() -> None:
    assert ("ollama:qwen3:8b", "claude-x") == (chosen(PLAIN).priced, CLAUDE.priced)
