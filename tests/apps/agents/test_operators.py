"""An operator gets in by a link that works once; the commands print what a terminal needs."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from apps.agents import enrolment, operators
from apps.agents.models import Agent, LoginLink
from tests.rest import found, known, user

pytestmark = pytest.mark.django_db
HUB = "http://hub.example:8000/"


def secret_of(link: str | None) -> str:
    return found(r"^http://hub\.example:8000/login/([\w-]{43})$", link or "")


def test_the_first_operator_is_made_with_a_link_and_no_password():
    link = operators.first_login_link(HUB)

    operator = operators.redeem_link(secret_of(link))

    assert operator is not None
    assert ("operator", True, True, False) == (
        operator.username,
        operator.is_staff,
        operator.is_superuser,
        operator.has_usable_password(),
    )


def test_who_never_got_in_gets_another_link_and_who_did_does_not():
    operators.first_login_link(HUB)
    again = operators.first_login_link(HUB)
    User.objects.update(last_login=timezone.now())

    assert again is not None
    assert operators.first_login_link(HUB) is None
    assert 1 == User.objects.count()


def test_a_hub_whose_operator_has_a_password_needs_no_link():
    User.objects.create_superuser("ada", password="a long enough one")

    assert operators.first_login_link(HUB) is None


def test_a_link_works_once():
    secret = secret_of(operators.login_link(user(), HUB))

    assert user() == operators.redeem_link(secret)
    assert operators.redeem_link(secret) is None


def test_a_link_ends_with_its_time_and_with_its_operator():
    late, barred = (secret_of(operators.login_link(user(), HUB)) for _ in range(2))
    LoginLink.objects.filter(pk=LoginLink.objects.earliest("pk").pk).update(
        expires_at=timezone.now() - timedelta(seconds=1)
    )
    first = operators.redeem_link(late)
    User.objects.update(is_active=False)

    assert (None, None) == (first, operators.redeem_link(barred))


@pytest.mark.parametrize("secret", ["", "x", "\x00", "\ud800", "é" * 500])
def test_what_is_no_link_logs_nobody_in(secret):
    assert operators.redeem_link(secret) is None


def test_only_the_digest_of_a_link_is_stored():
    secret = secret_of(operators.login_link(user(), HUB))

    assert secret not in repr(LoginLink.objects.values().get())


def printed(*command: str) -> str:
    out = StringIO()
    call_command(*command, stdout=out)
    return out.getvalue().strip()


def test_the_commands_print_a_link_a_code_and_a_token():
    user()
    link = printed("login_link", "--user", "ada", "--url", HUB)
    code = printed("enrol_code", "--name", "carry-the-one")
    token = printed("token", "--user", "ada", "--scope", "tasks:read", "--label", "ci", "--days", "2")

    assert user() == operators.redeem_link(secret_of(link))
    assert "carry-the-one" == enrolment.redeem(code)[0].name
    made = known(token)
    assert ("integration", ["tasks:read"], "ci") == (made.role, made.scopes, made.label)
    assert made.expires_at is not None
    assert made.expires_at < timezone.now() + timedelta(days=2)


def test_a_token_may_have_every_scope():
    user()

    assert "pulls:review" in known(printed("token", "--user", "ada", "--scope", "all")).scopes


@pytest.mark.parametrize(
    "command",
    [
        ["login_link", "--user", "nobody"],
        ["login_link", "--user", "guest"],
        ["enrol_code", "--name", "Not A Name"],
        ["enrol_code", "--name", "taken"],
        ["token", "--user", "nobody"],
        ["token", "--user", "guest", "--scope", "pulls:review"],
        ["token", "--user", "guest", "--days", "0"],
        ["token", "--user", "guest", "--role", "reader", "--scope", "tasks:read"],
    ],
)
def test_a_command_that_cannot_do_it_says_why_in_a_sentence(command):
    User.objects.create_user("guest")
    Agent.objects.create(name="taken")

    with pytest.raises(CommandError) as error:
        printed(*command)

    assert str(error.value).endswith(".")
