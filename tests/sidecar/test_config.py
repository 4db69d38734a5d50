"""Settings: what is refused, and in which words."""

from __future__ import annotations

import json

import pytest

from sidecar import config
from sidecar.config import Config, ConfigProblem

TOKEN = "act_agent_AAAAAAAA_0123456789012345678901234567890"


def written(tmp_path, mode=0o600, **changes):
    root = tmp_path / "ada"
    config.save(root, Config(hub="http://hub:8000", name="ada", token=TOKEN))
    path = root / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    path.chmod(mode)
    return root


def test_what_is_saved_is_loaded(tmp_path):
    made = Config(hub="https://hub.example/agents/", name="ada", token=TOKEN, capabilities=["gpu"])
    config.save(tmp_path / "ada", made)

    assert made == config.load(tmp_path / "ada")
    assert "wss://hub.example/agents/agent" == made.socket_address


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sandbox": "sometimes"}, "sandbox"),
        ({"limits": {"processes": 0}}, "limits.processes"),
        ({"surprise": 1}, "surprise"),
        ({"hub": "gopher://x"}, "hub"),
        ({"token": "has a space"}, "token"),
        ({"name": "../up"}, "name"),
    ],
)
def test_a_wrong_setting_is_named_and_the_token_is_not_shown(tmp_path, changes, words):
    with pytest.raises(ConfigProblem, match=words) as caught:
        config.load(written(tmp_path, **changes))
    assert TOKEN not in str(caught.value)
    assert "has a space" not in str(caught.value)


def test_a_token_that_others_can_read_is_refused(tmp_path):
    with pytest.raises(ConfigProblem, match="chmod 600"):
        config.load(written(tmp_path, mode=0o644))


def test_a_file_that_is_no_json_is_refused(tmp_path):
    root = written(tmp_path)
    (root / "config.json").write_text("{")

    with pytest.raises(ConfigProblem, match="not right"):
        config.load(root)


def test_the_only_agent_is_chosen_and_among_several_one_must_be_named(tmp_path):
    config.save(tmp_path / "ada", Config(hub="http://hub", name="ada", token=TOKEN))
    assert tmp_path / "ada" == config.choose(None, tmp_path)

    config.save(tmp_path / "bob", Config(hub="http://hub", name="bob", token=TOKEN))
    with pytest.raises(ConfigProblem, match="ada, bob"):
        config.choose(None, tmp_path)
    assert tmp_path / "bob" == config.choose("bob", tmp_path)


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", "-a", "a\n"])
def test_a_name_cannot_lead_elsewhere(tmp_path, name):
    with pytest.raises(ConfigProblem):
        config.root_of(name, tmp_path)
