"""REST for what the hub does by itself: how it is, how it was, pause, resume."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.authentication import actor
from apps.agents.fields import Strict
from apps.agents.permissions import scoped
from apps.brain import actions, documents, read
from apps.brain.lifecycle import BRAIN
from apps.brain.models import Stay
from apps.events.paging import Pages
from apps.goals.xml import MEDIA_TYPE, DocumentRenderer

MAY = scoped("brain:read", "brain:write")


class StaySerializer(serializers.ModelSerializer[Stay]):
    """One time in a state; `seconds` and `left_at` are null while it lasts."""

    state = serializers.ChoiceField(source="status", choices=BRAIN.choices)
    seconds = serializers.FloatField(allow_null=True)

    class Meta:
        model = Stay
        fields = ["move", "state", "came_from", "reason", "alarm", "cycle", "at", "left_at", "seconds"]
        read_only_fields = fields


class PurseSerializer(serializers.Serializer[Any]):
    """One limit of one state, or of all: so much of it is spent or set aside."""

    state = serializers.ChoiceField(
        choices=BRAIN.choices, allow_blank=True, help_text="Empty for what all states share with everything else."
    )
    period = serializers.ChoiceField(choices=["hour", "day", "month", "in all"])
    measure = serializers.ChoiceField(choices=["calls", "tokens", "micro"])
    used = serializers.IntegerField()
    limit = serializers.IntegerField()
    percent = serializers.IntegerField()
    enforced = serializers.BooleanField()


class BrainPauseSerializer(serializers.Serializer[Any]):
    """Who keeps the hub from beginning anything, since when and why."""

    by = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField()


class BrainSerializer(serializers.Serializer[Any]):
    """What the hub does and why, where it would go next, and what keeps it from going there now."""

    state = serializers.ChoiceField(choices=BRAIN.choices)
    why = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField()
    seconds = serializers.FloatField()
    doing = serializers.CharField()
    next = serializers.ChoiceField(choices=BRAIN.choices, allow_null=True)
    holds = serializers.ListField(child=serializers.CharField())
    pause = BrainPauseSerializer(allow_null=True)
    pending = serializers.IntegerField(help_text="Goals that could begin.")
    active = serializers.IntegerField(help_text="Goals under way.")
    waiting = serializers.IntegerField(help_text="Goals that wait for people.")
    critical = serializers.IntegerField(help_text="Critical problems in the health report.")
    next_look_at = serializers.DateTimeField(allow_null=True)
    heal_after = serializers.DateTimeField(allow_null=True)
    transitions = serializers.IntegerField()
    cycles = serializers.IntegerField()
    budgets = PurseSerializer(many=True)


class PauseRequest(Strict):
    """Why, for those who wonder."""

    reason = serializers.CharField(max_length=actions.LONGEST_REASON, required=False, allow_blank=True, default="")


class OneBrain(APIView):
    """The hub itself."""

    permission_classes = [MAY]

    @extend_schema(description="What the hub does by itself now, and why.", responses=BrainSerializer)
    def get(self, request: Request) -> Response:
        return Response(_shown())


class BrainHistory(GenericAPIView[Stay]):
    """Where it was before."""

    permission_classes = [MAY]
    serializer_class = StaySerializer
    pagination_class = Pages

    def get_queryset(self) -> QuerySet[Stay]:
        return Stay.objects.all()

    @extend_schema(description="The states it was in, newest first.", responses=StaySerializer(many=True))
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(StaySerializer(page, many=True).data)


class PauseBrain(APIView):
    """Begin nothing by itself any more; what agents have in hand goes on. Twice is once."""

    permission_classes = [MAY]

    @extend_schema(request=PauseRequest, responses=BrainSerializer)
    def post(self, request: Request) -> Response:
        asked = PauseRequest.read(request.data)
        actions.pause(by=actor(request), reason=asked["reason"])
        return Response(_shown())


class ResumeBrain(APIView):
    """Go on. Twice is once."""

    permission_classes = [MAY]

    @extend_schema(request=None, responses=BrainSerializer)
    def post(self, request: Request) -> Response:
        actions.resume(by=actor(request))
        return Response(_shown())


class BrainSnapshot(APIView):
    """The state machine at this moment as an XML document; `/api/schemas/fsm-snapshot.xsd` says how it is built."""

    permission_classes = [MAY]
    renderer_classes = [DocumentRenderer]

    @extend_schema(responses={(200, MEDIA_TYPE): OpenApiTypes.STR})
    def get(self, request: Request) -> Response:
        return Response(documents.of_report(read.report()))


def _shown() -> Any:
    return BrainSerializer(read.report(stays=0)).data
