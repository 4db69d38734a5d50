"""Along the chain of a tier: after a model that was not able to, and after waiting in vain for one that is away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.agents import presence
from apps.agents.models import Agent
from apps.endpoints.models import TIERS, RoutingRule
from apps.endpoints.rules import change
from apps.events import hints
from apps.events.models import Event
from apps.ledger import prices
from apps.tasks import attempts, fallback, wake
from apps.tasks.actions import revive
from apps.tasks.lifecycle import Outcome, TaskStatus
from apps.tasks.matchmaking import match
from apps.tasks.models import Attempt, Demand, Task
from apps.tasks.queue import demand_of
from apps.tasks.roster import FIRST_LOOK
from apps.tasks.sweep import sweep
from apps.tasks.waiting import why
from tests import cast
from tests.model.crew import Crew

LOCAL = {"executor": "ollama", "model": "qwen3:8b", "grade": "local", "tokens_per_second": 40.0}
HOUSE = {**LOCAL, "model": "qwen3:235b", "grade": "house"}
CLAUDE = {"executor": "claude", "model": "claude-sonnet-5", "grade": "claude", "tokens_per_second": 0.0}
WAIT = 120
in_database = pytest.mark.django_db


def words(tier: str = "standard", **wanted: Any) -> Task:
    return cast.queued_task(command="", tier=tier, **wanted)


def pass_by(seconds: float) -> None:
    """So much later, as far as waiting in line is concerned."""
    later = timedelta(seconds=seconds)
    Task.objects.update(queued_at=F("queued_at") - later)
    Demand.objects.filter(in_vain_since__isnull=False).update(in_vain_since=F("in_vain_since") - later)


def wait_in_vain(seconds: float = WAIT) -> int:
    """Nobody is there who could do it, for so long: how many tasks moved on then."""
    assert 0 == sweep().widened
    pass_by(seconds)
    return sweep().widened


def grades_of(task: Task) -> list[str]:
    return list(Task.objects.values_list("grades", flat=True).get(pk=task.pk))


def reroutes(task: Task) -> list[tuple[list[str], str]]:
    told = Event.objects.filter(kind="task.rerouted", subject=f"task/{task.pk}").order_by("pk")
    return [(event.data["grades"], event.data["reason"]) for event in told]


def says(task: Task, sentence: str) -> None:
    """This is the reason that REST and the task's page give."""
    assert sentence == why(cast.fresh(task))


# --- waiting ----------------------------------------------------------------------------------------------------------


@in_database
def test_a_task_in_words_says_what_it_waits_for() -> None:
    task = words()
    says(task, "No agent is connected.")

    cast.agent("shells")
    says(task, "No connected agent fits: shells offers no local model.")

    cast.agent("ada", offers=[LOCAL])
    cast.assigned(words(lane=0))
    says(task, "Every agent that fits is busy.")


@in_database
def test_who_waited_in_vain_may_have_the_next_grade_and_gets_it_at_once() -> None:
    cast.agent("shells")
    claude = cast.agent(offers=[CLAUDE])
    task = words()
    assert 0 == wait_in_vain(WAIT - 10)
    assert ([], TaskStatus.QUEUED) == (reroutes(task), cast.status_of(task))

    pass_by(10)
    done = sweep()

    assert (1, 1) == (done.widened, done.matched)
    attempt = Attempt.objects.open().get(task=task)
    assert (claude.pk, "claude", "claude-sonnet-5") == (attempt.agent_id, attempt.grade, attempt.model)
    assert [(["local", "claude"], "no machine offers local")] == reroutes(task)


@in_database
def test_waiting_for_a_busy_machine_is_not_in_vain() -> None:
    cast.agent(offers=[LOCAL])
    cast.assigned(words())
    claude = cast.agent(offers=[CLAUDE])
    task = words()

    assert 0 == wait_in_vain(100 * WAIT)
    assert ["local"] == grades_of(task)
    assert not Attempt.objects.filter(agent=claude).exists()


@in_database
def test_a_machine_that_is_gone_for_a_moment_sends_no_old_task_onwards() -> None:
    ada = cast.agent(offers=[LOCAL])
    cast.assigned(words())
    task = words()
    pass_by(100 * WAIT)
    assert ada.connection is not None
    presence.leave(ada, ada.connection)
    assert 0 == sweep().widened

    cast.connect(ada, offers=[LOCAL])
    pass_by(WAIT)
    assert 0 == sweep().widened

    presence.leave(ada, str(cast.fresh(ada).connection))
    assert 0 == wait_in_vain(WAIT - 10)  # counted anew
    pass_by(10)
    assert 1 == sweep().widened
    assert ["local", "claude"] == grades_of(task)


@in_database
def test_a_need_that_nobody_has_any_more_is_not_in_vain() -> None:
    first = words()
    assert 0 == wait_in_vain(WAIT - 10)
    Task.objects.filter(pk=first.pk).update(demand=None)
    sweep()

    assert not Demand.objects.filter(in_vain_since__isnull=False).exists()


@in_database
def test_a_paused_machine_is_waited_for_in_vain_but_has_its_preference_when_it_is_back() -> None:
    ada = cast.agent(offers=[LOCAL])
    presence.pause(ada, by="tests")
    task = words()
    assert 1 == wait_in_vain()
    assert ["local", "claude"] == grades_of(task)

    cast.agent(offers=[CLAUDE])
    Agent.objects.filter(pk=ada.pk).update(last_assigned_at=cast.fresh(ada).connected_at)
    presence.resume(ada, by="tests")

    assert ada.pk == cast.assigned(task).agent_id


@in_database
@pytest.mark.parametrize(
    ("facts", "wanted"),
    [({}, {"capabilities": ["gpu"]}), ({"sandbox": "none"}, {}), ({"offers": [HOUSE]}, {}), ({"offers": []}, {})],
)
def test_a_machine_that_could_not_do_it_anyway_holds_nothing_back(
    facts: dict[str, Any], wanted: dict[str, Any]
) -> None:
    cast.agent(**{"offers": [LOCAL], **facts})
    task = words(**wanted)

    assert 1 == wait_in_vain()
    assert ["local", "claude"] == grades_of(task)


@in_database
def test_every_grade_gets_its_turn_and_the_end_of_the_chain_is_the_end() -> None:
    change("standard", ["local", "house", "claude"], WAIT, by="tests")
    task = words()

    assert 1 == wait_in_vain()
    assert 1 == wait_in_vain()
    assert 0 == wait_in_vain(100 * WAIT)
    assert [
        (["local", "house"], "no machine offers local"),
        (["local", "house", "claude"], "no machine offers local or house"),
    ] == reroutes(task)
    assert not sweep()
    says(task, "No agent is connected.")


@in_database
def test_who_comes_into_a_line_that_is_in_vain_still_waits_a_turn() -> None:
    words()
    assert 0 == wait_in_vain(WAIT - 10)
    late = words()
    pass_by(10)

    assert 1 == sweep().widened
    assert ["local"] == grades_of(late)
    pass_by(WAIT - 10)
    assert 1 == sweep().widened
    assert ["local", "claude"] == grades_of(late)


@in_database
def test_who_comes_late_gets_a_turn_for_each_grade_though_others_have_long_waited_for_them() -> None:
    change("standard", ["local", "house", "claude"], WAIT, by="tests")
    change("trivial", ["local", "house"], WAIT, by="tests")
    words("trivial")
    assert 1 == wait_in_vain()  # and stays where it is, in vain, at the end of its chain
    assert 0 == wait_in_vain(10 * WAIT)
    late = words()
    assert 1 == wait_in_vain()

    assert 0 == sweep().widened
    assert ["local", "house"] == grades_of(late)
    pass_by(WAIT)
    assert 1 == sweep().widened


@in_database
def test_only_tasks_in_words_move_on() -> None:
    words()
    command, checked = cast.queued_task(), cast.queued_task(command="", work="verification", commit="c" * 40)

    assert 1 == wait_in_vain()
    assert ([], []) == (grades_of(command), grades_of(checked))


@in_database
def test_a_task_of_before_there_were_grades_is_given_one() -> None:
    task = words()
    Demand.objects.update(grades=[])
    Task.objects.update(grades=[])

    assert 1 == wait_in_vain()
    assert [(["local"], "it had no grade yet")] == reroutes(task)


@in_database
def test_what_has_reached_its_end_does_not_stand_in_the_way_of_what_has_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fallback, "AT_ONCE", 1)
    change("trivial", ["local"], WAIT, by="tests")
    ended, task = words("trivial"), words("standard")

    assert 1 == wait_in_vain()
    assert (["local"], ["local", "claude"]) == (grades_of(ended), grades_of(task))


@in_database
def test_a_sweep_asks_the_database_as_often_for_many_that_wait_in_vain_as_for_one() -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            assert 0 == fallback.widen()
        return len(seen)

    pattern = cast.fresh(words())
    assert 0 == sweep().widened
    few = queries()
    fields = [field.attname for field in Task._meta.concrete_fields if field.name != "id"]
    Task.objects.bulk_create([Task(**{name: getattr(pattern, name) for name in fields}) for _ in range(500)])

    assert few == queries()
    for tier in TIERS:
        change(tier, ["local"], 1, by="tests")  # and all of them have come to the end of their chain
    pass_by(WAIT)
    assert few > queries()


@in_database
def test_a_hub_without_tasks_in_words_is_asked_next_to_nothing() -> None:
    cast.agent(offers=[LOCAL])
    cast.queued_task()
    with CaptureQueriesContext(connection) as seen:
        assert 0 == fallback.widen()

    assert all(query["sql"].startswith("SELECT") for query in seen.captured_queries)
    assert 2 == len(seen)


@in_database
def test_a_wait_that_was_changed_is_obeyed_by_the_next_sweep() -> None:
    task = words()
    assert 0 == wait_in_vain(WAIT - 10)
    change("standard", ["local", "house"], WAIT - 20, by="tests")

    assert 1 == sweep().widened
    assert ["local", "house"] == grades_of(task)


@in_database
def test_a_grade_that_was_put_before_the_others_is_found_by_what_waits_already() -> None:
    change("standard", ["claude"], WAIT, by="tests")
    task = words()
    assert 0 == wait_in_vain(10 * WAIT)
    change("standard", ["local", "claude"], WAIT, by="tests")

    assert 1 == sweep().widened
    assert ["claude", "local"] == grades_of(task)


@in_database
def test_who_comes_too_late_to_widen_a_task_changes_nothing() -> None:
    early = late = Task.objects.get(pk=words().pk)
    late = Task.objects.get(pk=early.pk)

    assert 1 == fallback._widen(early, ["local", "claude"])
    assert 0 == fallback._widen(late, ["local", "claude"])
    assert [(["local", "claude"], "no machine offers local")] == reroutes(early)


@in_database
def test_a_task_that_was_taken_in_this_moment_is_not_widened() -> None:
    cast.agent(offers=[LOCAL])
    task = Task.objects.get(pk=words().pk)
    cast.assigned(task)

    assert 0 == fallback._widen(task, ["local", "claude"])
    assert ["local"] == grades_of(task)


@in_database
def test_a_preferred_grade_is_found_among_many_idle_machines() -> None:
    for _ in range(FIRST_LOOK):
        cast.agent(offers=[CLAUDE])
    ada = cast.agent(offers=[LOCAL])
    task = words()
    Task.objects.filter(pk=task.pk).update(grades=["local", "claude"], demand=None)
    Task.objects.filter(pk=task.pk).update(demand=demand_of(cast.fresh(task)))

    assert ada.pk == cast.assigned(task).agent_id


# --- not able to ------------------------------------------------------------------------------------------------------


def fail(task: Task, blame: str = "capability", reports: Any = ()) -> Attempt:
    """The open attempt at `task` ends without success, for which `blame` is given."""
    attempt = Attempt.objects.open().get(task=task)
    attempts.fail(cast.fence(attempt), "stuck", "It went round in circles.", {"blame": blame}, reports)
    return cast.fresh(attempt)


@in_database
def test_who_was_not_able_to_is_followed_by_the_next_grade_alone() -> None:
    ada = cast.agent(offers=[LOCAL])
    task = words()
    first = cast.working(task)
    fail(task)

    assert [(["claude"], "local was not able to do it")] == reroutes(task)
    cast.rest(task)
    sweep()
    assert TaskStatus.QUEUED == cast.status_of(task)  # ada has only what was not able to

    claude = cast.agent(offers=[LOCAL, CLAUDE])
    second = cast.assigned(task)
    assert (ada.pk, claude.pk) == (first.agent_id, second.agent_id)
    assert ("claude", 2) == (second.grade, second.generation)


@in_database
@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        (fail, Outcome.FAILED),
        (lambda task: fail(task, blame=""), Outcome.FAILED),
        (lambda task: fail(task, reports=[cast.report([cast.CHECK], "fail")]), Outcome.UNVERIFIED),
        (
            lambda task: attempts.complete(
                cast.fence(Attempt.objects.open().get(task=task)), {}, [cast.report([cast.CHECK], "fail")]
            ),
            Outcome.UNVERIFIED,
        ),
    ],
)
def test_a_failure_and_a_work_that_does_not_pass_its_checks_both_move_it_on(how: Any, outcome: Outcome) -> None:
    cast.agent(offers=[LOCAL])
    task = words(checks=[cast.CHECK])
    attempt = cast.working(task)
    how(task)

    assert outcome == cast.outcome_of(attempt)
    assert (["claude"], 1) == (grades_of(task), cast.fresh(task).failures)


@in_database
def test_a_fault_of_the_endpoint_waits_where_it_is() -> None:
    cast.agent(offers=[LOCAL])
    task = words()
    cast.working(task)
    fail(task, "infrastructure")

    assert (["local"], []) == (grades_of(task), reroutes(task))


@in_database
def test_a_model_that_is_missing_or_barred_lets_the_next_grade_have_it() -> None:
    cast.agent(offers=[LOCAL])
    task = words()
    cast.working(task)
    fail(task, "setup")

    assert ["claude"] == grades_of(task)


@in_database
@pytest.mark.parametrize("end", ["release", "reclaim", "lost"])
def test_work_that_was_handed_back_or_lost_stays_with_its_grade(end: str) -> None:
    cast.agent(offers=[LOCAL])
    task = words()
    fence = cast.fence(cast.working(task))
    if end == "reclaim":
        attempts.reclaim(fence, "silent", only_lapsed=False)
    else:
        attempts.release(fence, "drained" if end == "release" else "sidecar_restarted", "")

    assert (["local"], []) == (grades_of(task), reroutes(task))


@in_database
def test_a_command_that_fails_has_no_grades_to_go_through() -> None:
    cast.agent(offers=[LOCAL])
    task = cast.queued_task()
    cast.working(task)
    fail(task)

    assert ([], []) == (grades_of(task), reroutes(task))


@in_database
def test_it_is_the_grade_that_was_used_behind_which_the_next_one_stands() -> None:
    change("standard", ["local", "house", "claude"], WAIT, by="tests")
    task = words()
    assert 1 == wait_in_vain()
    cast.agent(offers=[HOUSE])
    cast.working(task)
    fail(task)

    assert (["local", "house"], ["claude"]) == (reroutes(task)[0][0], grades_of(task))


@in_database
def test_at_the_end_of_the_chain_the_last_grade_tries_again_until_no_attempts_are_left() -> None:
    cast.agent(offers=[CLAUDE])
    change("standard", ["claude"], WAIT, by="tests")
    task = words(max_attempts=2)
    for _ in range(2):
        cast.rest(task)
        sweep()
        fail(task)

    assert (TaskStatus.DEAD, ["claude"], []) == (cast.status_of(task), grades_of(task), reroutes(task))


@in_database
def test_a_chain_that_was_changed_is_obeyed_by_the_next_failure() -> None:
    cast.agent(offers=[LOCAL])
    task = words()
    cast.working(task)
    change("standard", ["local", "house"], WAIT, by="tests")
    fail(task)

    assert ["house"] == grades_of(task)


@in_database
def test_without_the_stronger_model_the_weaker_one_tries_again_after_the_wait() -> None:
    ada = cast.agent(offers=[LOCAL])
    task = words()
    cast.working(task)
    fail(task)
    cast.rest(task)
    nobody = f"No connected agent fits: {ada.name} offers no claude model."
    assert 0 == sweep().widened
    says(task, nobody)

    pass_by(WAIT)
    done = sweep()

    assert (1, 1) == (done.widened, done.matched)
    assert ("local", 2) == (Attempt.objects.open().get(task=task).grade, cast.fresh(task).generation)


@in_database
def test_a_task_that_is_taken_out_of_the_dead_letter_goes_on_behind_the_grade_that_failed() -> None:
    cast.agent(offers=[LOCAL])
    task = words(max_attempts=1)
    cast.working(task)
    fail(task)
    assert TaskStatus.DEAD == cast.status_of(task)
    revive(cast.fresh(task), by="tests")

    assert 0 == match()
    claude = cast.agent(offers=[CLAUDE])
    assert claude.pk == cast.assigned(task).agent_id


# --- not to be paid ---------------------------------------------------------------------------------------------------

UNPRICED = {**CLAUDE, "model": "of-tomorrow"}


@in_database
def test_a_model_that_cannot_be_paid_makes_room_for_the_next_grade() -> None:
    cast.agent(offers=[UNPRICED])
    ada = cast.agent(offers=[LOCAL])
    task = words("complex")

    assert ("local", ada.pk) == (cast.assigned(task).grade, cast.assigned(task).agent_id)
    assert [["local"]] == [grades for grades, _ in reroutes(task)]
    assert 0 == cast.fresh(task).failures


@in_database
def test_at_the_end_of_the_chain_what_cannot_be_paid_rests_and_goes_nowhere() -> None:
    change("complex", ["claude"], WAIT, by="tests")
    cast.agent("ada", offers=[UNPRICED])
    task = words("complex")
    for _ in range(2):
        cast.rest(task)
        assert 0 == sweep().matched

    assert (["claude"], []) == (grades_of(task), reroutes(task))
    assert (TaskStatus.QUEUED, None) == (cast.status_of(task), cast.fresh(task).demand_id)
    assert "of-tomorrow" in why(cast.fresh(task))


# --- at the same moment -----------------------------------------------------------------------------------------------


@pytest.fixture
def crew(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """Two sweepers; a test of real transactions before may have emptied what migrations put in."""
    monkeypatch.setattr(hints, "send", lambda _: None)
    monkeypatch.setattr(wake, "_match", lambda: None)
    prices.load()
    for tier in TIERS:
        RoutingRule.objects.get_or_create(tier=tier, defaults={"chain": ["local", "house", "claude"]})
    found = Crew(2)
    yield found
    found.dismiss()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_let_every_task_move_on_once(crew: Crew) -> None:
    change("standard", ["local", "house", "claude"], WAIT, by="tests")
    tasks = [words() for _ in range(20)]
    words(capabilities=["gpu"])
    crew.do([sweep, sweep])
    pass_by(WAIT)
    crew.do([sweep, sweep])

    assert [[(["local", "house"], "no machine offers local")]] * len(tasks) == [reroutes(task) for task in tasks]
    assert 1 == Demand.objects.filter(grades=["local", "house"], capabilities=[]).count()
