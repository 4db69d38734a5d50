"""REST for goals: hand in, list, show, change, decide, and the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.authentication import actor
from apps.agents.fields import Refusal
from apps.agents.permissions import scoped
from apps.events.log import subject_of
from apps.events.models import Event
from apps.events.parsing import StrictJSONParser
from apps.goals import actions, documents, reading
from apps.goals.models import Goal, Source
from apps.goals.serializers import (
    GoalChange,
    GoalFilters,
    GoalSerializer,
    GoalSubmission,
    PlanSerializer,
    WholeGoal,
    wanted,
)
from apps.goals.xml import MEDIA_TYPE, DocumentRenderer, GoalParser
from apps.tasks.api import KEY, Reason, idempotency_key
from apps.tasks.serializers import EventSerializer

READ = scoped("goals:read")
WRITE = scoped("goals:write")
ANSWERS: Any = {200: WholeGoal, 404: Refusal, 409: Refusal}
DOCUMENTS: Any = {(200, MEDIA_TYPE): OpenApiTypes.STR, (404, "application/json"): Refusal}
IN_WORDS = OpenApiExample(
    "A goal in words",
    request_only=True,
    value={
        "title": "Read week dates like 2026-W07-3",
        "repo": "parcel",
        "success_criteria": ["parse_date reads ISO week dates", "The README names every format that is read"],
        "verification_steps": [{"type": "tests_pass", "target": "auto"}],
        "priority": "high",
    },
)
DOCUMENT = OpenApiExample(
    "A goal as a document",
    request_only=True,
    media_type=MEDIA_TYPE,
    value='<goal repo="parcel" priority="high"><title>Read week dates like 2026-W07-3</title></goal>',
)


class Goals(GenericAPIView[Goal]):
    permission_classes = [scoped("goals:read", "goals:write")]
    parser_classes = [StrictJSONParser, GoalParser]
    serializer_class = GoalSerializer
    queryset = Goal.objects.select_related("repo")

    @extend_schema(description="Goals, newest first.", parameters=[GoalFilters], responses=GoalSerializer(many=True))
    def get(self, request: Request) -> Response:
        asked = GoalFilters.read(request.query_params.dict())
        page = self.paginate_queryset(narrowed(self.get_queryset(), asked)) or []
        return self.get_paginated_response(GoalSerializer(page, many=True).data)

    @extend_schema(
        description="Hand in a goal, as JSON or as a document. 200 instead of 201 when the idempotency key is known.",
        parameters=[KEY],
        request={"application/json": GoalSubmission, MEDIA_TYPE: OpenApiTypes.STR},
        responses={201: GoalSerializer, 200: GoalSerializer},
        examples=[IN_WORDS, DOCUMENT],
    )
    def post(self, request: Request) -> Response:
        asked = GoalSubmission.read(request.data)
        source = Source.XML if (request.content_type or "").startswith(MEDIA_TYPE) else Source(asked["source"])
        made = wanted(asked, key=idempotency_key(request), source=source)
        goal, new = actions.submit(made, by=actor(request))
        return Response(GoalSerializer(goal).data, status=201 if new else 200)


def narrowed(goals: QuerySet[Goal], asked: dict[str, Any]) -> QuerySet[Goal]:
    """`goals` as the filters say."""
    fields = {"status": "status", "repo": "repo__slug", "source": "source", "q": "title__icontains"}
    return goals.filter(**{field: asked[name] for name, field in fields.items() if name in asked})


def found(pk: int) -> Goal:
    """Raises Http404."""
    return get_object_or_404(Goal.objects.select_related("repo"), pk=pk)


def whole(pk: int) -> dict[str, Any]:
    """Everything that is known of a goal but its plan, in a fixed number of queries. Raises Http404."""
    goal: Any = found(pk)
    goal.waits = reading.holds([goal]).get(pk, "")
    goal.before = list(Goal.objects.filter(dependants__goal=goal).order_by("pk"))
    goal.cost = reading.cost_of(goal)
    return dict(WholeGoal(goal).data)


class OneGoal(APIView):
    """A goal: what was asked, how it stands, how it was judged, what it cost."""

    permission_classes = [scoped("goals:read", "goals:write")]

    @extend_schema(responses={200: WholeGoal, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        return Response(whole(pk))

    @extend_schema(
        description="Priority and tags until it has ended, the rest until it has begun.",
        request=GoalChange,
        responses=ANSWERS,
    )
    def patch(self, request: Request, pk: int) -> Response:
        asked = GoalChange.read(request.data)
        actions.edit(found(pk), by=actor(request), **GoalChange.changes(asked))
        return Response(whole(pk))


class _Decision(APIView):
    """One action on one goal, and the goal as it is then."""

    permission_classes = [WRITE]
    act: Callable[..., object]

    @extend_schema(request=None, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        type(self).act(found(pk), by=actor(request))
        return Response(whole(pk))


class ApproveGoal(_Decision):
    """Let its plan be carried out. 409 when none waits for that."""

    act = actions.approve


class GoOn(_Decision):
    """Let the hub try again with a goal that waits for a person. 409 when it does not."""

    act = actions.go_on


class CancelGoal(APIView):
    """Stop it and its tasks, or turn its plan down; the record stays. 409 when it has ended."""

    permission_classes = [WRITE]

    @extend_schema(request=Reason, responses=ANSWERS)
    def post(self, request: Request, pk: int) -> Response:
        asked = Reason.read(request.data)
        actions.cancel(found(pk), by=actor(request), reason=asked["reason"])
        return Response(whole(pk))


class ResubmitGoal(APIView):
    """A new goal like one that has ended. 409 while it goes on."""

    permission_classes = [WRITE]

    @extend_schema(request=None, responses={201: WholeGoal, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        return Response(whole(actions.resubmit(found(pk), by=actor(request)).pk), status=201)


class GoalPlan(APIView):
    """Its slices one by one with how each stands, what they will probably cost, and what was merged."""

    permission_classes = [READ]

    @extend_schema(responses={200: PlanSerializer, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        goal = found(pk)
        plan = reading.plan_of(goal)
        shown = {
            "goal": goal.pk,
            "made_at": plan.made_at if plan else None,
            "model": plan.model if plan else "",
            "estimate": (plan.estimate or None) if plan else None,
            "slices": reading.steps_of(goal),
            "merges": goal.merges.select_related("slice"),
            "pull": goal.pull_id,
        }
        return Response(PlanSerializer(shown).data)


class GoalHistory(GenericAPIView[Event]):
    """What happened to it, newest first."""

    permission_classes = [READ]
    serializer_class = EventSerializer
    queryset = Event.objects.all()

    @extend_schema(responses={200: EventSerializer(many=True), 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        page = self.paginate_queryset(self.get_queryset().filter(subject=subject_of(found(pk)))) or []
        return self.get_paginated_response(EventSerializer(page, many=True).data)


class GoalDocument(APIView):
    """The goal as an XML document; `/api/schemas/goal.xsd` says how it is built."""

    permission_classes = [READ]
    renderer_classes = [DocumentRenderer]

    @extend_schema(responses=DOCUMENTS)
    def get(self, request: Request, pk: int) -> Response:
        return Response(documents.of_goal(found(pk)))


class PlanDocument(APIView):
    """The plan as an XML document; `/api/schemas/plan.xsd` says how it is built."""

    permission_classes = [READ]
    renderer_classes = [DocumentRenderer]

    @extend_schema(responses=DOCUMENTS)
    def get(self, request: Request, pk: int) -> Response:
        return Response(documents.of_plan(found(pk)))
