"""Numbers of the environment: what cannot be is refused when a process starts, not when the first task is matched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

from agentcom.reading import chosen, whole

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(("said", "number"), [(None, 7), ("1", 1), ("10", 10)])
def test_a_number_within_its_bounds_is_read(monkeypatch: pytest.MonkeyPatch, said: str | None, number: int) -> None:
    if said is not None:
        monkeypatch.setenv("AGENTCOM_SOMETHING", said)

    assert number == whole(environ.Env(), "AGENTCOM_SOMETHING", default=7, least=1, most=10)


@pytest.mark.parametrize("said", ["0", "11", "-1", "9223372036854775808", "1.5", "much", ""])
def test_any_other_is_refused_with_its_bounds(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("AGENTCOM_SOMETHING", said)

    with pytest.raises(ImproperlyConfigured, match="AGENTCOM_SOMETHING is a whole number from 1 to 10"):
        whole(environ.Env(), "AGENTCOM_SOMETHING", default=7, least=1, most=10)


def test_a_word_that_is_not_among_those_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "a" == chosen(environ.Env(), "AGENTCOM_SOMETHING", ("a", "b"))
    monkeypatch.setenv("AGENTCOM_SOMETHING", "b")
    assert "b" == chosen(environ.Env(), "AGENTCOM_SOMETHING", ("a", "b"))
    monkeypatch.setenv("AGENTCOM_SOMETHING", "c")

    with pytest.raises(ImproperlyConfigured, match="AGENTCOM_SOMETHING is one of: a, b"):
        chosen(environ.Env(), "AGENTCOM_SOMETHING", ("a", "b"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AGENTCOM_ATTEMPT_MICROUSD", "-1"),
        ("AGENTCOM_ATTEMPT_MICROUSD", "9223372036854775808"),
        ("AGENTCOM_ATTEMPT_TOKENS", "0"),
        ("AGENTCOM_ATTEMPT_CALLS", "many"),
        ("AGENTCOM_THINKING_CONTEXT", "4703"),
    ],
)
def test_no_process_starts_with_a_number_that_cannot_be(name: str, said: str) -> None:
    program = [sys.executable, "-c", "import agentcom.settings"]
    done = subprocess.run(
        program, cwd=ROOT, env={**os.environ, name: said}, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode
    assert f"{name} is a whole number from " in done.stderr
