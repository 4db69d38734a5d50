"""A tree, a sandbox of either kind, a hub, and whole attempts."""

from __future__ import annotations

import pytest

from sidecar import minds
from sidecar.bench import Bench
from sidecar.config import Bounds
from sidecar.executors import Sandbox
from sidecar.sandbox import Limits, Policy
from sidecar.wire import messages
from sidecar.wire.nouns import Brief, Check, Identity, RepoRef
from sidecar.work import perform, salvage_kept
from tests.sidecar.executors.stage import Directory


@pytest.fixture
def place(tmp_path):
    (tmp_path / "attempt" / "tree").mkdir(parents=True)
    return Directory(tmp_path / "attempt" / "tree")


@pytest.fixture(params=[pytest.param("bubblewrap", marks=pytest.mark.bwrap), "off"])
def sandbox(request):
    return Sandbox(policy=Policy(sandbox=request.param), limits=Limits(grace_seconds=0.3))


@pytest.fixture
def attempt(hub, tmp_path, sandbox):
    """Perform an attempt of a command on a real repository; its report."""

    async def performed(command, *checks, bounds=None, **more):
        bench = Bench(
            root=tmp_path / "root",
            hub=f"file://{hub}",
            token="",
            policy=sandbox.policy,
            bounds=bounds or Bounds(),
            executors=minds.executors([], [command]),
        )
        assign = messages.TaskAssign(
            **{
                "task": 7,
                "attempt": 1,
                "generation": 1,
                "executor": "command",
                "model": command.name,
                "brief": Brief(title="Fix the value"),
                "checks": [Check(type="command_succeeds", target=check, timeout_seconds=20) for check in checks],
                "timeout_seconds": 60,
                "lease_seconds": 20,
                "repo": RepoRef(slug="sample", path="/git/sample.git"),
                "branch": "agentcom/ada/7-fix",
                "identity": Identity(name="ada", email="ada@example.org"),
                **more,
            }
        )
        report = await perform(assign, bench, lambda _steps: None)
        await salvage_kept(bench)
        return report

    return performed
