"""The page of what the hub does by itself."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.brain import actions
from apps.brain.budgets import Purse
from apps.brain.models import Stay
from apps.dashboard.brain import Bar
from apps.goals import gate
from tests.apps.goals import planning

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


def html_of(page, path: str = "/brain") -> str:
    response = page.get(path)
    assert 200 == response.status_code
    return str(response.content.decode())


def test_a_new_hub_rests_and_says_so(page):
    html = html_of(page)

    assert "resting" in html
    assert "Nothing yet" in html
    assert 'data-live="dashboard brain"' in html
    assert "20 calls" in html


def test_where_it_was_and_why_is_shown(page):
    planning.goal("Read dates")
    actions.think()

    html = html_of(page)

    assert "executing" in html
    assert "still there" in html


def test_a_person_pauses_and_resumes_it(page):
    page.post("/brain/pause", {"reason": EVIL})

    html = html_of(page)
    assert gate.is_closed()
    assert "Paused by grace" in html
    assert EVIL not in html
    assert "&lt;script&gt;" in html

    page.post("/brain/resume")
    assert not gate.is_closed()
    assert "Paused by" not in html_of(page)
    assert 404 == page.post("/brain/explode").status_code


def queries_of(page) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert " style=" not in html_of(page)
    return len([one for one in asked if "SAVEPOINT" not in one["sql"]])


def test_the_page_has_no_inline_style_and_costs_the_same_after_many_moves(page):
    settings.DATA_DIR.mkdir()
    planning.goal("Read dates")
    actions.think()
    few = queries_of(page)
    for number in range(12):
        planning.goal("Read dates")
        facts = {"status": "resting", "came_from": "executing", "at": timezone.now()}
        Stay.objects.create(move=100 + number, left_at=timezone.now(), **facts)

    assert few == queries_of(page) <= 48
    assert html_of(page).count('id="stay-') > 12


@pytest.mark.parametrize(
    ("used", "tone"), [(0, ""), (10, ""), (11, "warn"), (16, "warn"), (17, "bad"), (20, "bad"), (30, "bad")]
)
def test_a_bar_warns_before_a_budget_is_used_up(used, tone):
    bar = Bar(Purse(state="executing", period="hour", measure="calls", used=used, limit=20))

    assert (tone, f"{used} of 20 calls") == (bar.tone, bar.words)


def test_money_is_shown_as_money():
    assert "$1.50 of $20.00" == Bar(Purse("", "day", "micro", 1_500_000, 20_000_000)).words
