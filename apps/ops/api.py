"""REST for whoever looks after the hub: alerts, the health report, what healing did."""

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
from apps.ops import alerts, health
from apps.ops.assessment import Category
from apps.ops.models import Alert, Remedy, Severity

READ, WRITE = scoped("ops:read"), scoped("ops:write")


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """Something that a person should know of; `cleared_at` is empty while it lasts."""

    facts = serializers.DictField()

    class Meta:
        model = Alert
        fields = [
            "id", "key", "severity", "message", "facts", "times", "raised_at", "last_seen_at", "acknowledged_at",
            "acknowledged_by", "cleared_at",
        ]  # fmt: skip
        read_only_fields = fields


class AlertFilters(Strict):
    """How the list of alerts is narrowed."""

    open = serializers.BooleanField(required=False, help_text="Only those that last, or only those that are over.")
    cursor = serializers.CharField(max_length=500, required=False)
    page_size = serializers.CharField(max_length=20, required=False)


class Alerts(GenericAPIView[Alert]):
    permission_classes = [READ]
    serializer_class = AlertSerializer

    def get_queryset(self) -> QuerySet[Alert]:
        return Alert.objects.all()

    @extend_schema(description="Alerts, newest first.", parameters=[AlertFilters], responses=AlertSerializer(many=True))
    def get(self, request: Request) -> Response:
        asked = AlertFilters(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        rows = self.get_queryset()
        if "open" in asked.validated_data:
            rows = rows.filter(cleared_at__isnull=asked.validated_data["open"])
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(AlertSerializer(page, many=True).data)


class AcknowledgeAlert(APIView):
    """Say that somebody has seen it. 409 when it is over already."""

    permission_classes = [WRITE]

    @extend_schema(request=None, responses={200: AlertSerializer, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        alert = get_object_or_404(Alert, pk=pk)
        alerts.acknowledge(alert, by=actor(request))
        return Response(AlertSerializer(alert).data)


class IssueSerializer(serializers.Serializer[Any]):
    """One trouble; `remedy` says what healing would do, and is empty when only a person can do something."""

    category = serializers.ChoiceField(choices=[(one.value, one.value) for one in Category])
    severity = serializers.ChoiceField(choices=Severity.choices)
    subject = serializers.CharField()
    detail = serializers.CharField()
    remedy = serializers.CharField()


class HealthReportSerializer(serializers.Serializer[Any]):
    healthy = serializers.BooleanField()
    critical = serializers.IntegerField()
    issues = IssueSerializer(many=True)


class HealthReportView(APIView):
    """What is wrong with the hub at this moment, the critical first."""

    permission_classes = [READ]

    @extend_schema(responses={200: HealthReportSerializer})
    def get(self, request: Request) -> Response:
        return Response(HealthReportSerializer(health.report()).data)


class RemedySerializer(serializers.ModelSerializer[Remedy]):
    """One thing that healing did, in which of its rounds, and what came of it."""

    before = serializers.DictField()
    after = serializers.DictField()

    class Meta:
        model = Remedy
        fields = ["id", "round", "category", "subject", "action", "outcome", "detail", "before", "after", "at"]
        read_only_fields = fields


class Healings(GenericAPIView[Remedy]):
    permission_classes = [READ]
    serializer_class = RemedySerializer

    def get_queryset(self) -> QuerySet[Remedy]:
        return Remedy.objects.all()

    @extend_schema(description="What healing did, newest first.", responses=RemedySerializer(many=True))
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(RemedySerializer(page, many=True).data)
