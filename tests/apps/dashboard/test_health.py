"""The page of what is wrong with the hub."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint
from apps.ops import alerts
from apps.ops.models import Alert, Remedy
from tests import cast

pytestmark = pytest.mark.django_db
EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _disk(settings):
    settings.DATA_DIR.mkdir()


def html_of(page, path: str = "/health") -> str:
    response = page.get(path)
    assert 200 == response.status_code
    return str(response.content.decode())


def test_a_hub_that_is_well_says_so(page):
    html = html_of(page)

    assert "nothing is wrong" in html
    assert "No alerts" in html


def test_a_lost_agent_is_shown_with_what_healing_would_do_and_a_rehearsal_does_nothing(page):
    agent = cast.agent("carry-the-one")
    attempt = cast.working(cast.queued_task())
    cast.lapse(attempt)
    type(agent).objects.filter(pk=agent.pk).update(connection="")

    html = html_of(page)
    rehearsed = page.post("/health/rehearse")

    assert "carry-the-one" in html
    assert "Healing would: take it back." in html
    assert 200 == rehearsed.status_code
    assert "What healing would do now" in rehearsed.content.decode()
    assert "open" == cast.outcome_of(attempt)
    assert not Remedy.objects.exists()


def test_an_alert_is_acknowledged(page):
    alert = alerts.raise_("endpoint-down:4", "critical", EVIL)
    html = html_of(page)
    page.post(f"/alerts/{alert.pk}/acknowledge")

    alert.refresh_from_db()
    assert EVIL not in html
    assert 'Health <span class="badge bad">1</span>' in html
    assert "grace" == alert.acknowledged_by
    assert "seen by grace" in html_of(page)


def test_an_alert_that_is_over_is_not_acknowledged_any_more(page):
    alert = alerts.raise_("endpoint-down:4", "warning", "Gone.")
    alerts.clear("endpoint-down:4")

    assert 409 == page.post(f"/alerts/{alert.pk}/acknowledge").status_code
    assert 404 == page.post(f"/alerts/{alert.pk}/explode").status_code
    assert "Gone." in html_of(page)
    assert 1 == Alert.objects.count()


def test_what_healing_did_is_shown_with_before_and_after(page):
    Remedy.objects.create(
        round=1, category="stuck_tasks", subject="task/7", action="reclaim", outcome="done", detail=EVIL,
        before={"status": "working"}, after={"status": "queued"},
    )  # fmt: skip

    html = html_of(page)

    assert "status working → status queued" in html
    assert 'href="/tasks/7"' in html
    assert EVIL not in html
    assert " style=" not in html


def down(number: int) -> None:
    Endpoint.objects.create(url=f"http://10.0.0.{number}:11434", place=str(number), health=Health.DOWN)
    alerts.raise_(f"endpoint-down:{number}", "warning", "It does not answer.")
    Remedy.objects.create(
        round=number, category="endpoints", subject=f"endpoint/{number}", action="look again", outcome="failed"
    )


def queries_of(page) -> int:
    with CaptureQueriesContext(connection) as asked:
        html_of(page)
    return len([one for one in asked if "SAVEPOINT" not in one["sql"]])


def test_the_page_costs_the_same_with_many_endpoints_down(page):
    down(1)
    few = queries_of(page)
    for number in range(2, 14):
        down(number)

    assert few == queries_of(page) <= 40
