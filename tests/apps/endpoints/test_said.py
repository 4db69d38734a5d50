"""Words of models, without what is around them."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.endpoints.said import KINDS, without_fence, without_thoughts


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("  yes\n", "yes"),
        ("<think>Hm.</think>\n{}", "{}"),
        ("\n<think>a\nb</think><think>c</think> yes", "yes"),
        ("<think>and on", ""),
        ("So I think.</think>\n[1]", "[1]"),
        ('{"say": "</think>"}', '{"say": "</think>"}'),
        ('{"say": "<think>no</think>"}', '{"say": "<think>no</think>"}'),
        ("", ""),
    ],
)
def test_an_answer_is_without_the_thoughts_before_it(text: str, answer: str) -> None:
    assert answer == without_thoughts(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("```json\n{}\n```", "{}"),
        ("```\n[1]```\n", "[1]"),
        ("{}", "{}"),
        ("Here:\n```json\n{}\n```", "Here:\n```json\n{}\n```"),
    ],
)
def test_a_block_of_code_around_a_value_is_taken_off(text: str, answer: str) -> None:
    assert answer == without_fence(text)


def test_every_way_in_which_a_call_can_fail_is_in_the_docs() -> None:
    page = Path("docs/thinking.md").read_text(encoding="utf-8")

    assert [] == [code for code in KINDS if f"| `{code}` |" not in page]
