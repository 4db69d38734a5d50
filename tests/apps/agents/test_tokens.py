"""A token proves itself, is known by its digest, rotates with an overlap and ends when it is revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.agents import secrets, tokens
from apps.agents.models import Agent, Token
from apps.events.models import Event
from apps.events.refused import Invalid, Refused
from tests.rest import known

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> User:
    return User.objects.create_user("ada", is_staff=True)


@pytest.fixture
def ship() -> Agent:
    return Agent.objects.create(name="mild-disagreement")


@pytest.fixture(autouse=True)
def _nothing_remembered():
    tokens._memory.forget()


def test_a_minted_token_is_known_again_with_its_holder(ship):
    token, secret = tokens.mint("agent", agent=ship, by="ada")

    found = known(secret)

    assert (token.pk, ship) == (found.pk, found.agent)


def test_only_the_digest_is_stored_and_events_do_not_hold_the_secret(operator):
    _, secret = tokens.mint("integration", user=operator, scopes=["tasks:read"], by="ada")

    stored = repr(list(Token.objects.values())) + repr(list(Event.objects.values()))

    assert secret not in stored
    assert secret.split("_")[3] not in stored


def test_a_token_has_256_bits_and_a_checksum_and_its_role_in_front(operator):
    _, secret = tokens.mint("reader", user=operator, by="ada")

    act, role, key, body, checksum = secret.split("_")

    assert ("act", "reader", 8, 43, 6) == (act, role, len(key), len(body), len(checksum))


@pytest.mark.parametrize(
    "spoil", ["", "x", "act_agent_", "é" * 80, "act_agent_aaaaaaaa_" + "a" * 43 + "_000000", "a" * 9_999]
)
def test_junk_never_reaches_the_database(spoil, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert tokens.authenticate(spoil) is None


def test_every_single_changed_character_is_refused_without_a_query(ship, django_assert_num_queries):
    _, secret = tokens.mint("agent", agent=ship, by="ada")

    with django_assert_num_queries(0):
        for at, char in enumerate(secret):
            other = "x" if char != "x" else "y"
            assert tokens.authenticate(secret[:at] + other + secret[at + 1 :]) is None


def test_a_well_formed_token_with_a_known_key_and_another_secret_is_refused(ship):
    token, _ = tokens.mint("agent", agent=ship, by="ada")
    forged_body = f"act_agent_{token.key}_{'a' * 43}"

    assert tokens.authenticate(f"{forged_body}_{secrets._checksum(forged_body)}") is None


def test_the_role_in_the_prefix_cannot_be_changed(operator):
    token, secret = tokens.mint("reader", user=operator, by="ada")
    body = secret.rpartition("_")[0].replace("act_reader", "act_integration")

    assert tokens.authenticate(f"{body}_{secrets._checksum(body)}") is None
    assert known(secret).pk == token.pk


def test_a_second_look_asks_no_question_of_the_database(ship, django_assert_num_queries):
    _, secret = tokens.mint("agent", agent=ship, by="ada")
    tokens.authenticate(secret)

    with django_assert_num_queries(0):
        assert tokens.authenticate(secret) is not None


def test_last_use_is_written_at_most_once_a_minute(ship):
    token, secret = tokens.mint("agent", agent=ship, by="ada")
    tokens.authenticate(secret)
    first = Token.objects.get(pk=token.pk).last_used_at
    tokens._memory.forget()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        tokens.authenticate(secret)

    assert first is not None
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]


def test_a_revoked_token_is_refused_at_once_and_told_of_once(ship, django_capture_on_commit_callbacks):
    token, secret = tokens.mint("agent", agent=ship, by="ada")
    tokens.authenticate(secret)

    with django_capture_on_commit_callbacks(execute=True):
        tokens.revoke(token, by="ada")
        tokens.revoke(token, by="ada")

    assert tokens.authenticate(secret) is None
    assert 1 == Event.objects.filter(kind="token.revoked").count()


def test_revoking_hints_to_the_sockets_of_the_agent(ship, monkeypatch, django_capture_on_commit_callbacks):
    told: list[str] = []
    monkeypatch.setattr("apps.events.hints.send", told.append)
    token, _ = tokens.mint("agent", agent=ship, by="ada")

    with django_capture_on_commit_callbacks(execute=True):
        tokens.revoke(token, by="ada")

    assert f"agent.{ship.pk}" in told


def test_an_expired_token_is_refused_even_if_it_was_just_seen(ship):
    _, secret = tokens.mint("agent", agent=ship, expires_at=timezone.now() + timedelta(hours=1), by="ada")
    seen = known(secret)
    seen.expires_at = timezone.now()

    assert tokens.authenticate(secret) is None


def test_the_token_of_a_retired_agent_or_a_barred_user_is_refused(ship, operator):
    _, of_ship = tokens.mint("agent", agent=ship, by="ada")
    _, of_user = tokens.mint("reader", user=operator, by="ada")
    Agent.objects.update(retired_at=timezone.now())
    User.objects.update(is_active=False)

    assert tokens.authenticate(of_ship) is None
    assert tokens.authenticate(of_user) is None


def test_after_rotation_both_work_and_then_only_the_new_one(ship, settings):
    old, old_secret = tokens.mint("agent", agent=ship, by="ada")
    new, new_secret = tokens.rotate(old, by="ada")
    both = tokens.authenticate(old_secret), tokens.authenticate(new_secret)
    Token.objects.filter(pk=old.pk).update(expires_at=timezone.now())
    tokens._memory.forget()

    assert all(both)
    assert tokens.authenticate(old_secret) is None
    assert known(new_secret).pk == new.pk


def test_rotation_never_lengthens_the_life_of_the_old_one(ship):
    soon = timezone.now() + timedelta(seconds=30)
    old, _ = tokens.mint("agent", agent=ship, expires_at=soon, by="ada")

    new, _ = tokens.rotate(old, by="ada")

    assert soon == Token.objects.get(pk=old.pk).expires_at
    assert new.expires_at is not None


def test_what_is_revoked_cannot_be_rotated(ship):
    token, _ = tokens.mint("agent", agent=ship, by="ada")
    tokens.revoke(token, by="ada")

    with pytest.raises(Refused) as refused:
        tokens.rotate(token, by="ada")

    assert "token_not_live" == refused.value.code


def test_what_is_rolled_back_leaves_no_token(ship):
    with transaction.atomic():
        _, secret = tokens.mint("agent", agent=ship, by="ada")
        transaction.set_rollback(True)

    assert tokens.authenticate(secret) is None


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("agent", {"role": "agent"}),
        ("user", {"role": "integration"}),
        ("scopes", {"role": "integration", "user": "ada", "scopes": ["tasks:everything"]}),
        ("scopes", {"role": "reader", "user": "ada", "scopes": ["tasks:read"]}),
        ("scopes", {"role": "integration", "user": "guest", "scopes": ["pulls:review"]}),
    ],
)
def test_a_token_that_makes_no_sense_is_refused_by_its_field(field, wanted, operator):
    User.objects.create_user("guest")
    if "user" in wanted:
        wanted = {**wanted, "user": User.objects.get(username=wanted["user"])}

    with pytest.raises(Invalid) as invalid:
        tokens.mint(wanted.pop("role"), **wanted, by="ada")

    assert field == invalid.value.field
