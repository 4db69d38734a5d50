"""Secrets stay out of the sidecar's log, wherever they hide; and reports fit into a frame."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from sidecar.logs import MASK, redact
from sidecar.report import clip, fit
from sidecar.wire import MAX_FRAME_BYTES, encode, messages
from sidecar.wire.nouns import CheckResult, Error, Report, Result

SECRETS = [
    "act_agent_AAAAAAAA_0123456789012345678901234567890",
    "sk-ant-api03-abcdefghijkl",
    "ghp_0123456789abcdefghij",
    "ghs_0123456789abcdefghij",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_at_any_depth(secret):
    hidden = {"a": [{"b": (f"said {secret} aloud", secret.encode())}]}

    shown = json.dumps(redact(hidden))

    assert secret not in shown
    assert MASK in shown


@pytest.mark.parametrize("name", ["token", "Authorization", "api_key", "db_password", "clientSecret"])
def test_whatever_stands_under_a_telling_name_is_masked(name):
    assert {name: MASK} == redact({name: "plain"})


def test_user_information_of_an_address_is_masked_and_the_host_is_not():
    assert f"https://{MASK}@host/x" == redact("https://ada:hunter2@host/x")


def test_harmless_values_stay_as_they_are():
    values = {"attempt": 7, "ratio": 0.5, "ok": True, "none": None, "text": "act two, scene one"}

    assert values == redact(values)


def test_something_endlessly_deep_is_cut_off():
    deep: list = []
    for _ in range(50):
        deep = [deep]

    assert MASK in json.dumps(redact(deep))


def test_a_traceback_and_the_words_of_a_library_are_masked_too():
    code = (
        "import logging, structlog; from sidecar import logs; logs.configure(form='json')\n"
        f"logging.getLogger('lib').warning('bearer %s', {SECRETS[0]!r})\n"
        f"try: raise ValueError({SECRETS[0]!r})\n"
        "except ValueError: structlog.get_logger('x').exception('it broke')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert 2 == len(lines)
    assert "ValueError" in lines[1]["exception"]
    assert SECRETS[0] not in done.stderr


def report(characters):
    checks = [CheckResult(type="tests_pass", status="fail", output="\x01" * characters) for _ in range(50)]
    return messages.TaskFailed(
        task=1,
        attempt=1,
        error=Error(code="verification_failed"),
        result=Result(output="\x01" * 60_000),
        reports=[Report(status="fail", checks=checks) for _ in range(20)],
    )


@pytest.mark.parametrize("characters", [0, 100, 10_000])
def test_the_largest_report_there_can_be_fits_into_a_frame(characters):
    fitting = fit(report(characters))

    assert len(encode(fitting).encode()) <= MAX_FRAME_BYTES
    assert isinstance(fitting, messages.TaskFailed)
    assert 50 == len(fitting.reports[-1].checks)


def test_a_report_that_fits_stays_whole():
    small = messages.TaskFailed(task=1, attempt=1, error=Error(code="x"), result=Result(output="y" * 5_000))

    assert small == fit(small)


def test_a_clipped_text_keeps_its_beginning_and_its_end():
    clipped = clip("begin" + "x" * 10_000 + "end", 1_000)

    assert 1_000 == len(clipped)
    assert clipped.startswith("begin")
    assert clipped.endswith("end")
    assert "shortened" in clipped
