"""Alerts: raised once while they last, acknowledged by a person, over when they are cleared."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.events import hints
from apps.events.models import Event
from apps.ops import alerts, jobs
from apps.ops.alerts import AlertCleared
from apps.ops.models import Alert
from tests import cast, rest
from tests.model.crew import Crew


def kinds() -> list[str]:
    return list(Event.objects.filter(kind__startswith="alert.").order_by("pk").values_list("kind", flat=True))


def raised(severity: str = "warning", key: str = "endpoint-down:4") -> Alert:
    return alerts.raise_(key, severity, "lab does not answer.", endpoint=4)


def test_an_alert_raised_again_is_counted_not_doubled(db) -> None:
    raised()
    again = alerts.raise_("endpoint-down:4", "warning", "lab still does not answer.", endpoint=4, misses=7)

    assert (1, 2) == (Alert.objects.count(), again.times)
    assert ("lab still does not answer.", {"endpoint": 4, "misses": 7}) == (again.message, again.facts)
    assert ["alert.raised"] == kinds()


def test_a_warning_that_becomes_critical_is_news_again_though_it_was_acknowledged(db) -> None:
    alerts.acknowledge(raised(), by="ada")
    worse = raised("critical")

    assert worse.acknowledged_at is None
    assert ["alert.raised", "alert.acknowledged", "alert.raised"] == kinds()


def test_one_that_is_cleared_twice_is_over_once_and_may_come_back(db) -> None:
    raised()

    assert [True, False] == [alerts.clear("endpoint-down:4"), alerts.clear("endpoint-down:4")]
    raised()
    assert [1, 1] == [alert.times for alert in Alert.objects.all()]
    assert ["alert.raised", "alert.cleared", "alert.raised"] == kinds()


def test_acknowledging_twice_is_once_and_the_first_who_did_counts(db) -> None:
    alert = raised()
    alerts.acknowledge(alert, by="ada")
    alerts.acknowledge(alert, by="bob")

    assert "ada" == cast.fresh(alert).acknowledged_by
    assert 1 == kinds().count("alert.acknowledged")


def test_what_is_over_cannot_be_acknowledged(db) -> None:
    alert = raised()
    alerts.clear(alert.key)

    with pytest.raises(AlertCleared):
        alerts.acknowledge(alert, by="ada")


def test_alerts_that_were_over_long_ago_are_forgotten_and_open_ones_never(db) -> None:
    raised()
    alerts.clear("endpoint-down:4")
    raised(key="endpoint-down:5")
    long_ago = timezone.now() - timedelta(days=400)
    Alert.objects.update(raised_at=long_ago)
    Alert.objects.filter(cleared_at__isnull=False).update(cleared_at=long_ago)
    jobs.prune()

    assert ["endpoint-down:5"] == [alert.key for alert in Alert.objects.all()]


def test_rest_lists_and_acknowledges_for_those_who_may(db) -> None:
    alert = raised()
    raised(key="endpoint-down:5")
    alerts.clear("endpoint-down:5")
    found = rest.reader().get("/api/alerts", open="true").json()["results"]

    assert [(alert.pk, "endpoint-down:4", None)] == [(one["id"], one["key"], one["cleared_at"]) for one in found]
    assert 403 == rest.reader().post(f"/api/alerts/{alert.pk}/acknowledge").status_code
    done = rest.integration("ops:write").post(f"/api/alerts/{alert.pk}/acknowledge").json()
    assert done["acknowledged_by"].startswith("ada")


def test_an_operator_acknowledges_in_the_admin(db) -> None:
    alert = raised()
    client = Client()
    client.force_login(User.objects.create_superuser("ada"))
    client.post(reverse("admin:ops_alert_changelist"), {"action": "acknowledge", "_selected_action": [alert.pk]})

    assert "ada" == cast.fresh(alert).acknowledged_by


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    monkeypatch.setattr(hints, "send", lambda _: None)
    found = Crew(6)
    yield found
    found.dismiss()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_who_raise_and_clear_the_same_at_once_leave_one_or_none(crew: Crew) -> None:
    for number in range(5):
        key = f"endpoint-down:{number}"
        crew.do([partial(raised, key=key)] * 6)
        assert 6 == Alert.objects.get(key=key).times
        crew.do([partial(alerts.clear, key)] * 6)

        assert 0 == Alert.objects.open().count()
    assert 10 == len(kinds())
