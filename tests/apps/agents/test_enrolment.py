"""A machine joins with a code that works once, and gets a name."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from apps.agents import enrolment, names
from apps.agents.models import NAME, Agent, EnrolmentCode, Token
from apps.events.refused import Invalid, Refused
from tests.rest import known


@pytest.mark.django_db
def test_a_code_makes_an_agent_and_its_token():
    _, code = enrolment.mint_code(User.objects.create_user("ada"))

    agent, secret = enrolment.redeem(code, "carry-the-one")

    assert "carry-the-one" == agent.name
    assert known(secret).agent_id == agent.pk
    assert agent == EnrolmentCode.objects.get().agent


@pytest.mark.django_db
def test_a_code_may_be_typed_in_small_letters_without_dashes():
    _, code = enrolment.mint_code(None)

    agent, _ = enrolment.redeem(f" {code.lower().replace('-', '')} ")

    assert agent.name in names.NAMES


@pytest.mark.django_db
def test_the_code_itself_is_not_stored():
    _, code = enrolment.mint_code(None)

    assert code not in repr(EnrolmentCode.objects.values().get())


@pytest.mark.django_db
def test_each_refusal_has_its_code():
    _, used = enrolment.mint_code(None)
    enrolment.redeem(used, "taken")
    expired, late = enrolment.mint_code(None)
    EnrolmentCode.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    _, good = enrolment.mint_code(None)
    _, named = enrolment.mint_code(None, "chosen")

    assert "code_unknown" == refusal("NOPE-NOPE-NOPE-NOPE")
    assert "code_unknown" == refusal("\ud800\x00")
    assert "code_used" == refusal(used)
    assert "code_expired" == refusal(late)
    assert "name_taken" == refusal(good, "taken")
    assert "name_mismatch" == refusal(named, "another")


@pytest.mark.django_db
def test_a_refused_name_does_not_use_up_the_code():
    Agent.objects.create(name="taken")
    _, code = enrolment.mint_code(None)
    refusal(code, "taken")

    agent, _ = enrolment.redeem(code, "free")

    assert "free" == agent.name
    assert 1 == Token.objects.count()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["Ünfug", "-x", "a" * 41, "../etc", "a\n", "enrolment-codes", "A"])
def test_a_name_that_cannot_be_used_is_refused_by_its_field(name):
    _, code = enrolment.mint_code(None)

    with pytest.raises(Invalid) as invalid:
        enrolment.redeem(code, name)

    assert "name" == invalid.value.field


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_of_two_machines_with_one_code_one_joins():
    _, code = enrolment.mint_code(None)
    ended: list[str] = []
    start = threading.Barrier(2)

    def join(name: str) -> None:
        start.wait(10)
        try:
            ended.append(enrolment.redeem(code, name)[0].name)
        except Refused as refused:
            ended.append(refused.code)
        finally:
            connection.close()

    machines = [threading.Thread(target=join, args=[name]) for name in ("one", "two")]
    for machine in machines:
        machine.start()
    for machine in machines:
        machine.join(30)

    assert "code_used" in ended
    assert 1 == Agent.objects.count()


def test_there_are_sixty_names_and_every_one_can_be_used():
    for name in names.NAMES:
        NAME(name)

    assert len(names.NAMES) == len(set(names.NAMES))
    assert len(names.NAMES) >= 60


def test_names_never_collide_even_when_all_are_taken():
    taken: set[str] = set()
    for _ in range(3 * len(names.NAMES)):
        name = names.pick(taken)
        assert name not in taken
        NAME(name)
        taken.add(name)


def refusal(code: str, name: str = "") -> str:
    with pytest.raises(Refused) as refused:
        enrolment.redeem(code, name)
    return refused.value.code
