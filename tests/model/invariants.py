"""What must be true of the queue whenever no transaction is open, as SQL that SQLite and PostgreSQL both understand.

Each invariant is a sentence and a query for the rows that break it. `broken()` asks them all in one statement; the
model test calls it after every step, and a test that kills processes may call it whenever it likes. The ids (I1, …) are
those of `docs/queue.md`.
"""
# ruff: noqa: S608  the queries are put together from constants of this file

from __future__ import annotations

from typing import Any, Protocol

HELD = "'assigned', 'working', 'blocked'"
FINAL = "'completed', 'dead', 'cancelled'"


class Connection(Protocol):
    """Django's connection, or anything whose cursors run SQL."""

    def cursor(self) -> Any: ...


def _subject(pk: str) -> str:
    return f"'task/' || CAST({pk} AS TEXT)"


def _count(kind: str, task: str = "t.id") -> str:
    return f"(SELECT COUNT(*) FROM events_event e WHERE e.subject = {_subject(task)} AND e.kind = '{kind}')"


def _ended(*outcomes: str) -> str:
    listed = ", ".join(f"'{outcome}'" for outcome in outcomes)
    return f"(SELECT COUNT(*) FROM tasks_attempt a WHERE a.task_id = t.id AND a.outcome IN ({listed}))"


UNMET = (
    "EXISTS (SELECT 1 FROM tasks_dependency d JOIN tasks_task p ON p.id = d.prerequisite_id"
    " WHERE d.task_id = t.id AND p.status <> 'completed')"
)
LOST = (
    "EXISTS (SELECT 1 FROM tasks_dependency d JOIN tasks_task p ON p.id = d.prerequisite_id"
    " WHERE d.task_id = t.id AND p.status IN ('dead', 'cancelled'))"
)
OPEN = "EXISTS (SELECT 1 FROM tasks_attempt a WHERE a.task_id = t.id AND a.ended_at IS NULL)"
ANNOTATIONS = "'task.stranded', 'task.unstranded', 'task.salvaged'"
"""Events about a task that move it nowhere."""

STATUS_AFTER = {
    "task.submitted": ("queued", "waiting"),
    "task.ready": ("queued",),
    "task.waiting": ("waiting",),
    "task.assigned": ("assigned",),
    "task.accepted": ("working",),
    "task.blocked": ("blocked",),
    "task.unblocked": ("working",),
    "task.completed": ("completed",),
    "task.retried": ("queued",),
    "task.reclaimed": ("queued",),
    "task.released": ("queued",),
    "task.buried": ("dead",),
    "task.cancelled": ("cancelled",),
    "task.revived": ("queued", "waiting"),
}
"""Where a task stands after the last thing that happened to it."""


def _told_otherwise() -> str:
    arms = " OR ".join(
        f"(e.kind = '{kind}' AND t.status IN ({', '.join(repr(status) for status in statuses)}))"
        for kind, statuses in STATUS_AFTER.items()
    )
    last = (
        f"(SELECT MAX(x.id) FROM events_event x WHERE x.subject = {_subject('t.id')} AND x.kind NOT IN ({ANNOTATIONS}))"
    )
    return f"SELECT t.id FROM tasks_task t LEFT JOIN events_event e ON e.id = {last} WHERE e.id IS NULL OR NOT ({arms})"


INVARIANTS: dict[str, str] = {
    "I1: a task is in exactly one known status": (
        f"SELECT t.id FROM tasks_task t WHERE t.status NOT IN ('waiting', 'queued', {HELD}, {FINAL})"
    ),
    "I1: a task was submitted once": f"SELECT t.id FROM tasks_task t WHERE {_count('task.submitted')} <> 1",
    "I1: a queued task is in a demand, or rests until a set time, and not both": (
        "SELECT t.id FROM tasks_task t WHERE t.status = 'queued' AND"
        " (CASE WHEN t.demand_id IS NULL THEN 0 ELSE 1 END) + (CASE WHEN t.not_before IS NULL THEN 0 ELSE 1 END) <> 1"
    ),
    "I1: only a queued task is in a demand or rests": (
        "SELECT t.id FROM tasks_task t"
        " WHERE t.status <> 'queued' AND (t.demand_id IS NOT NULL OR t.not_before IS NOT NULL)"
    ),
    "I1: a task stands in a demand that asks what it asks": (
        "SELECT t.id FROM tasks_task t JOIN tasks_demand m ON m.id = t.demand_id WHERE t.executor <> m.executor"
        " OR COALESCE(t.repo_id, 0) <> COALESCE(m.repo_id, 0)"
        " OR COALESCE(t.target_id, 0) <> COALESCE(m.target_id, 0)"
        " OR COALESCE(t.avoid_id, 0) <> COALESCE(m.avoid_id, 0)"
    ),
    "I1: finished_at is set exactly when the status is final": (
        f"SELECT t.id FROM tasks_task t WHERE (t.status IN ({FINAL})) <> (t.finished_at IS NOT NULL)"
    ),
    "I2: a task has at most one open attempt": (
        "SELECT a.task_id AS id FROM tasks_attempt a WHERE a.ended_at IS NULL GROUP BY a.task_id HAVING COUNT(*) > 1"
    ),
    "I2: a task is held exactly when it has an open attempt": (
        f"SELECT t.id FROM tasks_task t WHERE (t.status IN ({HELD})) <> ({OPEN})"
    ),
    "I2: an attempt is open exactly until it has ended": (
        "SELECT a.id FROM tasks_attempt a WHERE (a.outcome = 'open') <> (a.ended_at IS NULL)"
    ),
    "I3: a task's generation is the number of its attempts and the last one's": (
        "SELECT t.id FROM tasks_task t WHERE t.generation <>"
        " (SELECT COUNT(*) FROM tasks_attempt a WHERE a.task_id = t.id) OR t.generation <>"
        " COALESCE((SELECT MAX(a.generation) FROM tasks_attempt a WHERE a.task_id = t.id), 0)"
    ),
    "I3: a later attempt has a higher generation": (
        "SELECT b.id FROM tasks_attempt a JOIN tasks_attempt b ON b.task_id = a.task_id AND b.id > a.id"
        " WHERE b.generation <= a.generation"
    ),
    "I3: only the last attempt of a task is open": (
        "SELECT a.id FROM tasks_attempt a JOIN tasks_task t ON t.id = a.task_id"
        " WHERE a.ended_at IS NULL AND a.generation <> t.generation"
    ),
    "I4: a completed task has one accepted result, of its last attempt, and no other task has any": (
        "SELECT t.id FROM tasks_task t WHERE (CASE WHEN t.status = 'completed' THEN 1 ELSE 0 END) <>"
        f" {_ended('succeeded')} OR EXISTS (SELECT 1 FROM tasks_attempt a WHERE a.task_id = t.id"
        " AND a.outcome = 'succeeded' AND a.generation <> t.generation)"
    ),
    "I4: a task is completed once": (
        "SELECT t.id FROM tasks_task t WHERE (CASE WHEN t.status = 'completed' THEN 1 ELSE 0 END) <>"
        f" {_count('task.completed')}"
    ),
    "I5: nothing moves a task that was completed or cancelled": (
        "SELECT f.id FROM events_event f JOIN events_event e ON e.subject = f.subject AND e.id > f.id"
        f" WHERE f.kind IN ('task.completed', 'task.cancelled') AND e.kind NOT IN ({ANNOTATIONS})"
    ),
    "I5: only an operator takes a task out of the dead letter": (
        "SELECT f.id FROM events_event f JOIN events_event e ON e.subject = f.subject AND e.id ="
        " (SELECT MIN(x.id) FROM events_event x WHERE x.subject = f.subject AND x.id > f.id"
        f" AND x.kind NOT IN ({ANNOTATIONS})) WHERE f.kind = 'task.buried' AND e.kind <> 'task.revived'"
    ),
    "I6: failures are counted, and no attempt begins when none is left": (
        f"SELECT t.id FROM tasks_task t WHERE t.failures > {_ended('failed', 'unverified')}"
        f" OR ({_count('task.revived')} = 0 AND t.failures <> {_ended('failed', 'unverified')})"
        f" OR t.failures > t.max_attempts OR (t.status NOT IN ({FINAL}) AND t.failures >= t.max_attempts)"
    ),
    "I6: reclaims are counted apart from failures, and have a limit too": (
        f"SELECT t.id FROM tasks_task t WHERE t.reclaims > {_ended('reclaimed')}"
        f" OR ({_count('task.revived')} = 0 AND t.reclaims <> {_ended('reclaimed')})"
        f" OR (t.status NOT IN ({FINAL}) AND t.reclaims > {{max_reclaims}})"
    ),
    "I6: a task has no more attempts than it may fail, be reclaimed, be handed back and be revived": (
        "SELECT t.id FROM tasks_task t WHERE t.generation >"
        f" t.max_attempts * (1 + {_count('task.revived')}) + {_ended('reclaimed', 'released', 'cancelled')}"
    ),
    "I10: no task is queued, held or completed before everything it waits for is completed": (
        f"SELECT t.id FROM tasks_task t WHERE t.status IN ('queued', {HELD}, 'completed') AND {UNMET}"
    ),
    "I10: a waiting task waits for something": (
        f"SELECT t.id FROM tasks_task t WHERE t.status = 'waiting' AND NOT {UNMET}"
    ),
    "I10: a task is stranded exactly when it waits for one that will not be completed": (
        "SELECT t.id FROM tasks_task t WHERE (CASE WHEN t.stranded THEN 1 ELSE 0 END) <>"
        f" (CASE WHEN t.status = 'waiting' AND {LOST} THEN 1 ELSE 0 END)"
    ),
    "I10: no task waits for itself": (
        "SELECT r.task AS id FROM (WITH RECURSIVE reach(task, goal) AS ("
        "SELECT task_id, prerequisite_id FROM tasks_dependency UNION SELECT reach.task, d.prerequisite_id"
        " FROM reach JOIN tasks_dependency d ON d.task_id = reach.goal) SELECT task, goal FROM reach) r"
        " WHERE r.task = r.goal"
    ),
    "I13: a task stands where the last thing that happened to it left it": _told_otherwise(),
    "I13: every attempt was announced": (
        f"SELECT t.id FROM tasks_task t WHERE t.generation <> {_count('task.assigned')}"
    ),
    "I14: an agent holds at most one task": (
        "SELECT a.agent_id AS id FROM tasks_attempt a WHERE a.ended_at IS NULL GROUP BY a.agent_id HAVING COUNT(*) > 1"
    ),
    "I14: a repository runs no more tasks than it may": (
        "SELECT r.id FROM repos_repo r WHERE r.max_running IS NOT NULL AND r.max_running <"
        " (SELECT COUNT(*) FROM tasks_attempt a WHERE a.repo_id = r.id AND a.ended_at IS NULL)"
    ),
}


def broken(connection: Connection, *, max_reclaims: int) -> list[str]:
    """The sentences that do not hold, each with up to five rows that break it.

    A limit lowered while more than that is running breaks "a repository runs no more tasks than it may" rightly and for
    a while; callers that lower limits leave room for what runs.
    """
    arms = " UNION ALL ".join(
        f"SELECT {number}, id FROM ({query} LIMIT 5) n{number}" for number, query in enumerate(INVARIANTS.values())
    )
    found: dict[int, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(arms.replace("{max_reclaims}", str(int(max_reclaims))))
        for number, row in cursor.fetchall():
            found.setdefault(number, []).append(row)
    sentences = list(INVARIANTS)
    return [f"{sentences[number]}: broken by {sorted(rows)}" for number, rows in sorted(found.items())]
