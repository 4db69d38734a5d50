"""The limit: the statements of one lifecycle by the bare driver, one connection, nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import psycopg

TASKS = (
    "CREATE TABLE raw_task (id INTEGER PRIMARY KEY, status TEXT, title TEXT, demand INTEGER, rank REAL, checks TEXT)"
)
ATTEMPTS = "CREATE TABLE raw_attempt (id INTEGER PRIMARY KEY, task INTEGER, agent INTEGER, ended TEXT, lease TEXT)"
EVENTS = "CREATE TABLE raw_event (id INTEGER PRIMARY KEY, kind TEXT, subject TEXT, data TEXT)"
INDEXES = (
    "CREATE INDEX raw_head ON raw_task (demand, rank) WHERE demand IS NOT NULL",
    "CREATE UNIQUE INDEX raw_open_task ON raw_attempt (task) WHERE ended IS NULL",
    "CREATE UNIQUE INDEX raw_open_agent ON raw_attempt (agent) WHERE ended IS NULL",
    "CREATE INDEX raw_subject ON raw_event (subject, id)",
)
SUBMIT = (
    "INSERT INTO raw_task (status, title, demand, rank, checks) VALUES ('queued', 'bench', 1, 1.0, '[]')",
    "INSERT INTO raw_event (kind, subject, data) VALUES ('submitted', 'task/1', '{{}}')",
)
ASSIGN = (
    "SELECT id FROM raw_task WHERE demand = 1 ORDER BY rank LIMIT 1",
    "UPDATE raw_task SET status = 'assigned', demand = NULL WHERE id = {task} AND status = 'queued'",
    "INSERT INTO raw_attempt (task, agent, lease) VALUES ({task}, 1, 'now')",
    "INSERT INTO raw_event (kind, subject, data) VALUES ('assigned', 'task/1', '{{}}')",
)
ACCEPT = (
    "UPDATE raw_attempt SET lease = 'later' WHERE task = {task} AND agent = 1 AND ended IS NULL",
    "UPDATE raw_task SET status = 'working' WHERE id = {task} AND status = 'assigned'",
    "INSERT INTO raw_event (kind, subject, data) VALUES ('accepted', 'task/1', '{{}}')",
)
COMPLETE = (
    "UPDATE raw_attempt SET ended = 'now' WHERE task = {task} AND agent = 1 AND ended IS NULL",
    "UPDATE raw_task SET status = 'completed' WHERE id = {task} AND status = 'working'",
    "INSERT INTO raw_event (kind, subject, data) VALUES ('completed', 'task/1', '{{}}')",
)


def sqlite(directory: Path, seconds: float) -> float:
    """Lifecycles per second on SQLite, in WAL mode, synchronous as the hub is."""
    database = sqlite3.connect(directory / "raw.sqlite3", isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;")
    for statement in (TASKS, ATTEMPTS, EVENTS, *INDEXES):
        database.execute(statement)

    def transaction(statements: tuple[str, ...], task: int) -> int:
        database.execute("BEGIN IMMEDIATE")
        ids = [database.execute(statement.format(task=task)).lastrowid for statement in statements]
        database.execute("COMMIT")
        return ids[0] or 0

    return _count(transaction, seconds)


def postgres(url: str, seconds: float) -> float:
    """The same on PostgreSQL, in a schema that is dropped again."""
    serial = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
    with psycopg.connect(url, autocommit=True) as database:
        database.execute("DROP SCHEMA IF EXISTS raw_bench CASCADE")
        database.execute("CREATE SCHEMA raw_bench")
        database.execute("SET search_path TO raw_bench")
        for statement in (TASKS, ATTEMPTS, EVENTS, *INDEXES):
            database.execute(statement.replace("INTEGER PRIMARY KEY", serial).encode())

        def transaction(statements: tuple[str, ...], task: int) -> int:
            with database.transaction():
                for statement in statements:
                    database.execute(statement.format(task=task).encode())
                if statements is SUBMIT:
                    row = database.execute("SELECT max(id) FROM raw_task").fetchone()
                    return int(row[0]) if row else 0
            return 0

        try:
            return _count(transaction, seconds)
        finally:
            database.execute("DROP SCHEMA raw_bench CASCADE")


def _count(transaction: object, seconds: float) -> float:
    assert callable(transaction)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        task = transaction(SUBMIT, 0)
        for statements in (ASSIGN, ACCEPT, COMPLETE):
            transaction(statements, task)
        done += 1
    return done / (time.perf_counter() - started)
