"""REST for endpoints and machines: where models answer, which they are, and how busy the machines are.

It lives a room above the endpoints because it has to know who may.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.api import HostSerializer
from apps.agents.authentication import actor
from apps.agents.fields import Refusal, Strict
from apps.agents.permissions import scoped
from apps.endpoints import actions, restarting
from apps.endpoints.models import Endpoint, Host, Model, Restart
from apps.events.paging import Pages
from apps.events.refused import Invalid

READ, WRITE = scoped("endpoints:read"), scoped("endpoints:read", "endpoints:write")


class ModelSerializer(serializers.ModelSerializer[Model]):
    """A model; `trial` is how it did when it was tried, request by request."""

    capabilities = serializers.ListField(child=serializers.CharField())
    trial = serializers.DictField()

    class Meta:
        model = Model
        fields = [
            "name", "wanted", "installed", "warm", "context", "dialect", "tokens_per_second", "digest", "capabilities",
            "trial", "seen_at",
        ]  # fmt: skip
        read_only_fields = fields


class RestartSerializer(serializers.ModelSerializer[Restart]):
    """A wish for a restart; `outcome` is open, done, failed or lapsed, `message` the end of what was printed."""

    class Meta:
        model = Restart
        fields = ["id", "asked_at", "asked_by", "agent", "outcome", "message", "seconds", "ended_at"]
        read_only_fields = fields


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    """An endpoint; `origin` says whether an operator added it or an agent offers it out of its own settings.

    `restarted_by` are the agents that have a command to restart it, `restart` is the last wish that one of them does.
    """

    models = ModelSerializer(many=True)
    restarted_by = serializers.SerializerMethodField()
    restart = serializers.SerializerMethodField()
    host = serializers.IntegerField(source="host_id", allow_null=True)

    class Meta:
        model = Endpoint
        fields = [
            "id", "origin", "kind", "name", "url", "grade", "host", "draining", "health", "trouble", "version",
            "added_at", "checked_at", "last_used_at", "restarted_by", "restart",
            "models",
        ]  # fmt: skip
        read_only_fields = fields

    @classmethod
    def shown(cls, endpoints: Sequence[Endpoint]) -> list[dict[str, Any]]:
        """All of these, with what is known of their restarts read once."""
        context = {"able": restarting.able(endpoints), "latest": restarting.latest(endpoints)}
        return list(cls(endpoints, many=True, context=context).data)

    def get_restarted_by(self, endpoint: Endpoint) -> list[str]:
        return [agent for agent, _ in self.context["able"][endpoint.pk]]

    @extend_schema_field(RestartSerializer(allow_null=True))
    def get_restart(self, endpoint: Endpoint) -> Any:
        found = self.context["latest"].get(endpoint.pk)
        return RestartSerializer(found).data if found else None


class EndpointRequest(Strict):
    """An Ollama to take in."""

    url = serializers.CharField(max_length=500)
    name = serializers.CharField(max_length=100, required=False, allow_blank=True, default="")
    grade = serializers.CharField(max_length=64, required=False, default="local")
    host = serializers.IntegerField(required=False, allow_null=True, default=None, help_text="Its machine's id.")


class EndpointChange(Strict):
    """Only what is given changes; `wanted` names the models, of those it has, that agents may work with."""

    url = serializers.CharField(max_length=500, required=False)
    name = serializers.CharField(max_length=100, required=False, allow_blank=True)
    grade = serializers.CharField(max_length=64, required=False)
    host = serializers.IntegerField(required=False, allow_null=True)
    wanted = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=200)


class Hosts(ListAPIView[Host]):
    """Every machine that agents run on, and how busy it was when it was last measured."""

    permission_classes = [READ]
    serializer_class = HostSerializer
    queryset = Host.objects.all()


class EndpointPages(Pages):
    """The newest first."""


class Endpoints(GenericAPIView[Endpoint]):
    permission_classes = [WRITE]
    serializer_class = EndpointSerializer
    pagination_class = EndpointPages

    def get_queryset(self) -> QuerySet[Endpoint]:
        return Endpoint.objects.prefetch_related("models")

    @extend_schema(
        description="Every endpoint, newest first, with its models.", responses=EndpointSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(EndpointSerializer.shown(page))

    @extend_schema(
        description="Add an endpoint of models, for every agent that can reach it. The hub looks at it soon.",
        request=EndpointRequest,
        responses={201: EndpointSerializer, 409: Refusal},
    )
    def post(self, request: Request) -> Response:
        wanted = EndpointRequest.read(request.data)
        endpoint = actions.add(
            wanted["url"], by=actor(request), name=wanted["name"], grade=wanted["grade"], host=_host(wanted["host"])
        )
        return Response(_shown(endpoint), status=201)


class OneEndpoint(APIView):
    """An endpoint."""

    permission_classes = [WRITE]

    @extend_schema(responses={200: EndpointSerializer, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        return Response(_shown(_endpoint(pk)))

    @extend_schema(request=EndpointChange, responses={200: EndpointSerializer, 404: Refusal, 409: Refusal})
    def patch(self, request: Request, pk: int) -> Response:
        """Name, address, grade, machine, and which of its models agents may work with."""
        endpoint = _endpoint(pk)
        changes = EndpointChange.read(request.data)
        wanted = changes.pop("wanted", None)
        if "host" in changes:
            changes["host"] = _host(changes["host"])
        with transaction.atomic():
            actions.change(endpoint, by=actor(request), **changes)
            if wanted is not None:
                _want(endpoint, set(wanted), by=actor(request))
        return Response(_shown(endpoint))

    @extend_schema(responses={204: None, 404: Refusal, 409: Refusal})
    def delete(self, request: Request, pk: int) -> Response:
        """Out of the registry; what runs there goes on. 409 for one that an agent offers: drain it."""
        actions.remove(_endpoint(pk), by=actor(request))
        return Response(status=204)


class _Verb(APIView):
    permission_classes = [scoped("endpoints:write")]

    def act(self, verb: Callable[..., object], request: Request, pk: int) -> Response:
        endpoint = _endpoint(pk)
        verb(endpoint, by=actor(request))
        return Response(_shown(endpoint))


class DrainEndpoint(_Verb):
    """No new work for it; what is running goes on."""

    @extend_schema(request=None, responses={200: EndpointSerializer, 404: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        return self.act(actions.drain, request, pk)


class ResumeEndpoint(_Verb):
    """Work for it again."""

    @extend_schema(request=None, responses={200: EndpointSerializer, 404: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        return self.act(actions.resume, request, pk)


class LookAtEndpoint(_Verb):
    """Have the hub look at it now rather than within a minute. 409 for one that an agent offers."""

    @extend_schema(request=None, responses={200: EndpointSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        return self.act(actions.look_soon, request, pk)


class RestartEndpoint(_Verb):
    """Have an agent restart it that has a command for it; its last `restart` tells. 409 when no agent has one."""

    @extend_schema(request=None, responses={200: EndpointSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        return self.act(actions.ask_restart, request, pk)


def _endpoint(pk: int) -> Endpoint:
    return get_object_or_404(Endpoint, pk=pk)


def _shown(endpoint: Endpoint) -> Any:
    return EndpointSerializer.shown([Endpoint.objects.prefetch_related("models").get(pk=endpoint.pk)])[0]


def _host(pk: int | None) -> Host | None:
    if pk is None:
        return None
    found = Host.objects.filter(pk=pk).first() if 0 < pk < 2**63 else None
    if found is None:
        raise Invalid("host", "There is no such machine.")
    return found


def _want(endpoint: Endpoint, names: set[str], *, by: str) -> None:
    rows = list(Model.objects.filter(endpoint=endpoint).select_related("endpoint"))
    if unknown := names - {row.name for row in rows}:
        raise Invalid("wanted", f"It has no model {min(unknown)}.")
    for row in rows:
        actions.want(row, row.name in names, by=by)
