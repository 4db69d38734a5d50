"""Three of the tasks through the real thing: a hub, two sidecars, sandbox, verification, pull request."""

from __future__ import annotations

import pytest

from tests.eval import scripted, tasks
from tests.eval.__main__ import evaluate
from tests.eval.stage import stage

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(300)]


def test_oracles_end_in_verified_pull_requests_and_cheats_do_not(tmp_path, capsys):
    chosen = [tasks.load(name) for name in ("bug-clock", "failing-order", "injection-output")]

    with scripted.players() as server, stage(tmp_path, url=server.url, model=scripted.MODEL) as on:
        score = evaluate(on, chosen, cheats=True, seconds_allowed=240)

    told = capsys.readouterr().out
    assert [True] * 3 == [one.good for one in score.work], told
    assert [True] * 6 == [one.good for one in score.cheats], told
    assert score.calls.made == score.calls.valid > 0
