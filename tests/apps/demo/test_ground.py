"""Where a demonstration takes place, and what it leaves alone."""

from __future__ import annotations

import os
import stat

import pytest

from apps.demo import ground
from apps.demo.ground import Unusable, claim, environment, git, plant, taken

PORTS = (ground.PLAYER, "AGENTCOM_ENDPOINT_PORTS")


def test_an_empty_or_new_directory_is_taken(tmp_path):
    assert tmp_path / "new" == claim(tmp_path / "new")
    assert tmp_path / "new" == claim(tmp_path / "new")


def test_what_is_not_ours_is_never_emptied(tmp_path):
    (tmp_path / "precious").write_text("mine")

    with pytest.raises(Unusable, match="is not empty and no demo made it"):
        claim(tmp_path)

    assert ["precious"] == [path.name for path in tmp_path.iterdir()]


def test_a_place_that_cannot_be_is_said_in_a_sentence(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(Unusable, match=r"cannot be used: .+ Name another with --directory"):
        claim(tmp_path / "file" / "below")


def test_a_second_demonstration_finds_the_place_emptied(tmp_path):
    place = claim(tmp_path / "demo")
    with taken(place) as first:
        (first.machines / "old").mkdir()
        (place / "link").symlink_to(tmp_path)
    with taken(place) as second:
        left = sorted(path.name for path in place.iterdir())

    assert second == first
    assert ["logs", "machines", ground.MARK, "run.lock"] == left
    assert tmp_path.is_dir()


def test_two_at_once_are_refused_with_what_to_do(tmp_path):
    place = claim(tmp_path / "demo")
    with taken(place):
        (place / "kept").touch()
        with pytest.raises(Unusable, match=rf"already runs in .* \(process {os.getpid()}\)"), taken(place):
            pass

        assert (place / "kept").exists()


def test_nothing_of_another_hub_gets_in(tmp_path):
    outside = {
        "PATH": "/bin",
        "HOME": "/home/eva",
        "DATABASE_URL": "postgres://production",
        "REDIS_URL": "redis://production",
        "AGENTCOM_BASE_URL": "https://hub.example",
        "AGENTCOM_SECRET_KEY": "secret",
        "GIT_DIR": "/elsewhere",
    }
    inside = environment(tmp_path, outside)

    assert {"PATH": "/bin", "HOME": "/home/eva", "AGENTCOM_DATA_DIR": str(tmp_path)} == {
        name: value for name, value in inside.items() if name not in {*ground.SETTINGS, ground.INSIDE, *PORTS}
    }


def test_the_hub_may_connect_to_the_ollama_of_this_machine_and_to_the_player(tmp_path):
    inside = environment(tmp_path, {"OLLAMA_HOST": "127.0.0.1:4711"})
    unreadable = environment(tmp_path, {"OLLAMA_HOST": "http://[::"})

    assert f"4711,{inside[ground.PLAYER]}" == inside["AGENTCOM_ENDPOINT_PORTS"]
    assert unreadable["AGENTCOM_ENDPOINT_PORTS"].endswith(unreadable[ground.PLAYER])


def test_the_sample_becomes_a_repository_whatever_git_is_configured_like(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text("[init]\n\tdefaultBranch = trunk\n\ttemplateDir = /nowhere\n[commit]\n\tgpgSign = true\n")
    hook = tmp_path / "hooks" / "pre-commit"
    hook.parent.mkdir()
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    config.write_text(config.read_text() + f"[core]\n\thooksPath = {hook.parent}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    plant(tmp_path / "sample")

    assert "main" == git(tmp_path / "sample", "branch", "--show-current").strip()
    assert "" == git(tmp_path / "sample", "status", "--porcelain")
    assert "Sample Author" == git(tmp_path / "sample", "log", "--format=%an").strip()
    assert "textkit/slugs.py" in git(tmp_path / "sample", "ls-files")


def test_a_push_to_the_sample_shows_in_its_files(tmp_path):
    plant(tmp_path / "sample")
    git(tmp_path, "clone", "--quiet", str(tmp_path / "sample"), str(tmp_path / "clone"))
    (tmp_path / "clone" / "NEW").write_text("new")
    git(tmp_path / "clone", "add", "--all")
    git(tmp_path / "clone", "commit", "--quiet", "--message=new")
    git(tmp_path / "clone", "push", "--quiet", "origin", "main")

    assert "new" == (tmp_path / "sample" / "NEW").read_text()
