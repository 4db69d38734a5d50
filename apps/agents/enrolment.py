"""How a machine becomes an agent: an operator mints a code, the machine redeems it, once."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.agents import names, onetime, tokens
from apps.agents.models import NAME, Agent, EnrolmentCode, Role
from apps.events.kinds import Kind
from apps.events.log import record
from apps.events.refused import Invalid, Refused

RESERVED = frozenset({"enrolment-codes", "goal"})
"""Words that stand in place of a name in the API's paths, or in those of branches."""
TRIES = 5


def mint_code(by: AbstractBaseUser | None, name: str = "") -> tuple[EnrolmentCode, str]:
    """A code for one machine, valid for `ENROLMENT_CODE_LIFETIME`, which is never seen again.

    With `name`, the agent will be called that. Raises Invalid for a name that cannot be used, Refused for a taken one.
    """
    if name:
        check_free(name)
    code = onetime.draw_code()
    expires_at: datetime = timezone.now() + settings.ENROLMENT_CODE_LIFETIME
    made = EnrolmentCode.objects.create(
        digest=onetime.digest(code), minted_by_id=by.pk if by else None, name=name, expires_at=expires_at
    )
    return made, code


def redeem(code: str, name: str = "") -> tuple[Agent, str]:
    """The new agent, and the secret of its token. A refusal leaves a good code unused.

    Raises Invalid for an impossible name, and Refused: code_unknown, code_used, code_expired, name_taken, or
    name_mismatch when the operator chose another name.
    """
    if name:
        check_name(name)
    code = onetime.normal(code)
    with transaction.atomic():
        used = onetime.use(EnrolmentCode, code)
        if used is None:
            raise _why_not(code)
        if used.name and name and used.name != name:
            raise Refused("name_mismatch", f"This code is for an agent called {used.name}.")
        agent = _create(used.name or name)
        EnrolmentCode.objects.filter(pk=used.pk).update(agent=agent)
        record(Kind.AGENT_ENROLLED, agent, tell=["dashboard"], actor=agent.name, code=used.pk)
        _, secret = tokens.mint(Role.AGENT, agent=agent, label="enrolment", by=agent.name)
    return agent, secret


def check_name(name: str) -> None:
    """Raises Invalid when an agent cannot be called that."""
    try:
        NAME(name)
    except ValidationError as error:
        raise Invalid("name", error.messages[0]) from error
    if name in RESERVED:
        raise Invalid("name", "This name is reserved.")


def check_free(name: str) -> None:
    """As `check_name`, and raises Refused when an agent is called that already."""
    check_name(name)
    if Agent.objects.filter(name=name).exists():
        raise _taken(name)


def _create(name: str) -> Agent:
    for _ in range(1 if name else TRIES):
        chosen = name or names.pick(set(Agent.objects.values_list("name", flat=True)))
        try:
            with transaction.atomic():
                return Agent.objects.create(name=chosen)
        except IntegrityError:
            continue  # another machine took the name in this moment
    raise _taken(name)


def _taken(name: str) -> Refused:
    return Refused("name_taken", f"There is an agent called {name or 'that'} already; choose another name.")


def _why_not(code: str) -> Refused:
    known = EnrolmentCode.objects.filter(digest=onetime.digest(code)).first()
    if known is None:
        return Refused("code_unknown", "There is no such enrolment code.")
    if known.used_at is not None:
        return Refused("code_used", "This enrolment code has been used; ask the operator for another one.")
    return Refused("code_expired", "This enrolment code has expired; ask the operator for another one.")
