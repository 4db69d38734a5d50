"""The session's rules one at a time; `test_session_model.py` tries them in every order."""

from __future__ import annotations

from sidecar.effects import Forget, Keep, KeepReport, Send, Start, Stop, Why
from sidecar.session import RESEND_SECONDS, Session
from sidecar.wire import VERSION, messages
from sidecar.wire.nouns import Brief, EndpointState, Error, Holding, Identity, ModelOffer, Result, Step, Verdict

LEASE = 20.0
HELLO = messages.Hello(version=VERSION)


def assign(attempt=1, task=1, lease=LEASE):
    return messages.TaskAssign(
        task=task,
        attempt=attempt,
        generation=1,
        executor="shell",
        brief=Brief(title="t", command="true"),
        timeout_seconds=60,
        lease_seconds=lease,
        identity=Identity(name="ada", email="ada@example.org"),
    )


def completed(attempt=1, task=1):
    return messages.TaskCompleted(task=task, attempt=attempt, result=Result(exit_code=0))


def welcome(*verdicts):
    return messages.Welcome(
        version=VERSION, agent="ada", heartbeat_seconds=5, idle_seconds=15, lease_seconds=LEASE, verdicts=list(verdicts)
    )


def verdict(attempt, what, task=1):
    return Verdict(task=task, attempt=attempt, verdict=what)


def connected(now=0.0, **kwargs):
    session = Session(HELLO, **kwargs)
    session.opened(now)
    session.receive(welcome(), now)
    return session


def working(now=0.0, **kwargs):
    session = connected(now, **kwargs)
    session.receive(assign(), now)
    return session


def said(effects, kind=messages.Frame):
    return [effect.frame for effect in effects if isinstance(effect, Send) and isinstance(effect.frame, kind)]


def kinds(effects):
    return [type(effect) for effect in effects]


def test_an_assignment_is_kept_before_it_is_accepted_and_accepted_before_it_starts():
    effects = connected().receive(assign(), 0)

    assert [Keep, Send, Start] == kinds(effects)
    assert said(effects, messages.TaskAccepted)


def test_an_assignment_that_cannot_be_kept_is_handed_back():
    session = connected()
    session.receive(assign(), 0)

    effects = session.unkept(assign(), "disk full", 0)

    assert "journal" == said(effects, messages.TaskReleased)[0].error.code
    assert session.resting


def test_a_second_assignment_while_at_work_is_released_as_busy():
    effects = working().receive(assign(attempt=2, task=2), 1)

    assert "busy" == said(effects, messages.TaskReleased)[0].error.code
    assert Start not in kinds(effects)


def test_the_same_assignment_again_is_accepted_again_and_not_started_twice():
    effects = working().receive(assign(), 1)

    assert [Send] == kinds(effects)
    assert said(effects, messages.TaskAccepted)


def test_an_assignment_whose_report_waits_is_answered_with_the_report():
    session = working()
    session.finished(1, completed(), 1)

    effects = session.receive(assign(), 2)

    assert [1] == [frame.attempt for frame in said(effects, messages.TaskCompleted)]


def test_new_work_waits_until_older_work_has_really_stopped():
    session = working()
    assert [Stop(1, Why.CANCELLED)] == session.receive(messages.TaskCancel(task=1, attempt=1), 1)

    accepted = session.receive(assign(attempt=2, task=2), 1)
    ended = session.finished(1, None, 2)

    assert [Keep, Send] == kinds(accepted)
    assert [Forget, Start] == kinds(ended)


def test_a_machine_that_cannot_run_it_releases_it_at_once():
    session = connected(refusal=lambda _: Error(code="sandbox_missing", message="no bubblewrap"))

    effects = session.receive(assign(), 0)

    assert "sandbox_missing" == said(effects, messages.TaskReleased)[0].error.code


def test_a_report_is_kept_before_it_is_sent_and_stays_until_it_is_settled():
    session = working()

    finished = session.finished(1, completed(), 1)
    settled = session.receive(messages.TaskSettled(task=1, attempt=1, outcome="succeeded"), 2)

    assert [KeepReport, Send] == kinds(finished)
    assert [Forget(1)] == settled
    assert () == session.undelivered


def test_a_report_that_nobody_answers_is_sent_again():
    session = working()
    session.finished(1, completed(), 1)

    assert not said(session.tick(2), messages.TaskCompleted)
    assert said(session.tick(1 + RESEND_SECONDS), messages.TaskCompleted)


def test_work_finished_without_a_connection_is_delivered_on_the_next():
    session = working()
    session.closed()
    assert not said(session.finished(1, completed(), 1))

    hello = said(session.opened(5), messages.Hello)[0]
    effects = session.receive(welcome(verdict(1, "continue")), 5)

    assert [Holding(task=1, attempt=1)] == hello.undelivered
    assert not hello.holding
    assert said(effects, messages.TaskCompleted)


def test_a_report_that_came_between_hello_and_welcome_is_sent_as_well():
    session = working()
    session.closed()
    session.opened(5)
    session.finished(1, completed(), 5)

    assert said(session.receive(welcome(verdict(1, "continue")), 5), messages.TaskCompleted)


def test_reports_of_a_former_process_are_named_in_hello():
    session = Session(HELLO, undelivered=[completed(attempt=9)])

    assert [Holding(task=1, attempt=9)] == said(session.opened(0), messages.Hello)[0].undelivered


def test_a_verdict_to_drop_stops_work_without_a_report():
    session = working()
    session.closed()
    session.opened(5)

    assert [Stop(1, Why.DROPPED)] == session.receive(welcome(verdict(1, "drop")), 5)
    assert [Forget(1)] == session.finished(1, None, 6)


def test_a_verdict_to_drop_forgets_a_report():
    session = Session(HELLO, undelivered=[completed()])
    session.opened(0)

    assert [Forget(1)] == session.receive(welcome(verdict(1, "drop")), 0)


def test_a_verdict_to_go_on_counts_as_renewal_from_when_hello_was_said():
    session = working(margin=5)
    session.closed()
    session.opened(10)
    session.receive(welcome(verdict(1, "continue")), 14)

    assert Stop not in kinds(session.tick(24.9))
    assert Stop(1, Why.FENCED) in session.tick(25)


def test_work_is_stopped_when_its_lease_could_not_be_renewed():
    session = working(margin=5)
    session.closed()

    assert [] == session.tick(14.9)
    assert [Stop(1, Why.FENCED)] == session.tick(15)
    assert [] == session.tick(16)


def test_an_acknowledged_heartbeat_renews_from_when_it_was_sent_not_from_when_it_was_answered():
    session = working(margin=5)
    beat = said(session.tick(5), messages.Heartbeat)[0]
    session.receive(messages.HeartbeatAck(id=beat.id, renewed=[1], lease_seconds=LEASE), 9)
    session.closed()

    assert [] == session.tick(19.9)
    assert [Stop(1, Why.FENCED)] == session.tick(20)


def test_an_acknowledgement_that_leaves_the_attempt_out_renews_nothing():
    session = working(margin=5)
    beat = said(session.tick(5), messages.Heartbeat)[0]
    session.receive(messages.HeartbeatAck(id=beat.id, renewed=[], lease_seconds=LEASE), 5)

    assert Stop(1, Why.FENCED) in session.tick(15)


def test_fenced_work_is_not_claimed_any_more_and_its_end_is_reported():
    session = working(margin=5)
    session.closed()
    session.tick(15)

    assert [] == said(session.opened(16), messages.Hello)[0].holding
    report = session.finished(1, None, 17)[0]
    assert isinstance(report, KeepReport)
    assert isinstance(report.report, messages.TaskReleased)
    assert "lease_lost" == report.report.error.code


def test_heartbeats_come_often_at_work_and_seldom_at_rest():
    busy, idle = working(), connected()

    assert said(busy.tick(5), messages.Heartbeat)
    assert not said(idle.tick(5), messages.Heartbeat)
    assert said(idle.tick(15), messages.Heartbeat)


def test_progress_is_batched_and_flushed_before_the_report():
    session = working()
    for number in range(3):
        session.progressed(1, [Step(at_ms=number, kind="note", text=str(number))])

    assert not said(session.tick(0.5), messages.TaskProgress)
    assert 3 == len(said(session.tick(1), messages.TaskProgress)[0].steps)

    session.progressed(1, [Step(at_ms=9, kind="note", text="last")])
    frames = said(session.finished(1, completed(), 1.1))
    assert ["task.progress", "task.completed"] == [frame.type for frame in frames]
    assert 2 == frames[0].seq


def test_progress_without_a_connection_is_limited_and_says_so():
    session = working()
    session.closed()
    session.progressed(1, [Step(at_ms=n, kind="output", text=str(n)) for n in range(10_000)])
    session.opened(1)
    session.receive(welcome(verdict(1, "continue")), 1)

    batches = said(session.tick(3), messages.TaskProgress)

    assert 500 + 1 == sum(len(batch.steps) for batch in batches)
    assert "9500 steps were not sent." == batches[0].steps[0].text
    assert all(len(batch.steps) <= 200 for batch in batches)


def test_a_drained_sidecar_takes_nothing_and_hands_back_what_runs_when_told():
    session = working()
    session.drain(1)

    refused = session.receive(assign(attempt=2, task=2), 1)
    assert "drained" == said(refused, messages.TaskReleased)[0].error.code
    assert [Stop(1, Why.DRAINED)] == session.hand_back()
    assert "drained" == said(session.finished(1, None, 2), messages.TaskReleased)[0].error.code


def test_work_that_finished_in_the_moment_of_the_drain_is_still_completed():
    session = working()
    session.drain(1)
    session.hand_back()

    assert said(session.finished(1, completed(), 2), messages.TaskCompleted)


def test_a_report_that_the_hub_cannot_read_is_replaced_by_a_short_one_once():
    session = working()
    report = said(session.finished(1, completed(), 1), messages.TaskCompleted)[0]
    objection = messages.ErrorFrame(code="invalid_frame", message="no", about=report.id, errors=["result: bad"])

    first = said(session.receive(objection, 2), messages.TaskFailed)
    again = session.receive(objection, 3)

    assert "report_refused" == first[0].error.code
    assert [] == again


MODELS = [ModelOffer(executor="ollama", model="qwen:7b", grade="local")]
ENDPOINTS = [EndpointState(kind="ollama", url="http://gpu.example:11434")]


def offers(effects):
    return said(effects, messages.ModelsOffered)


def sorry(about, code="internal"):
    return messages.ErrorFrame(code=code, message="The hub could not do that now.", about=about)


def test_offers_that_the_hub_could_not_take_are_said_again_later_as_often_as_it_takes():
    session = connected()
    (first,) = offers(session.offered(MODELS, ENDPOINTS))
    for number in range(1, 4):
        told = session.receive(sorry(first.id), number * 100)
        early = session.tick(number * 100 + RESEND_SECONDS - 1)
        (again,) = offers(session.tick(number * 100 + RESEND_SECONDS))

        assert ([], []) == (told, offers(early))
        assert (MODELS, ENDPOINTS) == (again.models, again.endpoints)
        assert again.id != first.id
        first = again

    assert [] == offers(session.tick(1_000)), "the hub took them"


def test_newer_offers_take_the_place_of_those_that_the_hub_could_not_take():
    session = connected()
    (old,) = offers(session.offered(MODELS, ENDPOINTS))
    session.receive(sorry(old.id), 0)
    (new,) = offers(session.offered([], ENDPOINTS))
    session.receive(sorry(old.id), 1)

    assert [] == new.models
    assert [] == offers(session.tick(100))


def test_offers_that_changed_between_hello_and_welcome_are_said_as_well():
    session = Session(HELLO)
    session.opened(0)
    before = session.offered(MODELS, ENDPOINTS)
    session.receive(welcome(), 1)

    assert [] == before
    assert [MODELS] == [frame.models for frame in offers(session.tick(2))]
    assert [] == offers(session.tick(100))


def test_offers_that_the_hub_cannot_read_or_that_a_hello_has_said_are_not_said_again():
    session = connected()
    (unread,) = offers(session.offered(MODELS, ENDPOINTS))
    session.receive(sorry(unread.id, "invalid_frame"), 0)
    (lost,) = offers(session.offered([], ENDPOINTS))
    session.receive(sorry(lost.id), 0)
    session.closed()
    session.opened(1)
    session.receive(welcome(), 1)
    session.receive(sorry(""), 1)

    assert [] == offers(session.tick(100))


def test_frames_about_attempts_that_are_not_here_change_nothing():
    session = working()

    for frame in (
        messages.TaskCancel(task=7, attempt=7),
        messages.TaskDrop(task=7, attempt=7),
        messages.TaskSettled(task=7, attempt=7, outcome="succeeded"),
    ):
        assert [] == session.receive(frame, 1)
    assert 1 == session.current.attempt
