"""What the health report makes of signals, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from apps.ops.assessment import Category, Down, Held, OpenAlert, Sick, Signals, assess


def held(number: int = 1, **facts: Any) -> Held:
    return Held(**{"attempt": number, "task": number, "title": "t", "agent": f"a{number}", "online": True, **facts})


def down(number: int = 1, **facts: Any) -> Down:
    return Down(endpoint=number, name=f"e{number}", **facts)


def sick(**facts: Any) -> Sick:
    return Sick(repo=1, slug="shop", **facts)


LAPSED: dict[str, Any] = {"lapsed": 61.0}
GONE: dict[str, Any] = {"online": False, "silent": 30.0}
LATE: dict[str, Any] = {"running": 901.0, "quiet": 601.0}
CASES: dict[str, tuple[Signals, list[tuple[str, str, bool]]]] = {
    "nothing": (Signals(), []),
    "work in hand": (Signals(held=(held(),)), []),
    "a lease that a sweep is about to find": (Signals(held=(held(lapsed=59.0),)), []),
    "a lease that no sweep found": (Signals(held=(held(**LAPSED),)), [("stuck_tasks", "warning", True)]),
    "over its time and silent": (Signals(held=(held(**LATE),)), [("stuck_tasks", "warning", True)]),
    "over its time but busy": (Signals(held=(held(**{**LATE, "quiet": 599.0}),)), []),
    "silent but in its time": (Signals(held=(held(**{**LATE, "running": 899.0}),)), []),
    "a person who takes long by hand": (Signals(held=(held(**LATE, by_hand=True, online=False),)), []),
    "given more time just now": (Signals(held=(held(**LATE, given_time=True),)), []),
    "two that hang": (Signals(held=tuple(held(n, **LAPSED) for n in (1, 2))), [("stuck_tasks", "warning", True)] * 2),
    "three that hang": (
        Signals(held=tuple(held(n, **LAPSED) for n in (1, 2, 3))),
        [("stuck_tasks", "critical", True)] * 3,
    ),
    "an agent that may come back": (Signals(held=(held(**GONE),)), [("lost_agents", "warning", False)]),
    "an agent whose lease is over": (Signals(held=(held(**GONE, lapsed=1.0),)), [("lost_agents", "warning", True)]),
    "an agent long gone": (Signals(held=(held(**GONE, **LAPSED),)), [("stuck_tasks", "warning", True)]),
    "two that nobody can do": (
        Signals(unserved=("a", "b"), unserved_count=2),
        [("unserved_tasks", "warning", False)],
    ),
    "three that nobody can do": (
        Signals(unserved=("a", "b"), unserved_count=3),
        [("unserved_tasks", "critical", False)],
    ),
    "an endpoint that nothing needs": (Signals(down=(down(),)), [("endpoints", "warning", True)]),
    "an endpoint that work waits for": (Signals(down=(down(needed=True),)), [("endpoints", "critical", True)]),
    "an agent's own that nothing needs": (Signals(down=(down(ours=False),)), [("endpoints", "warning", False)]),
    "half of five failed": (Signals(attempts=6, succeeded=3), []),
    "more than half of five failed": (Signals(attempts=5, succeeded=2), [("error_rate", "warning", False)]),
    "too few to say": (Signals(attempts=4, succeeded=0), []),
    "room on the disk": (Signals(disk_free=10.0), []),
    "little room": (Signals(disk_free=9.9), [("storage", "warning", True)]),
    "hardly any room": (Signals(disk_free=2.9), [("storage", "critical", True)]),
    "jobs that flow": (Signals(backlog=300.0), []),
    "a job that nobody takes": (Signals(backlog=301.0), [("storage", "warning", False)]),
    "a broken branch": (Signals(sick=(sick(faults=("make test",)),)), [("repos", "critical", True)]),
    "a broken branch that a goal is for": (
        Signals(sick=(sick(faults=("make test",), goals=(7,)),)),
        [("repos", "warning", False)],
    ),
    "a broken branch with a fault left": (
        Signals(sick=(sick(faults=("make test", "make lint"), goals=(7,)),)),
        [("repos", "critical", True)],
    ),
    "a broken branch that no goal may be for now": (
        Signals(sick=(sick(faults=("make test",), kept_back=("too many",)),)),
        [("repos", "warning", True)],
    ),
    "a broken branch whose goal has failed": (
        Signals(sick=(sick(faults=("make test",), kept_back=("goal 7 is failed: no",), given_up=1),)),
        [("repos", "warning", False)],
    ),
    "a broken branch of a paused repository": (
        Signals(sick=(sick(faults=("make test",), paused=True),)),
        [("repos", "warning", False)],
    ),
    "a branch that nobody could judge": (
        Signals(sick=(sick(unclear="main of shop cannot be examined: no agent"),)),
        [("repos", "warning", False)],
    ),
    "an upstream that is away": (Signals(sick=(sick(sync_error="gone"),)), [("repos", "warning", False)]),
    "a warning": (Signals(alerts=(OpenAlert(key="a", severity="warning", message="m"),)), []),
    "a critical alert": (
        Signals(alerts=(OpenAlert(key="a", severity="critical", message="m"),)),
        [("alerts", "critical", False)],
    ),
    "one that somebody has seen": (
        Signals(alerts=(OpenAlert(key="a", severity="critical", message="m", acknowledged=True),)),
        [("alerts", "warning", False)],
    ),
    "an alert of what the report sees itself": (
        Signals(alerts=(OpenAlert(key="broken-main:shop", severity="critical", message="m"),)),
        [],
    ),
    "a source that fails": (Signals(failed={"alerts": "no"}), [("unknown", "warning", False)]),
    "no database": (Signals(failed={"database": "no"}), [("unknown", "critical", False)]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_signal_is_as_grave_as_the_table_says_and_curable_when_there_is_a_remedy(name: str) -> None:
    signals, expected = CASES[name]

    issues = assess(signals).issues
    assert expected == [(one.category.value, one.severity, bool(one.remedy)) for one in issues]


def test_the_critical_come_first_then_in_the_order_of_remedies() -> None:
    all_of_it = Signals(
        held=(held(**LAPSED), held(2, **GONE)), down=(down(), down(2, needed=True)), disk_free=1.0, backlog=999.0
    )
    found = [(issue.critical, issue.category) for issue in assess(all_of_it).issues]

    rest = [Category.STUCK, Category.LOST, Category.ENDPOINTS, Category.STORAGE]
    critical = [Category.ENDPOINTS, Category.STORAGE]
    assert [(True, one) for one in critical] + [(False, one) for one in rest] == found


def test_only_what_can_be_cured_asks_for_healing() -> None:
    report = assess(Signals(unserved_count=9, down=(down(needed=True),)))

    assert (2, 1, False) == (report.critical, report.curable, report.healthy)
    assert assess(Signals()).healthy
