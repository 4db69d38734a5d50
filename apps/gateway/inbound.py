"""What a sidecar says, turned into one action each, and the frames that answer it. Synchronous; runs on a lane."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints import restarting
from apps.events.refused import Refused, Stale
from apps.gateway import known
from apps.gateway.outbound import Told
from apps.tasks import attempts, spending
from apps.tasks.attempts import Fence
from apps.tasks.by_hand import HAND
from apps.tasks.lifecycle import Outcome
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt
from sidecar.wire import VERSION, messages, nouns

logger = structlog.get_logger(__name__)

FAR = 4_102_444_800_000
"""The year 2100, in milliseconds: no machine's clock takes us beyond what can be stored."""
Frames = Sequence[messages.Frame]


def hello(agent: Agent, connection: str, frame: messages.Hello, told: Told) -> Frames:
    """Make this socket the agent's voice, and say of each attempt that it named whether to go on with it."""
    presence.join(
        agent,
        connection,
        {
            "executors": sorted(set(frame.executors)),
            "capabilities": sorted(set(frame.capabilities)),
            "offers": [offer.model_dump() for offer in frame.models],
            "endpoints": [state.model_dump() for state in frame.endpoints],
            "restarts": frame.restarts,
            "sandbox": frame.sandbox.level,
            "sandbox_detail": frame.sandbox.detail,
            "software": frame.software,
            "host": frame.host.model_dump(),
        },
        process=frame.process,
    )
    verdicts = [_resume(agent, held, told) for held in frame.holding]
    verdicts += [_undelivered(agent, held, told) for held in frame.undelivered]
    _take_back_unknown(agent, {held.attempt for held in (*frame.holding, *frame.undelivered)})
    match()
    welcome = messages.Welcome(
        version=VERSION,
        agent=agent.name,
        heartbeat_seconds=settings.HEARTBEAT_SECONDS,
        idle_seconds=settings.IDLE_HEARTBEAT_SECONDS,
        lease_seconds=settings.LEASES["working"].total_seconds(),
        verdicts=verdicts,
    )
    return [welcome, *_endpoints(frame, told)]


def _endpoints(frame: messages.Hello, told: Told) -> Frames:
    """What operators added, also when that is nothing any more: the agent may remember what it was told of before."""
    now = known.current()
    if not now.endpoints and not frame.endpoints:
        return []
    told.endpoints = now
    return [now]


def _resume(agent: Agent, held: nouns.Holding, told: Told) -> nouns.Verdict:
    fence = Fence(held.task, held.attempt, agent.pk)
    try:
        attempts.accept(fence)  # also when its acceptance was lost on the way
    except Stale:
        return _drop(fence)
    told.pushed[held.attempt] = held.task
    return nouns.Verdict(task=held.task, attempt=held.attempt, verdict="continue")


def _undelivered(agent: Agent, held: nouns.Holding, told: Told) -> nouns.Verdict:
    """A waiting report is worth sending while its attempt is open, or when it was taken and only wants its answer."""
    fence = Fence(held.task, held.attempt, agent.pk)
    try:
        attempts.renew(fence)
    except Stale:
        if attempts.settled(fence) is None:
            return _drop(fence)
    told.pushed[held.attempt] = held.task
    return nouns.Verdict(task=held.task, attempt=held.attempt, verdict="continue")


def _drop(fence: Fence) -> nouns.Verdict:
    ended = Attempt.objects.filter(pk=fence.attempt, task=fence.task, agent=fence.agent)
    reason = ended.values_list("outcome", flat=True).first() or "unknown"
    return nouns.Verdict(task=fence.task, attempt=fence.attempt, verdict="drop", reason=reason)


def _take_back_unknown(agent: Agent, known: set[int]) -> None:
    """Accepted work that the sidecar does not mention is lost on its side; what it never accepted is sent again."""
    accepted = Attempt.objects.open().filter(agent=agent, accepted_at__isnull=False).exclude(task__executor=HAND)
    for attempt in accepted.exclude(pk__in=known):
        fence = Fence(attempt.task_id, attempt.pk, agent.pk)
        with contextlib.suppress(Stale):  # it ended in this moment by another hand
            attempts.reclaim(fence, f"{agent.name} came back without it.", only_lapsed=False)


def heartbeat(agent: Agent, frame: messages.Heartbeat, told: Told) -> Frames:
    """Renew what is still the agent's, and say of the rest that it is not."""
    renewed: list[int] = []
    dropped: list[messages.Frame] = []
    for held in frame.holding:
        try:
            attempts.renew(Fence(held.task, held.attempt, agent.pk))
            renewed.append(held.attempt)
        except Stale:
            told.forget(held.attempt)
            dropped.append(_dropped(agent, held.task, held.attempt))
    lease = settings.LEASES["working"].total_seconds()
    return [messages.HeartbeatAck(id=frame.id, renewed=renewed, lease_seconds=lease), *dropped]


def about_attempt(agent: Agent, frame: messages.AboutAttempt, told: Told) -> Frames:
    """Everything that names one attempt: done if the fence holds, answered with `task.drop` if it does not."""
    fence = Fence(frame.task, frame.attempt, agent.pk)
    verb = _VERBS[type(frame)]
    try:
        outcome = verb(fence, frame)
    except Stale:
        told.forget(frame.attempt)
        outcome = attempts.settled(fence) if isinstance(frame, messages.Terminal) else None
        if outcome is None:
            return [_dropped(agent, frame.task, frame.attempt)]
    if outcome is None:
        return []
    told.forget(frame.attempt)
    return [messages.TaskSettled(task=frame.task, attempt=frame.attempt, outcome=outcome.value)]


def _dropped(agent: Agent, task: int, attempt: int) -> messages.Frame:
    reason = _drop(Fence(task, attempt, agent.pk)).reason
    return messages.TaskDrop(task=task, attempt=attempt, reason=reason)


def _accepted(fence: Fence, _: Any) -> None:
    attempts.accept(fence)


def _progress(fence: Fence, frame: messages.TaskProgress) -> None:
    attempts.progress(fence, frame.seq, [step.model_dump() for step in frame.steps])


def _blocked(fence: Fence, frame: messages.TaskBlocked) -> None:
    attempts.block(fence, frame.reason)


def _unblocked(fence: Fence, _: Any) -> None:
    attempts.unblock(fence)


def _completed(fence: Fence, frame: messages.TaskCompleted) -> Outcome:
    return attempts.complete(fence, frame.result.model_dump(), [report.model_dump() for report in frame.reports])


def _failed(fence: Fence, frame: messages.TaskFailed) -> Outcome:
    reports = [report.model_dump() for report in frame.reports]
    return attempts.fail(fence, frame.error.code, frame.error.message, frame.result.model_dump(), reports)


def _released(fence: Fence, frame: messages.TaskReleased) -> Outcome:
    return attempts.release(fence, frame.error.code, frame.error.message)


def models_offered(agent: Agent, frame: messages.ModelsOffered, _told: Told) -> Frames:
    """What the agent can think with has changed: look who can do what waits."""
    presence.offer(
        agent,
        [offer.model_dump() for offer in frame.models],
        [state.model_dump() for state in frame.endpoints],
    )
    match()
    return []


def host_measured(agent: Agent, frame: messages.HostMeasured, _told: Told) -> Frames:
    """How busy its machine is; the next choice between machines goes by it."""
    presence.measured(agent, frame.load.model_dump())
    return []


def endpoint_restarted(agent: Agent, frame: messages.EndpointRestarted, _told: Told) -> Frames:
    """What came of the restart that this agent was asked for; of any other it has nothing to say."""
    restarting.answered(frame.restart, by=agent.name, ok=frame.ok, message=frame.message, seconds=frame.seconds)
    return []


def model_calls(agent: Agent, frame: messages.ModelCalls, _told: Told) -> Frames:
    """Into the ledger with them, whatever has become of the attempt: they have happened.

    What cannot be posted (not its own attempt, impossible tokens) is answered as well, or it would be said for ever.
    """
    attempt = Attempt.objects.filter(pk=frame.attempt, task=frame.task, agent=agent).first()
    for call in frame.calls:
        try:
            if attempt is None:
                raise Stale("attempt_unknown", "The attempt is not this agent's.")
            spending.settle(attempt, **_facts_of(call))
        except Refused as refused:
            logger.warning("a call was not posted", agent=agent.name, attempt=frame.attempt, reason=refused.message)
    settled = [call.call for call in frame.calls]
    return [messages.CallsSettled(id=frame.id, task=frame.task, attempt=frame.attempt, calls=settled)]


def _facts_of(call: nouns.ModelCall) -> dict[str, Any]:
    at = datetime.fromtimestamp(min(call.at, FAR) / 1000, UTC)
    return {**call.model_dump(exclude={"at", "call", "model"}), "call_id": call.call, "started_at": at}


_VERBS: dict[type[messages.Frame], Callable[[Fence, Any], Outcome | None]] = {
    messages.TaskAccepted: _accepted,
    messages.TaskProgress: _progress,
    messages.TaskBlocked: _blocked,
    messages.TaskUnblocked: _unblocked,
    messages.TaskCompleted: _completed,
    messages.TaskFailed: _failed,
    messages.TaskReleased: _released,
}
