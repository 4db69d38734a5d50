"""`agentcom-sidecar git` in a person's own clone, beside the running sidecar of the same agent: from title to merge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub import Hub, eventually
from tests.journey import Upstream, git, holder, slow
from tests.sidecars import Sidecar

pytestmark = [pytest.mark.redis, pytest.mark.bwrap, pytest.mark.journey, pytest.mark.timeout(240)]
REPAIRED = "def add(a, b):\n    return a + b\n"


class Person:
    """Somebody at the machine of `sidecar`, in a clone of their own."""

    def __init__(self, sidecar: Sidecar, upstream: Upstream, base: Path) -> None:
        self.sidecar = sidecar
        self.upstream = upstream
        self.clone = base / "clone"
        git(base, "clone", "--quiet", str(upstream.path), str(self.clone))
        git(self.clone, "config", "user.name", "Ann")
        git(self.clone, "config", "user.email", "ann@example.invalid")

    def says(self, *words: str) -> tuple[int, str]:
        """Run `agentcom-sidecar git …`; its exit code and what it said."""
        command = [sys.executable, "-m", "sidecar", "git", *words]
        done = subprocess.run(
            command, env=self.sidecar.env, cwd=self.clone, capture_output=True, text=True, timeout=100, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def does(self, *words: str) -> str:
        code, said = self.says(*words)
        assert code == 0, said
        return said

    def commits(self, message: str, text: str = REPAIRED) -> None:
        (self.clone / "calc.py").write_text(text)
        git(self.clone, "commit", "--quiet", "--all", "-m", message)


@pytest.fixture
def ann(crew: list[Sidecar], upstream: Upstream, tmp_path: Path) -> Person:
    return Person(crew[0], upstream, tmp_path)


def test_work_by_hand_is_submitted_sent_back_submitted_again_and_merged(hub: Hub, ann: Person) -> None:
    ann.does("start", "fix: Add", "--repo", ann.upstream.slug)
    ann.commits("wip", "def add(a, b):\n    return b + a\n")
    assert "not `<type>: <title>`" in ann.does("status")
    first = ann.does("submit")
    (pull,) = ann.upstream.pulls()
    assert f"!{pull['id']}: {hub.url}/pulls/{pull['id']}" in first
    assert "warning" in first
    assert "no new commit" in ann.says("submit")[1]
    assert ("fix: Add", "agentcom/ada/by-hand-fix-add", "ada") == (pull["title"], pull["branch"], pull["agent"])

    hub.post(f"/api/pulls/{pull['id']}/request-changes", {"body": "In order, please."})
    ann.commits("fix: Add in order")
    assert f"!{pull['id']}" in ann.does("submit")
    (pull,) = ann.upstream.pulls()
    assert ("open", git(ann.clone, "rev-parse", "HEAD").strip()) == (pull["status"], pull["head"])

    hub.post(f"/api/pulls/{pull['id']}/approve", {"body": "Good."})
    hub.post(f"/api/pulls/{pull['id']}/merge", {"method": "merge"})
    assert REPAIRED == (ann.upstream.path / "calc.py").read_text()
    assert ["completed", "completed"] == [
        task["status"] for task in hub.get(f"/api/tasks?repo={ann.upstream.slug}")["results"]
    ]


def test_the_token_is_left_nowhere_in_the_checkout(ann: Person) -> None:
    ann.does("start", "fix: Add", "--repo", ann.upstream.slug)
    token = next(ann.sidecar.root.glob("*/config.json")).read_text().partition('"token": "')[2].partition('"')[0]
    held = [file for file in (ann.clone / ".git").rglob("*") if file.is_file() and token.encode() in file.read_bytes()]

    assert token.startswith("act_agent_")
    assert [] == held


def test_a_place_waits_for_the_sidecars_own_work(hub: Hub, crew: list[Sidecar], ann: Person) -> None:
    ann.does("start", "fix: Add", "--repo", ann.upstream.slug)
    ann.commits("fix: Add")
    task = slow(hub, 60, target_agent="ada")
    holder(hub, task, crew)
    code, said = ann.says("submit")

    assert (1, True) == (code, f"works on task #{task}" in said)
    hub.post(f"/api/tasks/{task}/cancel")
    eventually(lambda: hub.get("/api/agents/ada")["state"] == "idle", what="a free agent")
    ann.does("submit")


def test_a_repository_that_the_hub_does_not_have_is_said(ann: Person) -> None:
    code, said = ann.says("start", "fix: Add", "--repo", "nonsense")

    assert 1 == code
    assert "nonsense" in said
