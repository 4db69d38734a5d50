"""What a session makes of the hub's wish that the agent drains or restarts."""

from __future__ import annotations

import pytest

from sidecar.effects import Enter, Forget, KeepReport, Mode, Restart, Send, Start
from sidecar.session import Session
from sidecar.wire import messages
from tests.sidecar.test_session import HELLO, assign, completed, kinds, said, welcome

MINE, ANOTHER = "process-two", "process-one"


def connected(process=MINE, **kwargs):
    session = Session(HELLO.model_copy(update={"process": process}), **kwargs)
    session.opened(0)
    session.receive(welcome(), 0)
    return session


def working():
    session = connected()
    session.receive(assign(), 0)
    return session


def desired(**wish):
    return messages.AgentDesired(drain=True, **wish)


def test_an_idle_sidecar_restarts_at_the_next_tick_and_says_so_once():
    session = connected()

    assert [Enter(Mode.RESTARTING)] == session.receive(desired(restart=MINE), 1)
    assert [] == session.receive(desired(restart=MINE), 1)
    assert [Restart] == kinds(session.tick(1))
    assert [] == session.tick(2)


def test_work_in_hand_ends_first_and_its_report_is_kept_and_said():
    session = working()
    session.receive(desired(restart=MINE), 1)
    before = [effect for at in (2, 3, 4) for effect in session.tick(at)]
    ended = session.finished(1, completed(), 5)

    assert Restart not in kinds(before)
    assert [KeepReport, Send] == kinds(ended)
    assert Restart in kinds(session.tick(5))


def test_now_does_not_wait_for_the_work():
    session = working()
    session.receive(desired(restart=MINE), 1)

    assert Restart not in kinds(session.tick(1))
    assert [] == session.receive(desired(restart=MINE, now=True), 2)
    assert Restart in kinds(session.tick(2))


def test_what_waits_to_run_is_handed_back_when_it_restarts_now():
    session = working()
    session.receive(messages.TaskCancel(task=1, attempt=1), 1)
    session.receive(assign(attempt=2, task=2), 1)
    session.receive(desired(restart=MINE, now=True), 1)

    effects = session.tick(1)

    assert [2] == [frame.attempt for frame in said(effects, messages.TaskReleased)]
    assert Restart in kinds(effects)


def test_what_waits_to_run_is_work_in_hand_when_there_is_time():
    session = working()
    session.receive(messages.TaskCancel(task=1, attempt=1), 1)
    session.receive(assign(attempt=2, task=2), 1)
    session.receive(desired(restart=MINE), 1)

    assert Restart not in kinds(session.tick(1))
    assert [Forget, Start] == kinds(session.finished(1, None, 2))
    assert Restart not in kinds(session.tick(2))


@pytest.mark.parametrize("process", [MINE, ""])
@pytest.mark.parametrize("named", [ANOTHER, ""])
def test_a_wish_for_another_process_never_restarts_this_one(process, named):
    session = connected(process)

    assert [Enter(Mode.DRAINING)] == session.receive(desired(restart=named), 1)
    assert [] == session.tick(1)


def test_no_new_work_is_taken_before_a_restart():
    session = connected()
    session.receive(desired(restart=MINE), 1)

    (released,) = said(session.receive(assign(), 1), messages.TaskReleased)

    assert "drained" == released.error.code


def test_a_drained_sidecar_still_does_what_the_hub_had_assigned_before():
    session = connected()
    session.receive(desired(), 1)

    assert Start in kinds(session.receive(assign(), 1))
    assert Mode.DRAINING is session.mode


def test_a_wish_that_is_taken_back_in_time_is_forgotten():
    session = working()
    session.receive(desired(restart=MINE), 1)

    assert [Enter(Mode.NORMAL)] == session.receive(messages.AgentDesired(), 2)
    session.finished(1, completed(), 3)
    assert Restart not in kinds(session.tick(3))
    assert Start in kinds(session.receive(assign(attempt=2, task=2), 4))


def test_a_wish_that_was_taken_back_while_away_ends_with_the_welcome():
    session = working()
    session.receive(desired(restart=MINE), 1)
    session.closed()
    session.opened(2)

    assert Enter(Mode.NORMAL) in session.receive(welcome(), 2)
    assert Mode.NORMAL is session.mode


def test_a_lost_connection_keeps_nobody_from_restarting():
    session = working()
    session.receive(desired(restart=MINE), 1)
    session.closed()
    session.finished(1, completed(), 2)

    assert [Restart] == kinds(session.tick(2))
    assert [1] == [report.attempt for report in session.undelivered]


def test_who_leaves_for_good_does_not_restart():
    session = connected()
    session.drain(1)
    session.receive(desired(restart=MINE), 1)

    assert Restart not in kinds(session.tick(2))
