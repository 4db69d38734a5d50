"""REST for tasks: submit, list, show, cancel, retry, and what waits for what."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents.authentication import actor
from apps.agents.fields import Refusal, Strict
from apps.agents.permissions import scoped
from apps.events.log import subject_of
from apps.events.models import Event
from apps.events.refused import Invalid
from apps.tasks import actions
from apps.tasks.models import Attempt, Task, Trajectory
from apps.tasks.serializers import (
    LANES,
    LARGEST_ID,
    TASK_SHOWN,
    EventSerializer,
    Filters,
    Progress,
    SubmissionSerializer,
    TaskSerializer,
    TrajectorySerializer,
    WholeTask,
    submission,
)
from apps.tasks.waiting import why

LONGEST_KEY = 200
MOST_BATCHES = 200
KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER, description="Submitting again answers the same task."
)
EXAMPLE = OpenApiExample(
    "A change that proves itself",
    request_only=True,
    value={
        "title": "Fix the rounding of totals",
        "repo": "shop",
        "command": "python tools/fix_rounding.py",
        "priority": "high",
        "verification_steps": [{"type": "tests_pass", "target": "auto"}],
        "max_verification_retries": 1,
    },
)


class Tasks(GenericAPIView[Task]):
    permission_classes = [scoped("tasks:read", "tasks:write")]
    serializer_class = TaskSerializer
    queryset = Task.objects.select_related("repo", "target")

    @extend_schema(
        description="Tasks, newest first, without those that verify a pull request unless asked for by `work`.",
        parameters=[Filters],
        responses=TaskSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        asked = Filters.read(request.query_params.dict())
        page = self.paginate_queryset(narrowed(self.get_queryset(), asked)) or []
        return self.get_paginated_response(TaskSerializer(page, many=True).data)

    @extend_schema(
        description="Submit a task. 200 instead of 201 when the idempotency key is known: the task that has it.",
        parameters=[KEY],
        request=SubmissionSerializer,
        responses={201: TaskSerializer, 200: TaskSerializer},
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        asked = SubmissionSerializer.read(request.data)
        wanted = submission(asked, idempotency_key(request))
        if (wanted.idempotency_key or "").startswith(actions.OURS):
            raise Invalid("idempotency_key", f"Keys that begin with {actions.OURS} are the hub's own.")
        task, new = actions.submit(wanted, by=actor(request))
        return Response(TASK_SHOWN.to_representation(task), status=201 if new else 200)


def narrowed(tasks: QuerySet[Task], asked: dict[str, Any]) -> QuerySet[Task]:
    """`tasks` as the filters say; agents' changes only, unless `work` is asked for."""
    tasks = tasks.filter(work=asked.get("work", "change"))
    if "status" in asked:
        tasks = tasks.filter(status=asked["status"])
    if "lane" in asked:
        tasks = tasks.filter(lane=LANES[asked["lane"]])
    if "repo" in asked:
        tasks = tasks.filter(repo__slug=asked["repo"])
    if "agent" in asked:
        tasks = tasks.filter(Exists(Attempt.objects.filter(task=OuterRef("pk"), agent__name=asked["agent"])))
    if "q" in asked:
        tasks = tasks.filter(title__icontains=asked["q"])
    return tasks


def idempotency_key(request: Request) -> str:
    """What the header Idempotency-Key says, or nothing. Raises Invalid."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise Invalid("idempotency_key", f"At most {LONGEST_KEY} printable ASCII characters.")
    return key


def whole(pk: int) -> dict[str, Any]:
    """Everything that is known of a task, in a fixed number of queries. Raises Http404."""
    task: Any = get_object_or_404(Task.objects.select_related("repo", "target"), pk=pk)
    task.waits = why(task)
    task.before = list(Task.objects.filter(dependants__task=task).order_by("pk").only("pk", "title", "status"))
    task.tries = list(task.attempts.select_related("agent").order_by("pk"))
    return dict(WholeTask(task).data)


class OneTask(APIView):
    """A task with its attempts, decisions, prerequisites, and why it waits."""

    permission_classes = [scoped("tasks:read")]

    @extend_schema(responses={200: WholeTask, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        return Response(whole(pk))


class Reason(Strict):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class CancelTask(APIView):
    """Stop it, whatever it is doing; the record stays. 409 when it has ended."""

    permission_classes = [scoped("tasks:write")]

    @extend_schema(request=Reason, responses={200: WholeTask, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        asked = Reason.read(request.data)
        actions.cancel(get_object_or_404(Task, pk=pk), by=actor(request), reason=asked["reason"])
        return Response(whole(pk))


class RetryTask(APIView):
    """Take it out of the dead letter, with fresh attempts. 409 when it is not there."""

    permission_classes = [scoped("tasks:write")]

    @extend_schema(request=None, responses={200: WholeTask, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        actions.revive(get_object_or_404(Task, pk=pk), by=actor(request))
        return Response(whole(pk))


class TaskHistory(GenericAPIView[Event]):
    """What happened to it, newest first."""

    permission_classes = [scoped("tasks:read")]
    serializer_class = EventSerializer
    queryset = Event.objects.all()

    @extend_schema(responses={200: EventSerializer(many=True), 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        task = get_object_or_404(Task, pk=pk)
        page = self.paginate_queryset(self.get_queryset().filter(subject=subject_of(task))) or []
        return self.get_paginated_response(EventSerializer(page, many=True).data)


class ProgressQuery(Strict):
    after = serializers.IntegerField(min_value=0, max_value=LARGEST_ID, required=False, default=0)
    attempt = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="The newest when it is not given."
    )


class TaskProgress(APIView):
    """The live steps of one attempt, in order, beginning behind the sequence number `after`."""

    permission_classes = [scoped("tasks:read")]

    @extend_schema(parameters=[ProgressQuery], responses={200: Progress, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        asked = ProgressQuery.read(request.query_params.dict())
        attempt = _attempt_of(pk, asked.get("attempt"))
        batches = attempt.progress.filter(seq__gt=asked["after"])[:MOST_BATCHES] if attempt else []
        return Response(Progress({"attempt": attempt.pk if attempt else None, "batches": batches}).data)


def _attempt_of(task: int, wanted: int | None) -> Attempt | None:
    """The attempt that is meant, or the newest one. Raises Http404."""
    attempts = get_object_or_404(Task, pk=task).attempts.order_by("-pk")
    return get_object_or_404(attempts, pk=wanted) if wanted else attempts.first()


class TrajectoryQuery(Strict):
    attempt = serializers.IntegerField(
        min_value=1, max_value=LARGEST_ID, required=False, help_text="The newest when it is not given."
    )


class TaskTrajectory(APIView):
    """How a model went about one attempt, step by step, as it was reported when the attempt ended."""

    permission_classes = [scoped("tasks:read")]

    @extend_schema(parameters=[TrajectoryQuery], responses={200: TrajectorySerializer, 404: Refusal})
    def get(self, request: Request, pk: int) -> Response:
        asked = TrajectoryQuery.read(request.query_params.dict())
        attempt = _attempt_of(pk, asked.get("attempt"))
        kept = Trajectory.objects.filter(attempt=attempt).first() if attempt else None
        shown = {
            "attempt": attempt.pk if attempt else None,
            "model": attempt.model if attempt else "",
            "steps": kept.steps if kept else [],
        }
        return Response(TrajectorySerializer(shown).data)


class PrerequisiteRequest(Strict):
    prerequisite = serializers.IntegerField(min_value=1, max_value=LARGEST_ID, help_text="The task to wait for.")


class Prerequisites(APIView):
    """Make a task that has not started wait for another one."""

    permission_classes = [scoped("tasks:write")]

    @extend_schema(request=PrerequisiteRequest, responses={200: WholeTask, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        asked = PrerequisiteRequest.read(request.data)
        task = get_object_or_404(Task, pk=pk)
        actions.add_prerequisite(task, asked["prerequisite"], by=actor(request))
        return Response(whole(pk))


class OnePrerequisite(APIView):
    """Let the task go without it; how a stranded task is freed."""

    permission_classes = [scoped("tasks:write")]

    @extend_schema(responses={200: WholeTask, 404: Refusal})
    def delete(self, request: Request, pk: int, prerequisite: int) -> Response:
        task = get_object_or_404(Task, pk=pk)
        get_object_or_404(task.prerequisites, prerequisite=prerequisite)
        actions.drop_prerequisite(task, prerequisite, by=actor(request))
        return Response(whole(pk))
