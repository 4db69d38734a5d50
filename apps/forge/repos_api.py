"""REST for repositories: list, register, change, bring up to date.

It lives a room above the repositories because it has to know who may.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.authentication import actor
from apps.agents.fields import Refusal, Strict
from apps.agents.permissions import scoped
from apps.events.paging import Pages
from apps.forge.actions import person
from apps.repos import actions
from apps.repos.models import LOWEST_PLACE, Repo
from apps.repos.trusted import without_passwords
from apps.tasks.serializers import CheckSerializer

MAY = scoped("repos:read", "repos:write")


class RepoSerializer(serializers.ModelSerializer[Repo]):
    """A repository. Without a `url` the hub's own copy is the repository."""

    url = serializers.SerializerMethodField()
    protected_paths = serializers.ListField(child=serializers.CharField())
    checks = CheckSerializer(many=True)

    class Meta:
        model = Repo
        fields = [
            "slug", "url", "default_branch", "place", "paused", "max_running", "protected_paths", "checks",
            "approve_plans", "created_at", "synced_at", "sync_error",
        ]  # fmt: skip
        read_only_fields = fields

    def get_url(self, repo: Repo) -> str:
        return without_passwords(repo.url)


class Registration(Strict):
    """A repository to take in. A URL becomes the upstream that merges are pushed to; a path is copied once."""

    url = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
    slug = serializers.CharField(max_length=64, required=False, allow_blank=True, default="")
    default_branch = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class RepoChange(Strict):
    """Only what is given changes."""

    paused = serializers.BooleanField(required=False)
    place = serializers.IntegerField(min_value=0, max_value=LOWEST_PLACE, required=False)
    max_running = serializers.IntegerField(min_value=1, max_value=actions.MOST_RUNNING, required=False, allow_null=True)
    protected_paths = serializers.ListField(
        child=serializers.CharField(max_length=500), required=False, max_length=actions.MOST_PROTECTED
    )
    checks = CheckSerializer(many=True, required=False)
    approve_plans = serializers.BooleanField(required=False)
    default_branch = serializers.CharField(max_length=200, required=False)


class RepoPages(Pages):
    """By name."""

    ordering = "slug"


class Repos(GenericAPIView[Repo]):
    permission_classes = [MAY]
    serializer_class = RepoSerializer
    pagination_class = RepoPages

    def get_queryset(self) -> QuerySet[Repo]:
        return Repo.objects.all()

    @extend_schema(description="Every repository, by name.", responses=RepoSerializer(many=True))
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(RepoSerializer(page, many=True).data)

    @extend_schema(
        description="Register a repository and make its mirror. One on the hub's own disk needs an operator's token.",
        request=Registration,
        responses={201: RepoSerializer, 403: Refusal, 409: Refusal},
    )
    def post(self, request: Request) -> Response:
        asked = Registration(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted: dict[str, Any] = asked.validated_data
        source = wanted["url"]
        if source.startswith(("/", "file:")):
            person(request.user)
        repo = actions.register(source, slug=wanted["slug"], default_branch=wanted["default_branch"], by=actor(request))
        return Response(_shown(repo), status=201)


class OneRepo(APIView):
    """A repository."""

    permission_classes = [MAY]

    @extend_schema(responses={200: RepoSerializer, 404: Refusal})
    def get(self, request: Request, slug: str) -> Response:
        return Response(_shown(_repo(slug)))

    @extend_schema(request=RepoChange, responses={200: RepoSerializer, 404: Refusal, 409: Refusal})
    def patch(self, request: Request, slug: str) -> Response:
        """Pause, order, limit, protect."""
        repo = _repo(slug)
        asked = RepoChange(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.change(repo, by=actor(request), **asked.validated_data)
        return Response(_shown(repo))


class SyncRepo(APIView):
    """Bring the mirror up to date with its upstream. 409 when there is none, or it cannot be reached."""

    permission_classes = [MAY]

    @extend_schema(request=None, responses={200: RepoSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, slug: str) -> Response:
        repo = _repo(slug)
        actions.sync(repo)
        return Response(_shown(repo))


def _repo(slug: str) -> Repo:
    return get_object_or_404(Repo, slug=slug)


def _shown(repo: Repo) -> Any:
    return RepoSerializer(_repo(repo.slug)).data
