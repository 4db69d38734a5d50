"""What the brain hears of the hub's health, and says when it hung."""

from __future__ import annotations

import pytest

from apps.brain import watch
from apps.brain.lifecycle import State
from apps.ops import health
from apps.ops.models import Alert

pytestmark = pytest.mark.django_db


def test_a_health_report_that_fails_keeps_no_goal_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> int:
        raise OSError("no disk")

    monkeypatch.setattr(health, "critical", fails)

    assert 0 == watch.critical()


def test_a_watchdog_raises_one_critical_alert_for_each_state_that_is_cleared_when_things_move_there() -> None:
    for _ in range(2):
        watch.alarm(State.EXECUTING, "No goal has moved for 2 hours.")
    watch.alarm(State.HEALING, "Healing took longer than 5 minutes.")
    told = list(Alert.objects.open().order_by("pk").values_list("key", "severity"))
    assert [("brain.watchdog:executing", "critical"), ("brain.watchdog:healing", "critical")] == told

    for _ in range(2):
        watch.all_clear(State.EXECUTING)

    assert ["brain.watchdog:healing"] == list(Alert.objects.open().values_list("key", flat=True))
