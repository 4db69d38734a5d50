"""REST for pull requests: list, show, difference, evidence, discussion, and what a person decides."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.authentication import actor
from apps.agents.fields import Refusal
from apps.agents.permissions import scoped
from apps.events.paging import Pages
from apps.events.refused import Refused
from apps.forge import actions, merging, verification
from apps.forge.evidence import evidence_of
from apps.forge.mergeable import objection
from apps.forge.models import Comment, PullRequest
from apps.forge.serializers import (
    CommentSerializer,
    DiffSerializer,
    EvidenceSerializer,
    MaybeSaying,
    MergeRequest,
    PullFilters,
    PullSerializer,
    Saying,
    WholePull,
)
from apps.repos import diff
from apps.repos.trusted import GitFailed

READ = scoped("pulls:read")
DISCUSS = scoped("pulls:read", "pulls:write")
WRITE = scoped("pulls:write")
REVIEW = scoped("pulls:review")
ANSWERS: Any = {200: WholePull, 403: Refusal, 404: Refusal, 409: Refusal}
MAX_DIFF = 512 * 1024


class Pulls(GenericAPIView[PullRequest]):
    permission_classes = [READ]
    serializer_class = PullSerializer

    def get_queryset(self) -> QuerySet[PullRequest]:
        rows = PullRequest.objects.select_related("repo", "attempt__agent")
        return rows.prefetch_related("verifications")

    @extend_schema(
        description="Pull requests, newest first.", parameters=[PullFilters], responses=PullSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        asked = PullFilters(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        rows = self.get_queryset()
        if "status" in asked.validated_data:
            rows = rows.filter(status=asked.validated_data["status"])
        if "repo" in asked.validated_data:
            rows = rows.filter(repo__slug=asked.validated_data["repo"])
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(PullSerializer(page, many=True).data)


class OnePull(APIView):
    """A pull request, with its risk, what was found in it, and whether it may be merged."""

    permission_classes = [READ]

    @extend_schema(responses={200: WholePull, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        return _shown(pk)


class PullDiff(APIView):
    """What it changes, computed from the pushed objects."""

    permission_classes = [READ]

    @extend_schema(responses={200: DiffSerializer, 404: Refusal, 409: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        try:
            patch = diff.patch(pull.repo.mirror, pull.base, pull.head, max_bytes=MAX_DIFF)
        except GitFailed as failed:
            raise Refused("unreadable", f"The difference cannot be read: {failed.reason}") from failed
        return Response(DiffSerializer(patch).data)


class PullEvidence(APIView):
    """What was checked, by whom, on which tree, and how to repeat it."""

    permission_classes = [READ]

    @extend_schema(responses={200: EvidenceSerializer, 404: Refusal, 409: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        return Response(EvidenceSerializer(evidence_of(_pull(pk))).data)


class CommentPages(Pages):
    """Oldest first."""

    ordering = "id"


class Comments(GenericAPIView[Comment]):
    permission_classes = [DISCUSS]
    serializer_class = CommentSerializer
    pagination_class = CommentPages

    def get_queryset(self) -> QuerySet[Comment]:
        return Comment.objects.all()

    @extend_schema(
        description="What was said, oldest first.", responses={200: CommentSerializer(many=True), 404: Refusal}
    )
    def get(self, request: Request, pk: int) -> Response:
        page = self.paginate_queryset(self.get_queryset().filter(pull=_pull(pk))) or []
        return self.get_paginated_response(CommentSerializer(page, many=True).data)

    @extend_schema(description="Say something.", request=Saying, responses={201: CommentSerializer, 404: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        asked = Saying(data=request.data)
        asked.is_valid(raise_exception=True)
        said = actions.comment(pull, request.user, asked.validated_data["body"], path=asked.validated_data["path"])
        said.refresh_from_db()
        return Response(CommentSerializer(said).data, status=201)


class Approve(APIView):
    """Be content with the head as it is."""

    permission_classes = [REVIEW]

    @extend_schema(request=MaybeSaying, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        asked = MaybeSaying(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.approve(pull, request.user, asked.validated_data["body"])
        return _shown(pk)


class RequestChanges(APIView):
    """Send it back: a follow-up task works on the same branch, with what was said in its brief."""

    permission_classes = [REVIEW]

    @extend_schema(request=Saying, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        asked = Saying(data=request.data)
        asked.is_valid(raise_exception=True)
        wanted = asked.validated_data
        actions.request_changes(pull, request.user, wanted["body"], path=wanted["path"])
        return _shown(pk)


class Merge(APIView):
    """Merge it. 409 with the reason when the evidence does not speak of exactly what would be made."""

    permission_classes = [REVIEW]

    @extend_schema(request=MergeRequest, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        asked = MergeRequest(data=request.data)
        asked.is_valid(raise_exception=True)
        merging.merge(pull, request.user, method=asked.validated_data["method"])
        return _shown(pk)


class Close(APIView):
    """End it without merging; the branch stays."""

    permission_classes = [REVIEW]

    @extend_schema(request=MaybeSaying, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        pull = _pull(pk)
        asked = MaybeSaying(data=request.data)
        asked.is_valid(raise_exception=True)
        actions.close(pull, request.user, asked.validated_data["body"])
        return _shown(pk)


class Verify(APIView):
    """Have the checks repeated, unless they passed or are being repeated on exactly this head and base already."""

    permission_classes = [WRITE]

    @extend_schema(request=None, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        verification.verify(_pull(pk), by=actor(request))
        return _shown(pk)


def _pull(pk: int) -> PullRequest:
    rows = PullRequest.objects.select_related("repo", "task", "attempt__agent", "ended_by")
    return get_object_or_404(rows, pk=pk)


def _shown(pk: int) -> Response:
    pull: Any = _pull(pk)
    why = objection(merging.standing(pull))
    pull.mergeable = why is None
    pull.obstacle = why.sentence if why else ""
    return Response(WholePull(pull).data)
