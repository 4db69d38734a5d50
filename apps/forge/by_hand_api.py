"""REST that an agent's machine has for what its person does by hand: a place to push to, and the pull request of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Q
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.fields import Refusal, Strict
from apps.agents.models import Agent
from apps.agents.permissions import OnlyAgents
from apps.forge import by_hand
from apps.forge.models import PullRequest
from apps.forge.serializers import PullSerializer
from apps.repos.models import Repo
from apps.tasks.by_hand import HAND
from apps.tasks.models import Attempt


class WantedPlace(Strict):
    """`branch` is `agentcom/<agent>/by-hand-<name>`."""

    repo = serializers.CharField(max_length=64, help_text="A repository's slug.")
    branch = serializers.CharField(max_length=200)
    title = serializers.CharField(max_length=200)


class PlaceSerializer(serializers.Serializer[Any]):
    """Push `branch` to `path` on the hub, and ask again within the lease while that takes longer."""

    task = serializers.IntegerField()
    attempt = serializers.IntegerField()
    branch = serializers.CharField()
    path = serializers.CharField()
    lease_seconds = serializers.FloatField()


class WhatWasPushed(Strict):
    commit = serializers.RegexField(r"\A[0-9a-f]{40}([0-9a-f]{24})?\Z", help_text="The full hash.")


class Places(APIView):
    """Ask for a place to push work done by hand; asking again keeps it."""

    permission_classes = [OnlyAgents]

    @extend_schema(request=WantedPlace, responses={200: PlaceSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request) -> Response:
        asked = WantedPlace(data=request.data)
        asked.is_valid(raise_exception=True)
        agent = _agent(request)
        repo = get_object_or_404(_repos_for(agent), slug=asked.validated_data["repo"])
        attempt = by_hand.take_place(agent, repo, asked.validated_data["branch"], asked.validated_data["title"])
        found = {
            "task": attempt.task_id,
            "attempt": attempt.pk,
            "branch": attempt.branch,
            "path": f"/git/{repo.slug}.git",
            "lease_seconds": settings.LEASES["working"].total_seconds(),
        }
        return Response(PlaceSerializer(found).data)


class Pushed(APIView):
    """Say that the place (by its attempt) holds this commit now; the answer is its pull request."""

    permission_classes = [OnlyAgents]

    @extend_schema(request=WhatWasPushed, responses={200: PullSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        mine = Attempt.objects.filter(agent=_agent(request), task__executor=HAND, repo__isnull=False)
        attempt = get_object_or_404(mine.select_related("task__repo", "repo", "agent"), pk=pk)
        asked = WhatWasPushed(data=request.data)
        asked.is_valid(raise_exception=True)
        pull = by_hand.pushed(attempt, asked.validated_data["commit"])
        rows = PullRequest.objects.select_related("repo", "attempt__agent").prefetch_related("verifications")
        return Response(PullSerializer(rows.get(pk=pull.pk)).data)


def _agent(request: Request) -> Agent:
    agent: Agent = request.user.agent  # type: ignore[union-attr]  # OnlyAgents
    return agent


def _repos_for(agent: Agent) -> Any:
    """Where the agent may work; the same as its git may fetch."""
    return Repo.objects.filter(Q(pk__in=agent.repos.values("pk")) if agent.restricted else Q())
