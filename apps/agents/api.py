"""REST for agents: who there is and what they do, pause and resume, and how a machine joins."""

from __future__ import annotations

from typing import Any

from django.db.models import F, FilteredRelation, Q
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents import enrolment, presence, restarts
from apps.agents.authentication import actor, operator
from apps.agents.fields import Refusal, Strict
from apps.agents.lifecycle import AgentState, state_of
from apps.agents.models import Agent, AgentQuerySet
from apps.agents.permissions import Anybody, scoped
from apps.agents.throttling import GuessRate, TokenRate
from apps.endpoints.models import Host
from apps.events.paging import Pages
from apps.events.refused import Refused

NAME = OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH)


class HostSerializer(serializers.ModelSerializer[Host]):
    """A machine; `load` is in percent and bytes, as its agents measured it at `measured_at`."""

    load = serializers.DictField()

    class Meta:
        model = Host
        fields = ["id", "hostname", "system", "cpus", "memory_bytes", "load", "measured_at"]
        read_only_fields = fields


class RestartWish(serializers.Serializer[Agent]):
    """The restart that an operator has asked for and that has not happened yet."""

    asked_at = serializers.DateTimeField(source="restart_asked_at")
    asked_by = serializers.CharField(source="restart_asked_by")
    now = serializers.BooleanField(source="restart_now", help_text="It hands back what it has, after its grace.")


class AgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent, with the state that follows from its connection and the task it holds."""

    state = serializers.SerializerMethodField()
    online = serializers.BooleanField()
    task = serializers.IntegerField(source="held_task", allow_null=True)
    repos = serializers.SlugRelatedField[Any](slug_field="slug", many=True, read_only=True)
    executors = serializers.ListField(child=serializers.CharField())
    capabilities = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(source="offers", child=serializers.DictField(), help_text="What it can think with.")
    host = HostSerializer(allow_null=True)
    paused = serializers.BooleanField(help_text="It is drained: no new work; what is running goes on.")
    restart = serializers.SerializerMethodField()

    class Meta:
        model = Agent
        fields = [
            "name",
            "state",
            "online",
            "task",
            "paused",
            "restart",
            "executors",
            "capabilities",
            "models",
            "restricted",
            "repos",
            "sandbox",
            "sandbox_detail",
            "software",
            "process",
            "host",
            "connected_at",
            "seen_at",
            "last_assigned_at",
            "created_at",
            "retired_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": [state.value for state in AgentState]})
    def get_state(self, agent: Any) -> str:
        return state_of(online=agent.online, task_status=agent.held_status).value

    @extend_schema_field(RestartWish(allow_null=True))
    def get_restart(self, agent: Agent) -> Any:
        return None if agent.restart_asked_at is None else RestartWish(agent).data


def with_work() -> AgentQuerySet:
    """Agents with `held_task` and `held_status`: what each has in hand, None when nothing."""
    held = FilteredRelation("attempts", condition=Q(attempts__ended_at__isnull=True))
    return (
        Agent.objects.annotate(held=held)
        .annotate(held_task=F("held__task"), held_status=F("held__task__status"))
        .select_related("host")
        .prefetch_related("repos")
    )


class AgentPages(Pages):
    """By name."""

    ordering = "name"

    def is_position(self, position: str) -> bool:
        """Whether an agent could be called that."""
        return position.isascii() and position.isprintable()


class Agents(ListAPIView[Agent]):
    """Every agent, by name."""

    permission_classes = [scoped("agents:read")]
    serializer_class = AgentSerializer
    pagination_class = AgentPages

    def get_queryset(self) -> AgentQuerySet:
        return with_work()


class OneAgent(APIView):
    """An agent."""

    permission_classes = [scoped("agents:read")]

    @extend_schema(parameters=[NAME], responses={200: AgentSerializer, 404: Refusal})
    def get(self, request: Request, name: str) -> Response:
        return Response(AgentSerializer(get_object_or_404(with_work(), name=name)).data)


class PauseAgent(APIView):
    """Drain it: no new work; what is running goes on. Its sidecar is told, and stays connected."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(parameters=[NAME], request=None, responses={200: AgentSerializer, 404: Refusal})
    def post(self, request: Request, name: str) -> Response:
        presence.pause(get_object_or_404(Agent, name=name), by=actor(request))
        return Response(AgentSerializer(with_work().get(name=name)).data)


class ResumeAgent(APIView):
    """Let it work again."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(parameters=[NAME], request=None, responses={200: AgentSerializer, 404: Refusal})
    def post(self, request: Request, name: str) -> Response:
        presence.resume(get_object_or_404(Agent, name=name), by=actor(request))
        return Response(AgentSerializer(with_work().get(name=name)).data)


class RestartRequest(Strict):
    now = serializers.BooleanField(
        required=False, default=False, help_text="Do not wait for its work: it hands it back after its grace."
    )


class RestartAgent(APIView):
    """Have its sidecar restarted: no new work, and a new process once nothing is in hand. DELETE takes that back.

    The wish stays until a new process has come, also while the agent is away.
    """

    permission_classes = [scoped("agents:write")]

    @extend_schema(
        parameters=[NAME], request=RestartRequest, responses={200: AgentSerializer, 404: Refusal, 409: Refusal}
    )
    def post(self, request: Request, name: str) -> Response:
        agent = get_object_or_404(Agent, name=name)
        restarts.ask(agent, now=RestartRequest.read(request.data)["now"], by=actor(request))
        return Response(AgentSerializer(with_work().get(name=name)).data)

    @extend_schema(parameters=[NAME], request=None, responses={200: AgentSerializer, 404: Refusal})
    def delete(self, request: Request, name: str) -> Response:
        restarts.withdraw(get_object_or_404(Agent, name=name), by=actor(request))
        return Response(AgentSerializer(with_work().get(name=name)).data)


class RetireAgent(APIView):
    """Out of service for good: its tokens end, its name and history stay. 409 unless it is paused and idle."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(parameters=[NAME], request=None, responses={200: AgentSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, name: str) -> Response:
        presence.retire(get_object_or_404(Agent, name=name), by=actor(request))
        return Response(AgentSerializer(with_work().get(name=name)).data)


class CodeRequest(Strict):
    name = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="What the agent will be called."
    )


class CodeAnswer(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="Shown this once.")
    name = serializers.CharField()
    expires_at = serializers.DateTimeField()


class EnrolmentCodes(APIView):
    """Mint a code with which one machine becomes an agent."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(request=CodeRequest, responses={201: CodeAnswer, 409: Refusal})
    def post(self, request: Request) -> Response:
        asked = CodeRequest.read(request.data)
        made, code = enrolment.mint_code(operator(request), asked["name"])
        answer = CodeAnswer({"code": code, "name": made.name, "expires_at": made.expires_at})
        return Response(answer.data, status=201, headers={"Cache-Control": "no-store"})


class EnrolRequest(Strict):
    code = serializers.CharField(max_length=64, help_text="From the operator; works once.")
    name = serializers.CharField(
        max_length=40, required=False, allow_blank=True, default="", help_text="One is chosen when it is empty."
    )


class EnrolAnswer(serializers.Serializer[Any]):
    agent = serializers.CharField()
    token = serializers.CharField(help_text="Shown this once.")
    socket = serializers.CharField(help_text="Where the agent's WebSocket is, on this host.")


class Enrol(APIView):
    """Become an agent. Needs no token; wrong codes are counted."""

    authentication_classes = []
    permission_classes = [Anybody]
    throttle_classes = [TokenRate, GuessRate]

    @extend_schema(request=EnrolRequest, responses={201: EnrolAnswer, 409: Refusal, 429: Refusal}, auth=[])
    def post(self, request: Request) -> Response:
        asked = EnrolRequest.read(request.data)
        try:
            agent, secret = enrolment.redeem(asked["code"], asked["name"])
        except Refused as refused:
            if refused.code.startswith("code_"):
                GuessRate().count(request)
            raise
        answer = {"agent": agent.name, "token": secret, "socket": "/agent"}
        return Response(EnrolAnswer(answer).data, status=201, headers={"Cache-Control": "no-store"})
