"""What comes in is storable, what is said in logs keeps secrets."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rest_framework.exceptions import ParseError

from apps.events.logs import MASK, redact
from apps.events.parsing import MAX_DEPTH, StrictJSONParser


def parse(text: str) -> Any:
    return StrictJSONParser().parse(io.BytesIO(text.encode()), "application/json", {"encoding": "utf-8"})


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize("good", ['{"a": [1, "ü", null, 1.5]}', nested(MAX_DEPTH), str(2**63 - 1), '"\\ud83d\\ude00"'])
def test_json_that_a_database_can_store_is_read(good: str) -> None:
    assert json.loads(good) == parse(good)


@pytest.mark.parametrize(
    "bad",
    [
        '{"a": "\\u0000"}',
        '{"\\u0000": 1}',
        '["\\ud800"]',
        '{"a": NaN}',
        "Infinity",
        nested(MAX_DEPTH + 2),
        nested(100_000),
        str(2**63),
        str(-(2**64)),
        "{",
        "",
    ],
    ids=lambda bad: bad[:20],
)
def test_json_that_no_database_can_store_is_a_parse_error(bad: str) -> None:
    with pytest.raises(ParseError):
        parse(bad)


SECRETS = (
    "act_agent_Ab12Cd34_" + "x" * 32,
    "sk-ant-api03-" + "a" * 20,
    "ghp_" + "A" * 36,
    "AKIA" + "A" * 16,
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
    "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12,
)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:8])
@pytest.mark.parametrize("depth", [0, 1, 5])
def test_a_secret_is_masked_wherever_it_stands(secret: str, depth: int) -> None:
    said: Any = f"before {secret} after"
    for _ in range(depth):
        said = {"list": [said]}

    shown = json.dumps(redact(said))

    assert secret not in shown
    assert json.dumps(secret)[1:-1] not in shown
    assert "before" in shown
    assert "after" in shown


@pytest.mark.parametrize("name", ["token", "api_key", "apiKey", "Authorization", "DB_PASSWORD", "cookie"])
def test_what_has_a_telling_name_is_masked_whatever_it_is(name: str) -> None:
    assert {name: MASK, "title": "shown"} == redact({name: "hunter2", "title": "shown"})


def test_the_credential_in_a_url_is_masked_and_the_rest_is_shown() -> None:
    assert f"https://{MASK}@hub.example/repo" == redact("https://me:hunter2@hub.example/repo")


def test_what_is_nested_without_end_is_masked() -> None:
    endless: list[Any] = []
    endless.append(endless)

    assert MASK in json.dumps(redact(endless))
