"""`make bench`: how fast the hub is, on SQLite and on PostgreSQL + Redis, beside the limit measured in the same run.

Real processes on loopback: the hub's web process(es) on one side, simulated sidecars and raw HTTP posts on the other,
on the same cores. Several runs; medians, with the least and the most. See docs/bench.md.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from apps.ops import valkey
from tests.bench import load, raw
from tests.hub import Hub, eventually, free_port

AGENTS = 20
QUIET = {
    "AGENTCOM_HEARTBEAT_SECONDS": "5",
    "AGENTCOM_IDLE_HEARTBEAT_SECONDS": "20",
    "AGENTCOM_SWEEP_SECONDS": "2",
    "AGENTCOM_LOG_LEVEL": "WARNING",
    **{f"AGENTCOM_LEASE_{stage}_SECONDS": "20" for stage in ("ASSIGNED", "WORKING", "BLOCKED")},
}
POSTGRES = os.environ.get("BENCH_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres")


def say(name: str, values: Sequence[float], unit: str, note: str = "") -> float:
    """One line of the table; the median."""
    middle = statistics.median(values)
    print(f"  {name:<52} {middle:8.1f} {unit:<6} ({min(values):.1f} to {max(values):.1f})  {note}", flush=True)
    return middle


@contextmanager
def hub_on(kind: str, redis_url: str, webs: int = 1) -> Iterator[tuple[Hub, list[int], dict[str, str]]]:
    """A fresh hub with `webs` web processes and twenty agents; its ports and the agents' tokens."""
    with tempfile.TemporaryDirectory() as directory, database(kind) as url:
        hub = Hub(Path(directory), redis_url, env={**QUIET, **({"DATABASE_URL": url} if url else {})}).prepare()
        names = [f"bench-{n}" for n in range(AGENTS)]
        agents = dict(zip(names, hub.agents(*names), strict=True))
        hub.start()
        ports = [hub.port]
        for _ in range(webs - 1):
            ports.append(free_port())
            hub._spawn(f"web{ports[-1]}", "web", "--port", str(ports[-1]))
            eventually(functools.partial(_listens, ports[-1]), what="another web process")
        try:
            yield hub, ports, agents
        finally:
            hub.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def database(kind: str) -> Iterator[str]:
    """A database of its own on the PostgreSQL server, dropped at the end; nothing for SQLite."""
    if kind == "sqlite":
        yield ""
        return
    name = f"agentcom_bench_{os.getpid()}_{time.monotonic_ns()}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield POSTGRES.rsplit("/", 1)[0] + f"/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kilobytes(pid: int) -> int:
    line = next(one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1])


def measure(kind: str, redis_url: str, options: argparse.Namespace) -> None:
    """Every figure on one kind of database."""
    print(f"\n{kind}", flush=True)
    limit = raw_limit(kind)
    with hub_on(kind, redis_url) as (hub, ports, agents):
        run = runner(hub, ports, agents, options)
        latency(hub, agents, options)
        empty = say("lifecycles, 20 agents, one web process", run(), "/s")
        print(f"  {'':<52} {empty / limit:8.2f} of the bare driver's {limit:.0f}/s")
        for what, seeding in (("100,000 finished", "past"), ("100,000 queued behind", "backlog")):
            hub.shell(f"from tests.bench import seed; seed.{seeding}({options.backlog}); print('ok')")
            found = say(f"the same with {what.replace('100,000', f'{options.backlog:,}')}", run(), "/s")
            print(f"  {'':<52} {empty / found:8.2f} times slower than empty")
    if kind == "postgres":
        with hub_on(kind, redis_url, webs=2) as (hub, ports, agents):
            say("lifecycles, 20 agents, two web processes", runner(hub, ports, agents, options)(), "/s")
    idle(kind, redis_url, options)


def runner(
    hub: Hub, ports: list[int], agents: dict[str, str], options: argparse.Namespace
) -> Callable[[], list[float]]:
    def run() -> list[float]:
        return [
            asyncio.run(load.lifecycles("127.0.0.1", ports, agents, hub._token, options.tasks, lane="urgent"))
            for _ in range(options.runs)
        ]

    return run


def raw_limit(kind: str) -> float:
    if kind == "postgres":
        return raw.postgres(POSTGRES, 3)
    with tempfile.TemporaryDirectory() as directory:
        return raw.sqlite(Path(directory), 3)


def latency(hub: Hub, agents: dict[str, str], options: argparse.Namespace) -> None:
    """From just before the POST until `task.assign` is at an idle agent."""
    one = next(iter(agents.items()))
    runs = [
        sorted(asyncio.run(load.latencies("127.0.0.1", hub.port, one, hub._token, options.posts)))
        for _ in range(options.runs)
    ]
    say("POST to task.assign at an idle agent, p50", [run[len(run) // 2] for run in runs], "ms")
    say("POST to task.assign at an idle agent, p99", [run[int(len(run) * 0.99)] for run in runs], "ms")


def idle(kind: str, redis_url: str, options: argparse.Namespace) -> None:
    """What sidecars cost that do nothing."""
    with hub_on(kind, redis_url) as (hub, ports, _):
        names = [f"idle-{n}" for n in range(options.idle)]
        crew = dict(zip(names, hub.agents(*names), strict=True))
        pid = hub._processes["web"].pid
        before, settle, watch = resident_kilobytes(pid), 30.0, 30.0

        async def observe() -> tuple[float, int]:
            sitting = asyncio.create_task(load.idle("127.0.0.1", ports[0], crew, settle + watch + 5))
            await asyncio.sleep(settle)
            used = cpu_seconds(pid)
            await asyncio.sleep(watch)
            found = (cpu_seconds(pid) - used) / watch * 100, resident_kilobytes(pid)
            sitting.cancel()
            await asyncio.gather(sitting, return_exceptions=True)
            return found

        share, after = asyncio.run(observe())
        say(f"{options.idle:,} idle sidecars: share of a core", [share], "%")
        say(f"{options.idle:,} idle sidecars: memory each", [(after - before) / options.idle], "kB")


def sandbox_start(options: argparse.Namespace) -> None:
    """What confining one command costs, beside the same command unconfined."""
    from sidecar.sandbox import detect, run

    if detect().name != "bubblewrap":
        print("\nsandbox\n  bubblewrap does not work here; nothing to measure")
        return

    async def times() -> tuple[list[float], list[float]]:
        confined, bare = [], []
        with tempfile.TemporaryDirectory() as directory:
            for _ in range(options.starts):
                started = time.perf_counter()
                await run(["/bin/true"], tree=Path(directory))
                confined.append((time.perf_counter() - started) * 1000)
                started = time.perf_counter()
                await (await asyncio.create_subprocess_exec("/bin/true")).wait()
                bare.append((time.perf_counter() - started) * 1000)
        return confined, bare

    confined, bare = asyncio.run(times())
    print("\nsandbox")
    middle = say("one confined command", confined, "ms")
    print(f"  {'':<52} {middle - statistics.median(bare):8.1f} ms more than unconfined")


def thinking_costs(redis_url: str, options: argparse.Namespace) -> None:
    """What the house adds around a model."""
    from tests.bench import thinking

    print("\nmodels")
    thinking.overhead()
    thinking.loop(say, steps=100, runs=options.runs)
    with hub_on("sqlite", redis_url) as (hub, _, _), tempfile.TemporaryDirectory() as directory:
        thinking.first_byte(say, hub, Path(directory), times=20)


def goal_speed(kind: str, redis_url: str, options: argparse.Namespace) -> None:
    """How soon the hub turns to goals, and what its thinking costs."""
    from tests.bench import goals

    print(f"\ngoals, {kind}", flush=True)
    with hub_on(kind, redis_url) as (hub, _, agents):
        for cluster in ("default", "thinking"):
            hub.env["Q_CLUSTER_NAME"] = cluster
            hub._spawn(f"jobs.{cluster}", "qcluster")
        goals.turning_to(say, hub, runs=options.runs, times=options.goals)
        goals.turning_to_the_end(say, hub, next(iter(agents.items())), runs=options.runs, times=options.goals)
    with hub_on(kind, redis_url) as (hub, _, _):
        long = {"goals": options.backlog, "events": options.backlog * 10}
        goals.thinking(say, hub, runs=options.runs, times=options.thoughts, **long)


def kinds() -> Iterator[str]:
    yield "sqlite"
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.OperationalError as away:
        print(f"no PostgreSQL: {str(away).splitlines()[0]}")
        return
    yield "postgres"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=2_000, help="lifecycles a run")
    parser.add_argument("--posts", type=int, default=300, help="submissions a run, one after another")
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--goals", type=int, default=15, help="goals a run, one after another")
    parser.add_argument("--thoughts", type=int, default=200, help="how often the hub thinks while it is measured")
    parser.add_argument("--only", choices=["sqlite", "postgres", "goals", "sandbox", "models"])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # its servers and databases end with it
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {options.runs} runs, median (least to most)")
    found = [options.only] if options.only in {"sqlite", "postgres"} else list(kinds())
    with tempfile.TemporaryDirectory() as directory, valkey.start(Path(directory)) as server:
        redis_url = os.environ.get("BENCH_REDIS_URL", server.url)
        for kind in found:
            if options.only in {None, kind}:
                measure(kind, redis_url, options)
            if options.only in {None, kind, "goals"}:
                goal_speed(kind, redis_url, options)
        if options.only in {None, "models"}:
            thinking_costs(server.url, options)
    if options.only in {None, "sandbox"}:
        sandbox_start(options)


if __name__ == "__main__":
    main()
