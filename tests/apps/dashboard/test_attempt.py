"""The page of an attempt, and how what a model did is put into words."""

from __future__ import annotations

import json

import pytest

from apps.dashboard.templatetags import shown
from apps.tasks import attempts
from tests import cast


def test_the_json_of_a_tool_call_is_shown_a_field_a_line_with_texts_as_they_are():
    told = {
        "path": "a.py",
        "text": "1\tx\n2\ty",
        "verify": {"exit_code": 1, "output": "no\nway"},
        "entries": ["b/", "c"],
    }

    assert (
        "path: a.py\ntext: \n1\tx\n2\ty\nverify: \n  exit_code: 1\n  output: \nno\nway\nentries: \nb/\nc"
    ) == shown.json_lines(json.dumps(told))


@pytest.mark.parametrize("text", ["", "{cut", "[1]", "7"])
def test_what_is_no_whole_object_is_shown_as_it_is(text):
    assert text == shown.json_lines(text)


def test_tokens_are_told_in_a_few_words():
    by_class = {"input": 1_200, "output": 310, "cache_read": 4_100, "cache_write_5m": 700}

    assert "6,000 tokens in (4,100 cached), 310 out" == shown.tokens(by_class)
    assert "0 tokens in, 0 out" == shown.tokens({})


@pytest.mark.django_db
def test_the_steps_of_an_attempt_have_a_page_that_shows_them_as_data(page):
    cast.agent()
    attempt = cast.working(cast.queued_task())
    use = {
        "name": "run_command",
        "arguments": '{"command": "<b>ls</b>"}',
        "observation": "{}",
        "ok": False,
        "duration_ms": 3,
    }
    step = {
        "number": 1,
        "run": 2,
        "at_ms": 5,
        "said": "<i>look</i>",
        "uses": [use],
        "tokens": {"input": 9},
        "model_ms": 4,
    }
    attempts.complete(cast.fence(attempt), {"summary": "", "trajectory": [step]}, [])
    shown_page = page.get(f"/attempts/{attempt.pk}").content.decode()

    assert "Step 1 of run 2" in shown_page
    assert "command: &lt;b&gt;ls&lt;/b&gt;" in shown_page
    assert "&lt;i&gt;look&lt;/i&gt;" in shown_page
    assert 404 == page.get("/attempts/999999").status_code


@pytest.mark.django_db
def test_an_answer_that_could_not_be_read_is_shown_as_such_and_counted(page):
    cast.agent()
    attempt = cast.working(cast.queued_task())
    steps = [
        {
            "number": 1,
            "said": "Up.",
            "complaint": "Nothing was carried out: <b>no</b>.",
            "notes": ["no such tool"],
            "tokens": {},
        },
        {"number": 2, "said": "I look.", "tokens": {}},
    ]
    attempts.complete(cast.fence(attempt), {"summary": "", "trajectory": steps}, [])
    shown_page = page.get(f"/attempts/{attempt.pk}").content.decode()

    first, second = shown_page.split('id="step-')[1:]
    assert "not understood" in first
    assert "Nothing was carried out: &lt;b&gt;no&lt;/b&gt;." in first
    assert "no such tool" in first
    assert "not understood" not in second
    assert "2 steps, 1 not understood" in shown_page
