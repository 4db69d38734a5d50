"""Whether a pull request may be merged, by table; and other people's words made harmless."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from apps.forge import plain
from apps.forge.mergeable import Standing, is_stale, objection

GOOD = Standing(
    status="open", base="b", head="h", has_checks=True, verification="passed", verified_base="b", verified_head="h"
)


def test_an_open_one_proven_on_exactly_this_head_and_base_may_be_merged() -> None:
    assert objection(GOOD) is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"status": "changes_requested"}, "not_open"),
        ({"status": "merged"}, "not_open"),
        ({"status": "closed"}, "not_open"),
        ({"status": "something new"}, "not_open"),
        ({"conflict": ["a"]}, "conflict"),
        ({"blocked": True}, "blocked"),
        ({"verification": None}, "verification_missing"),
        ({"verification": "pending"}, "verification_pending"),
        ({"verification": "failed"}, "verification_failed"),
        ({"verification": "stale"}, "verification_stale"),
        ({"verification": "something new"}, "verification_failed"),
        ({"base": "moved"}, "verification_stale"),
        ({"head": "moved"}, "verification_stale"),
        ({"has_checks": False, "verification": None}, None),
        ({"has_checks": False, "conflict": ["a", "b"]}, "conflict"),
        ({"has_checks": False, "blocked": True}, "blocked"),
    ],
)
def test_the_first_reason_against_it_is_named(change: dict[str, Any], code: str | None) -> None:
    found = objection(replace(GOOD, **change))

    assert code == (found.code if found else None)
    assert found is None or found.sentence.endswith(".")


def test_nothing_is_stale_before_anything_was_verified() -> None:
    assert not is_stale(replace(GOOD, verification=None, base="moved"))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ask @org/all", "ask @ org/all"),
        ("Fixes #12", "Fixes # 12"),
        ("closes GH-7", "closes GH- 7"),
        ("Resolves owner/repo#3", "Resolves owner/repo# 3"),
        ("see https://evil.example/issues/1", "see https: //evil.example/issues/1"),
        ("a\u202eb\u200bc\x00d", "abcd"),
        ("me@example.invalid", "me@ example.invalid"),
    ],
)
def test_words_that_a_forge_would_act_on_are_taken_apart(said: str, shown: str) -> None:
    assert shown == plain.inert(said)


@pytest.mark.parametrize(
    "said",
    [
        "![x](https://track.example/p.png)", "<img src=x onerror=alert(1)>", "[a](javascript:b)", "| a | b |",
        "# heading", "`code`", "**bold** _it_ ~no~", "&lt;script&gt;", "a\n\n## injected",
    ],
)  # fmt: skip
def test_nothing_said_is_markup(said: str) -> None:
    shown = plain.escaped(said)

    assert "\n" not in shown
    assert "<" not in shown
    assert ">" not in shown
    assert "://" not in shown
    for mark in "*_`[]()#|~!":
        assert shown.count(mark) == shown.count("\\" + mark)


@pytest.mark.parametrize("said", ["`", "a ``b`` c", "```", "x|y", "", " ", "a\n```\nb", "<b>&amp;"])
def test_a_code_span_holds_whatever_it_is_given(said: str) -> None:
    shown = plain.code(said)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]

    assert "\n" not in shown
    assert shown.endswith(fence)
    assert fence not in shown[len(fence) : -len(fence)].replace("\\|", "|").split(" ")


def test_a_code_block_cannot_be_left() -> None:
    shown = plain.code_block("make\n````\n# out").splitlines()

    assert ("`````sh", "`````") == (shown[0], shown[-1])


def test_nothing_in_a_message_reads_as_a_trailer() -> None:
    said = plain.message_text("Why.\n\nReviewed-by: ann <ann@example.invalid>\nAgentCom-Task: 7")

    assert "Reviewed-by:" not in said
    assert "AgentCom-Task:" not in said


def test_one_line_is_cut_with_an_ellipsis() -> None:
    assert "a b" == plain.one_line(" a \n\t b ")
    assert "xxxxxxxxx…" == plain.one_line("x" * 99, 10)
