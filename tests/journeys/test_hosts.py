"""Walks A and B with the hub and two sidecars on hosts of their own, and cables between them that are cut."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.ops import valkey
from tests.hub import Hub, eventually, hub_at
from tests.journey import MARK, Upstream, events, git, holder, outcomes, running_marks, slow
from tests.net import Net, net
from tests.sidecars import Sidecar, sidecars

pytestmark = [
    pytest.mark.netns,
    pytest.mark.redis,
    pytest.mark.bwrap,
    pytest.mark.journey,
    pytest.mark.timeout(240),
]
LEASE = 20


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {f"AGENTCOM_LEASE_{stage}_SECONDS": str(LEASE) for stage in ("ASSIGNED", "WORKING", "BLOCKED")}


@pytest.fixture(scope="module")
def hosts() -> Iterator[Net]:
    with net("hub", "ada", "bob") as made:
        yield made


@pytest.fixture(scope="module")
def hub(hosts: Net, base: Path, hints: list[valkey.Embedded], settings: dict[str, str]) -> Iterator[Hub]:
    data = base / "hub"
    data.mkdir()
    where = {"host": hosts.address("hub"), "prefix": hosts.prefix("hub")}
    with hub_at(data, hints[-1].url, clusters=True, env=settings, **where) as running:
        yield running


@pytest.fixture(scope="module")
def machines(hosts: Net, hub: Hub, base: Path) -> Iterator[list[Sidecar]]:
    with sidecars(hub, base, "ada", "bob", prefixes=[hosts.prefix("ada"), hosts.prefix("bob")]) as running:
        yield running


def test_a_task_becomes_a_merged_pull_request_across_hosts(hub: Hub, crew: list[Sidecar], upstream: Upstream) -> None:
    task = upstream.fix()
    hub.await_status(task, "completed", within=60)
    pull = upstream.verified_pull()
    evidence = hub.get(f"/api/pulls/{pull['id']}/evidence")
    hub.post(f"/api/pulls/{pull['id']}/approve")
    hub.post(f"/api/pulls/{pull['id']}/merge")

    assert evidence["verification"]["independent"]
    assert "return a+b" in (upstream.path / "calc.py").read_text()


def test_work_that_ends_while_the_link_is_cut_is_delivered_once_by_the_same_attempt(
    hosts: Net, hub: Hub, crew: list[Sidecar]
) -> None:
    task = slow(hub, 4)
    worker, _ = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    hosts.cut(worker.name)
    try:
        eventually(lambda: not running_marks(), what="the work's end behind the cut")
        assert hub.task(task)["status"] == "working"
    finally:
        hosts.mend(worker.name)
    hub.await_status(task, "completed", within=60)

    assert outcomes(hub, task) == ["succeeded"]
    assert events(hub, task).count("task.completed") == 1


def test_a_cut_longer_than_the_lease_gives_the_work_to_the_other_and_saves_what_the_late_one_had(
    hosts: Net, hub: Hub, crew: list[Sidecar], upstream: Upstream
) -> None:
    ends = int(time.time()) + LEASE + 8
    waits = f"until [ $(date +%s) -ge {ends} ]; do sleep 0.2; done"
    task = hub.submit(title="Note", repo=upstream.slug, command=f"echo $$ > note.txt; {waits} # {MARK}")
    late, other = holder(hub, task, crew)
    eventually(running_marks, what="the command")
    hosts.cut(late.name)
    try:
        eventually(lambda: "lease_lost" in late.log(), within=60, what="the late one stopping by itself")
        hub.await_status(task, "completed", within=120)
        first, second = hub.task(task)["attempts"]
        assert (first["outcome"], first["salvage_ref"]) == ("reclaimed", "")
        assert (second["outcome"], second["agent"]) == ("succeeded", other.name)
    finally:
        hosts.mend(late.name)
    eventually(lambda: hub.task(task)["attempts"][0]["salvage_ref"], within=90, what="salvage after the cut")
    eventually(upstream.pulls, what="the pull request")
    first, second = hub.task(task)["attempts"]

    assert [first["outcome"], second["outcome"]] == ["reclaimed", "succeeded"]
    assert events(hub, task).count("task.completed") == 1
    assert "note.txt" in git(upstream.mirror, "ls-tree", "--name-only", first["salvage_ref"])
    assert len(upstream.pulls()) == 1
