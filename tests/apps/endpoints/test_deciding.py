"""The pure decisions about endpoints: their health, what makes two the same, and how much they have to do."""

from __future__ import annotations

from typing import Any

import pytest

from apps.endpoints.health import Health, after
from apps.endpoints.place import is_here, place_of
from apps.endpoints.strain import ALIKE, COLD, strain

UNKNOWN, UP, DOWN = Health.UNKNOWN, Health.UP, Health.DOWN
GB = 1024**3


@pytest.mark.parametrize(
    ("before", "answers", "then"),
    [
        ((UNKNOWN, 0), [True], (UP, 0)),
        ((UNKNOWN, 0), [False], (UNKNOWN, 1)),
        ((UNKNOWN, 0), [False, False], (DOWN, 2)),
        ((UP, 0), [False], (UP, 1)),
        ((UP, 0), [False, True, False], (UP, 1)),
        ((UP, 0), [False, False], (DOWN, 2)),
        ((DOWN, 2), [False] * 9, (DOWN, 2)),
        ((DOWN, 2), [True], (UP, 0)),
    ],
)
def test_one_miss_says_nothing_two_say_down_one_answer_says_up(
    before: tuple[Health, int], answers: list[bool], then: tuple[Health, int]
) -> None:
    for answered in answers:
        before = after(*before, answered=answered)

    assert then == before


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://127.0.0.1:11434", "m1 http://127.0.0.1:11434"),
        ("http://localhost:11434/", "m1 http://localhost:11434"),
        ("http://[::1]:11434", "m1 http://[::1]:11434"),
        ("http://gpu:11434", "http://gpu:11434"),
        ("https://api.anthropic.com", "https://api.anthropic.com:443"),
    ],
)
def test_an_address_that_means_this_machine_is_that_of_the_machine(url: str, place: str) -> None:
    assert place == place_of(url, "m1")


def test_what_means_here() -> None:
    assert all(is_here(host) for host in ("localhost", "localhost.", "a.localhost", "127.0.0.9", "127.1", "::1", "::"))
    assert not any(is_here(host) for host in ("localhost.example.org", "10.0.0.1", "::2", ""))


def load(**facts: Any) -> dict[str, Any]:
    return {"cpu": None, "cores": [], "memory_used_bytes": None, "gpus": [], **facts}


def gpu(**facts: Any) -> dict[str, Any]:
    return {"name": "", "busy": None, "memory_bytes": 24 * GB, "memory_used_bytes": GB, **facts}


@pytest.mark.parametrize(
    ("facts", "score", "words"),
    [
        pytest.param({"running": 0}, 0.0, "nothing running", id="nothing is known: nothing counts"),
        pytest.param({"running": 2}, 2.0, "2 running", id="requests"),
        pytest.param({"running": 0, "load": load(cpu=50.0)}, 0.5, "nothing running, CPU 50%", id="the processor"),
        pytest.param(
            {"running": 1, "load": load(cpu=10.0, gpus=[gpu(busy=80.0), gpu(busy=5.0)])},
            1.8,
            "1 running, GPU 80%",
            id="the busier of processor and graphics",
        ),
        pytest.param({"running": 0, "warm": False}, COLD, "nothing running, model not loaded", id="cold"),
        pytest.param(
            {"running": 0, "load": load(memory_used_bytes=31 * GB), "memory_bytes": 32 * GB},
            0.5,
            "nothing running, memory nearly full",
            id="memory",
        ),
        pytest.param(
            {"running": 0, "load": load(gpus=[gpu(memory_used_bytes=23 * GB)])},
            0.0,
            "nothing running",
            id="video memory that the loaded model itself fills",
        ),
        pytest.param(
            {"running": 0, "warm": False, "load": load(gpus=[gpu(memory_used_bytes=23 * GB)])},
            COLD + 0.5,
            "nothing running, model not loaded, video memory nearly full",
            id="video memory that is full of something else",
        ),
        pytest.param(
            {"running": 0, "warm": False, "load": load(gpus=[gpu(memory_used_bytes=23 * GB), gpu()])},
            COLD,
            "nothing running, model not loaded",
            id="room in one of two",
        ),
        pytest.param({"running": 0, "load": load(cpu=900.0)}, 1.0, "nothing running, CPU 100%", id="nonsense is cut"),
    ],
)
def test_what_an_endpoint_has_to_do(facts: dict[str, Any], score: float, words: str) -> None:
    found = strain(**{"warm": True, **facts})

    assert words == found.words
    assert found.score == pytest.approx(score)


def test_a_cold_model_alone_does_not_keep_work_from_an_equal_endpoint() -> None:
    assert COLD < ALIKE < 1
