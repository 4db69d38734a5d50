"""What the brain hears of the hub's health, and says when it hung."""

from __future__ import annotations

import pytest

from apps.brain import watch
from apps.ops import health
from apps.ops.models import Alert

pytestmark = pytest.mark.django_db


def test_a_health_report_that_fails_keeps_no_goal_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise OSError("no disk")

    monkeypatch.setattr(health, "critical", fails)

    assert 0 == watch.critical()


def test_a_watchdog_raises_one_critical_alert_that_is_cleared_when_things_move_again() -> None:
    watch.alarm("No goal has moved for 2 hours.")
    watch.alarm("No goal has moved for 2 hours.")
    assert [("brain.watchdog", "critical")] == list(Alert.objects.open().values_list("key", "severity"))

    watch.all_clear()
    watch.all_clear()

    assert not Alert.objects.open().exists()
