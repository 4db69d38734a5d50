"""The threads that talk to the database, and what they commit together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, connections, transaction

from apps.events.lanes import Lanes
from apps.repos.models import Repo
from apps.tasks.models import Demand

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.one_database]


@pytest.fixture
def lanes() -> Lanes:
    return Lanes("test", 1, together=True)


@asynccontextmanager
async def occupied(lanes: Lanes) -> AsyncIterator[None]:
    """Everything that is asked for inside waits, and is taken at once afterwards."""
    taken, free = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        loop.call_soon_threadsafe(taken.set)
        free.wait(10)

    first = asyncio.create_task(lanes.run(0, hold))
    await taken.wait()
    try:
        yield
        await asyncio.sleep(0)  # what was asked for as a task gets into the queue
    finally:
        free.set()
        await first


async def together(lanes: Lanes, *works: Callable[[], Any]) -> list[Any]:
    async with occupied(lanes):
        asked = [asyncio.ensure_future(lanes.share(0, work)) for work in works]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await lanes.run(0, connections.close_all)
    return answers


def add(slug: str) -> bool:
    """Whether it was added in a transaction that others are in."""
    shared = connection.in_atomic_block
    with transaction.atomic():
        Repo.objects.create(slug=slug)
    return shared


def there() -> list[str]:
    return sorted(Repo.objects.values_list("slug", flat=True))


async def slugs(lanes: Lanes) -> list[str]:
    found = await lanes.run(0, there)
    await lanes.run(0, connections.close_all)
    return found


async def test_work_that_waits_is_committed_together(lanes: Lanes) -> None:
    assert [True, True] == await together(lanes, lambda: add("one"), lambda: add("two"))
    assert ["one", "two"] == await slugs(lanes)


async def test_work_that_is_alone_has_its_own_transaction(lanes: Lanes) -> None:
    assert [False] == await together(lanes, lambda: add("one"))


async def test_work_that_does_not_share_never_does(lanes: Lanes) -> None:
    async with occupied(lanes):
        asked = [asyncio.ensure_future(lanes.run(0, add, slug)) for slug in ("one", "two")]

    assert [False, False] == await asyncio.gather(*asked)
    await lanes.run(0, connections.close_all)


async def test_who_fails_undoes_only_itself(lanes: Lanes) -> None:
    def fail() -> None:
        Repo.objects.create(slug="half")
        raise KeyError("why")

    answers = await together(lanes, lambda: add("one"), fail, lambda: add("one"), lambda: add("two"))

    assert [True, True] == [answers[0], answers[3]]
    assert (KeyError, IntegrityError) == (type(answers[1]), type(answers[2]))
    assert ["one", "two"] == await slugs(lanes)


async def test_who_swallows_an_error_of_the_database_is_not_believed(lanes: Lanes) -> None:
    def swallow() -> str:
        Repo.objects.create(slug="half")
        try:
            Repo.objects.create(slug="half")
        except IntegrityError:
            return "all is well"
        return "how?"

    answers = await together(lanes, lambda: add("one"), swallow, lambda: add("two"))

    assert isinstance(answers[1], DatabaseError)
    assert ["one", "two"] == await slugs(lanes)


async def test_nobody_is_told_of_work_that_the_commit_refused(lanes: Lanes) -> None:
    def to_nowhere() -> None:
        Demand.objects.create(key="k", executor="shell", repo_id=999)  # the database checks this when it commits

    answers = await together(lanes, lambda: add("one"), to_nowhere)

    assert [IntegrityError, IntegrityError] == [type(answer) for answer in answers]
    assert [] == await slugs(lanes)


async def test_what_follows_a_commit_follows_it_before_anybody_is_told(lanes: Lanes) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        transaction.on_commit(lambda: order.append(f"after {name}"))
        order.append(name)

    await together(lanes, lambda: work("one"), lambda: work("two"))

    assert ["one", "two", "after one", "after two"] == order


async def test_work_is_done_although_nobody_waits_any_more(lanes: Lanes) -> None:
    async with occupied(lanes):
        asked = asyncio.ensure_future(lanes.share(0, add, "one"))
        await asyncio.sleep(0)
        asked.cancel()
    await lanes.run(0, connections.close_all)

    assert ["one"] == await slugs(lanes)
