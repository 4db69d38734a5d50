"""What anybody may ask of the hub: whether it is well, and how its frames look."""

from __future__ import annotations

from functools import cache
from typing import Any

import structlog
from django.db import DatabaseError, connection
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.fields import Refusal
from apps.agents.permissions import Anybody
from apps.events.documents import schemas as document_schemas
from sidecar import __version__
from sidecar.wire.frames import VERSION, schemas

logger = structlog.get_logger(__name__)


class HealthAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ok", "down"])
    database = serializers.BooleanField()
    version = serializers.CharField()
    wire = serializers.IntegerField(help_text="The version of the frames.")


class Health(APIView):
    """Whether the hub can work: 200 when it reaches its database, else 503."""

    authentication_classes = []
    permission_classes = [Anybody]
    throttle_classes = []

    @extend_schema(responses={200: HealthAnswer, 503: HealthAnswer}, auth=[])
    def get(self, request: Request) -> Response:
        reachable = database_answers()
        answer = {
            "status": "ok" if reachable else "down",
            "database": reachable,
            "version": __version__,
            "wire": VERSION,
        }
        return Response(HealthAnswer(answer).data, status=200 if reachable else 503)


def database_answers() -> bool:
    """Whether a query comes back."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.warning("database away", error=str(error))
        return False
    return True


class Schemas(APIView):
    """The JSON Schemas of every frame, in both directions: all that a client in any language needs."""

    authentication_classes = []
    permission_classes = [Anybody]

    @extend_schema(responses={200: OpenApiTypes.OBJECT}, auth=[])
    def get(self, request: Request) -> Response:
        return Response(published())


@cache
def published() -> dict[str, Any]:
    """Made once; they change only with the code."""
    return schemas()


class DocumentSchema(APIView):
    """The XML Schema of a kind of document: `goal.xsd`, `plan.xsd`, and what they include."""

    authentication_classes = []
    permission_classes = [Anybody]

    @extend_schema(
        operation_id="schemas_document",
        responses={(200, "application/xml"): OpenApiTypes.STR, (404, "application/json"): Refusal},
        auth=[],
    )
    def get(self, request: Request, name: str) -> HttpResponse:
        if (file := document_schemas().get(name)) is None:
            raise Http404
        return HttpResponse(file.read_bytes(), content_type="application/xml")
