"""Getting in: by name and password, or by a link that works once."""

from __future__ import annotations

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from apps.agents.operators import redeem_link
from apps.dashboard.access import may_operate

MAX_GUESSES = 10
GUESS_WINDOW_SECONDS = 600


class Login(LoginView):
    """The password form. Ten wrong passwords from one address for one name, and it rests for ten minutes."""

    template_name = "login.html"
    authentication_form = AdminAuthenticationForm
    redirect_authenticated_user = False

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Count what does not fit."""
        key = f"login:{request.META.get('REMOTE_ADDR', '')}:{hash(request.POST.get('username', '')[:150])}"
        cache.add(key, 0, GUESS_WINDOW_SECONDS)
        if cache.get(key, 0) >= MAX_GUESSES:
            return self._rest()
        response = super().post(request, *args, **kwargs)
        if response.status_code != 302:
            cache.incr(key)
        else:
            cache.delete(key)
        return response

    def _rest(self) -> HttpResponse:
        form = self.authentication_form(self.request)
        context = self.get_context_data(form=form, resting=True)
        response = render(self.request, self.template_name, context, status=429)
        response.headers["Retry-After"] = str(GUESS_WINDOW_SECONDS)
        return response


@sensitive_post_parameters()
@sensitive_variables("secret")
@never_cache
@csrf_protect
@require_http_methods(["GET", "HEAD", "POST"])
def login_link(request: HttpRequest, secret: str) -> HttpResponse:
    """A GET only shows a button, because previews of links would use them up; the POST logs in."""
    if request.method != "POST":
        return render(request, "login_link.html")
    user = redeem_link(secret)
    if not may_operate(user) if user is not None else True:
        return render(request, "login_link.html", {"spent": True}, status=410)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return HttpResponseRedirect(reverse("overview"))
