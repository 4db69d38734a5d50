"""REST that an agent has for itself: the task in its hands. Anybody else's does not exist for it."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.fields import Refusal
from apps.agents.permissions import OnlyAgents
from apps.tasks.api import whole
from apps.tasks.models import Attempt, Task
from apps.tasks.serializers import TaskSerializer, WholeTask


def own(request: Request) -> QuerySet[Task]:
    """The tasks of which the asking agent holds the open attempt."""
    held = Attempt.objects.open().filter(task=OuterRef("pk"), agent=request.user.agent)  # type: ignore[union-attr]  # OnlyAgents
    return Task.objects.filter(Exists(held)).select_related("repo", "target")


class OwnTasks(GenericAPIView[Task]):
    """What this agent holds."""

    permission_classes = [OnlyAgents]
    serializer_class = TaskSerializer
    queryset = Task.objects.none()

    @extend_schema(responses={200: TaskSerializer(many=True)})
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(own(request)) or []
        return self.get_paginated_response(TaskSerializer(page, many=True).data)


class OwnTask(APIView):
    """A task that this agent holds."""

    permission_classes = [OnlyAgents]

    @extend_schema(responses={200: WholeTask, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        if not own(request).filter(pk=pk).exists():
            raise NotFound
        return Response(whole(pk))
