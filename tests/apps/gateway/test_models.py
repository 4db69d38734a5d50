"""Models on the wire: what a sidecar says that it can think with, and what it is told to let one do."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from apps.agents.models import Agent
from apps.gateway import inbound, outbound
from apps.gateway.outbound import Told, news
from apps.ledger.pricing import Unpriced
from apps.tasks import actions
from apps.tasks.lifecycle import Outcome
from apps.tasks.models import Attempt, Task, Trajectory
from apps.tasks.sweep import sweep
from sidecar.wire import decode_from_hub, decode_from_sidecar, encode, messages, nouns
from tests import cast
from tests.rest import known, of_agent

pytestmark = pytest.mark.django_db
QWEN = nouns.ModelOffer(executor="ollama", model="qwen3:8b", context=16_384, digest="500a1f", tokens_per_second=41.5)


def greet(agent: Agent, *offers: nouns.ModelOffer, **facts: Any) -> None:
    """What `agent` says of itself, as it comes over the wire."""
    sandbox = nouns.Sandbox(level="bubblewrap")
    said = messages.Hello(version=1, executors=["shell"], models=list(offers), sandbox=sandbox, **facts)
    heard = decode_from_sidecar(encode(said))
    assert isinstance(heard, messages.Hello)
    inbound.hello(agent, f"{agent.name}.1", heard, Told())


def told(attempt: Attempt) -> messages.TaskAssign:
    """What the attempt's agent hears of it."""
    token = known(of_agent(attempt.agent).secret)
    (frame,) = news(attempt.agent_id, str(attempt.agent.connection), token.pk, Told()).frames
    heard = decode_from_hub(encode(frame))
    assert isinstance(heard, messages.TaskAssign)
    return heard


def test_the_models_that_a_sidecar_names_are_kept_and_get_work_at_once() -> None:
    ada = cast.agent("ada", online=False)
    task = cast.queued_task(command="", tier="standard")
    greet(ada, QWEN)

    assert [QWEN.model_dump(exclude={"trials", "context_measured"})] == cast.fresh(ada).offers
    attempt = Attempt.objects.open().get(task=task)
    assert (ada.pk, "ollama", "qwen3:8b", "local") == (
        attempt.agent_id,
        attempt.executor,
        attempt.model,
        attempt.grade,
    )


def test_an_assignment_that_cannot_be_told_hides_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the end of the one before, and not the next one; and it is tried again."""
    ada = cast.agent("ada")
    before = cast.working(cast.queued_task(target=ada))
    token, hearing = known(of_agent(ada).secret), Told({before.pk: before.task_id})
    actions.cancel(before.task, by="ann")
    attempt = cast.assigned(cast.queued_task(target=ada))

    def look() -> list[str]:
        return [type(frame).__name__ for frame in news(ada.pk, str(ada.connection), token.pk, hearing).frames]

    with monkeypatch.context() as broken:
        broken.setattr(outbound, "_brief", refuse)
        assert ["TaskCancel"] == look()
        assert [] == look()
    assert ["TaskAssign"] == look()
    assert {attempt.pk: attempt.task_id} == hearing.pushed


def test_what_was_not_returned_was_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    ada = cast.agent("ada")
    before = cast.working(cast.queued_task(target=ada))
    token, hearing = known(of_agent(ada).secret), Told({before.pk: before.task_id})
    actions.cancel(before.task, by="ann")
    cast.assigned(cast.queued_task(target=ada))
    with monkeypatch.context() as broken:
        broken.setattr(outbound, "_brief", lose_the_database)
        with pytest.raises(OperationalError):
            news(ada.pk, str(ada.connection), token.pk, hearing)

    assert 2 == len(news(ada.pk, str(ada.connection), token.pk, hearing).frames)


def refuse(*_: object) -> None:
    raise Unpriced("claude-sonnet-5-5")


def lose_the_database(*_: object) -> None:
    raise OperationalError


def test_what_it_does_not_name_any_more_it_does_not_offer_any_more() -> None:
    ada = cast.agent("ada", online=False)
    greet(ada, QWEN)
    greet(ada)
    task = cast.queued_task(command="", tier="standard")
    greet(ada)

    assert [] == cast.fresh(ada).offers
    assert not Attempt.objects.filter(task=task).exists()


def test_a_sidecar_of_before_there_were_models_offers_none() -> None:
    ada = cast.agent("ada", online=False)
    heard = decode_from_sidecar('{"type": "hello", "id": "a", "version": 1}')
    assert isinstance(heard, messages.Hello)
    inbound.hello(ada, "ada.1", heard, Told())

    assert [] == cast.fresh(ada).offers


@pytest.mark.parametrize(("tier", "steps"), [("trivial", 5), ("standard", 10), ("complex", 20), ("of old", 7)])
def test_an_assignment_names_the_model_and_how_far_it_may_go(settings: Any, tier: str, steps: int) -> None:
    settings.MODEL_STEPS = {"trivial": 5, "standard": 10, "complex": 20, "unknown": 7}
    settings.MODEL_TOKENS = 1_234
    cast.agent("ada", offers=[QWEN.model_dump()])
    task = cast.queued_task("Fix it", command="", tier="standard")
    Task.objects.filter(pk=task.pk).update(tier=tier)
    frame = told(cast.assigned(task))

    assert frame.allowance is not None
    assert ("ollama", "qwen3:8b", steps, 1_234) == (
        frame.executor,
        frame.model,
        frame.max_steps,
        frame.allowance.tokens,
    )
    assert ("Fix it", "", task.max_fixes) == (frame.brief.title, frame.brief.command, frame.max_fixes)


def test_a_command_is_assigned_without_a_model_or_limits_for_one() -> None:
    cast.agent("ada", offers=[QWEN.model_dump()])
    frame = told(cast.assigned(cast.queued_task()))

    assert ("shell", "", 0, None) == (frame.executor, frame.model, frame.max_steps, frame.allowance)


def test_the_brief_of_the_next_model_tells_what_the_one_before_came_to() -> None:
    cast.agent("ada", offers=[QWEN.model_dump(), {**QWEN.model_dump(), "model": "large", "grade": "claude"}])
    task = cast.queued_task(command="", tier="standard")
    fence = cast.fence(cast.working(task))
    failed = messages.TaskFailed(
        task=fence.task,
        attempt=fence.attempt,
        error=nouns.Error(code="stuck", message="It went round in circles."),
        result=nouns.Result(blame="capability"),
    )
    inbound.about_attempt(Agent.objects.get(), failed, Told())
    cast.rest(task)
    sweep()
    frame = told(Attempt.objects.open().select_related("agent").get(task=task))

    assert ("large", 2) == (frame.model, frame.generation)
    assert [("failed", "It went round in circles.")] == [(one.outcome, one.error) for one in frame.brief.previous]


def test_a_report_with_steps_is_taken_whole_and_settled_once() -> None:
    ada = cast.agent("ada", offers=[QWEN.model_dump()])
    attempt = cast.working(cast.queued_task(command="", tier="standard"))
    step = nouns.AgentStep(number=1, said="Done.", uses=[nouns.ToolUse(name="finish_task")], tokens={"output": 9})
    frame = messages.TaskCompleted(
        task=attempt.task_id, attempt=attempt.pk, result=nouns.Result(executor="ollama", trajectory=[step])
    )
    answers = [inbound.about_attempt(ada, frame, Told()) for _ in range(2)]

    assert [["succeeded"]] * 2 == [
        [answer.outcome for answer in one if isinstance(answer, messages.TaskSettled)] for one in answers
    ]
    assert [[step.model_dump()]] == list(Trajectory.objects.values_list("steps", flat=True))
    assert "trajectory" not in cast.fresh(attempt).result


def test_a_sidecar_whose_model_could_not_be_reached_hears_that_its_attempt_was_released() -> None:
    ada = cast.agent("ada", offers=[QWEN.model_dump()])
    attempt = cast.working(cast.queued_task(command="", tier="standard"))
    frame = messages.TaskFailed(
        task=attempt.task_id,
        attempt=attempt.pk,
        error=nouns.Error(code="unreachable", message="Nobody answered."),
        result=nouns.Result(blame="infrastructure"),
    )
    (answer,) = inbound.about_attempt(ada, frame, Told())

    assert isinstance(answer, messages.TaskSettled)
    assert Outcome.RELEASED == answer.outcome
