from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import redis
from django.db import OperationalError, transaction
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.models import OrmQ

from apps.ops import broker, valkey
from apps.ops.broker import Bell, Doorbell

FOR_EVER = 100.0  # longer than a test may take: who waits so long has failed


@pytest.fixture
def bells(redis_url: str, settings) -> redis.Redis:
    settings.REDIS_URL = redis_url
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    return client


@pytest.fixture
def no_redis(settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/valkey.sock"
    broker.bell.cache_clear()


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_when_the_job_is_committed_and_not_before(bells):
    with transaction.atomic():
        Doorbell("default").enqueue("job")

        assert 0 == bells.llen(broker.name("default"))

    assert 1 == bells.llen(broker.name("default"))


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_a_job_of_a_transaction_that_fails_is_neither_queued_nor_rung(bells):
    with transaction.atomic():
        Doorbell("default").enqueue("job")
        transaction.set_rollback(True)

    assert not OrmQ.objects.exists()
    assert 0 == bells.llen(broker.name("default"))


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_bells_do_not_pile_up_while_no_cluster_runs(bells, redis_url: str):
    for _ in range(broker.LONGEST_QUEUE_OF_BELLS * 2):
        broker.bell(redis_url).ring("default")

    assert broker.LONGEST_QUEUE_OF_BELLS + 1 == bells.llen(broker.name("default"))


@pytest.mark.redis
def test_a_waiting_cluster_hears_the_bell(redis_url: str):
    heard = threading.Event()
    listener = Bell(redis_url, longest_wait=FOR_EVER)

    def listen() -> None:
        listener.wait("hall", FOR_EVER)
        heard.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    Bell(redis_url, longest_wait=1).ring("hall")

    assert heard.wait(10)
    thread.join()


@pytest.mark.redis
def test_a_wait_that_no_bell_ends_ends_by_itself(redis_url: str):
    Bell(redis_url, longest_wait=1).wait("silence", 0.05)


@pytest.mark.redis
def test_a_bell_whose_redis_comes_back_is_rung_again(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker, "SILENCE_SECONDS", 0.0)
    bell = Bell(valkey.plan(tmp_path).url, longest_wait=1)
    bell.ring("hall")
    with valkey.start(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        assert 0 == client.llen(broker.name("hall"))

        bell.ring("hall")

        assert 1 == client.llen(broker.name("hall"))
        client.close()
    bell.ring("hall")


@pytest.mark.django_db(transaction=True)
def test_without_redis_a_job_is_queued_and_found(no_redis):
    Doorbell("default").enqueue("job")

    found = Doorbell("default").dequeue()

    assert found is not None
    assert ["job"] == [payload for _, payload in found]


@pytest.mark.django_db(transaction=True)
def test_a_commit_waits_for_an_absent_redis_once_and_then_leaves_it_alone(no_redis, monkeypatch: pytest.MonkeyPatch):
    tries: list[int] = []
    monkeypatch.setattr(redis.UnixDomainSocketConnection, "_connect", refuse(tries))

    for _ in range(5):
        Doorbell("default").enqueue("job")

    assert 1 == len(tries)
    assert 5 == OrmQ.objects.count()


def refuse(tries: list[int]):
    def connect(connection: object) -> None:
        tries.append(1)
        raise redis.ConnectionError("away")

    return connect


@pytest.mark.django_db(transaction=True)
def test_a_job_that_one_cluster_has_is_hidden_from_the_others_until_its_retry_is_due(no_redis, monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.POLL", 0.01)
    Doorbell("default").enqueue("job")

    first, second = Doorbell("default").dequeue(), Doorbell("default").dequeue()
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))  # its retry is due
    third = Doorbell("default").dequeue()

    assert first
    assert not second
    assert third == first


@pytest.mark.django_db(transaction=True)
def test_each_queue_has_its_own_jobs(no_redis, monkeypatch):
    monkeypatch.setattr("django_q.conf.Conf.POLL", 0.01)
    Doorbell("thinking").enqueue("slow")

    assert not Doorbell("default").dequeue()
    assert Doorbell("thinking").dequeue()


@pytest.mark.django_db(transaction=True)
def test_the_job_that_waited_longest_is_first(no_redis):
    for name in ("first", "second", "third"):
        Doorbell("default").enqueue(name)
    OrmQ.objects.filter(payload="second").update(lock=timezone.now() - timedelta(minutes=1))

    found = [job for _ in range(3) for _, job in Doorbell("default").dequeue() or ()]

    assert ["second", "first", "third"] == found


def test_a_database_that_is_away_is_waited_for(no_redis, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr("django_q.conf.Conf.POLL", 0.01)
    monkeypatch.setattr(ORM, "get_connection", staticmethod(lambda *_: None))
    doorbell = Doorbell("default")
    monkeypatch.setattr(ORM, "get_connection", staticmethod(away))

    assert doorbell.dequeue() is None
