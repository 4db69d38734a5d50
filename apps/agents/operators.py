"""How an operator gets in without a password: by a link that works once."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from apps.agents import onetime
from apps.agents.models import LoginLink

FIRST_OPERATOR = "operator"


def first_login_link(base_url: str) -> str | None:
    """A link for the first operator, who is made if need be; None once any operator has a way in.

    An operator who never logged in and has no password would be locked out for good, so that one gets a new link.
    """
    operators = User.objects.filter(is_superuser=True)
    if any(user.last_login or user.has_usable_password() for user in operators):
        return None
    return login_link(operators.order_by("pk").first() or _first_operator(), base_url)


def _first_operator() -> User:
    user = User.objects.filter(username=FIRST_OPERATOR).first() or User(username=FIRST_OPERATOR)
    user.is_staff = user.is_superuser = user.is_active = True
    user.set_unusable_password()
    user.save()
    return user


def login_link(user: User, base_url: str) -> str:
    """A link that logs `user` in once, within `LOGIN_LINK_LIFETIME`; `base_url` is where people reach the hub."""
    secret = onetime.draw_link()
    LoginLink.objects.create(
        digest=onetime.digest(secret), user=user, expires_at=timezone.now() + settings.LOGIN_LINK_LIFETIME
    )
    return base_url.rstrip("/") + reverse("login_link", args=[secret])


@transaction.atomic
def redeem_link(secret: str) -> User | None:
    """The operator whom the link logs in, now that it is used up; None when it is unknown, used, expired, or barred."""
    link = onetime.use(LoginLink, secret)
    if link is None:
        return None
    user: User = get_user_model().objects.get(pk=link.user_id)
    return user if user.is_active else None
