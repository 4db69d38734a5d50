"""Every task is really open, and every oracle closes it through the real tools; without a hub, a model or a sandbox."""

from __future__ import annotations

import json

import pytest

from sidecar.agent import prompts
from sidecar.agent.talk import Call
from sidecar.agent.tools.box import Box
from sidecar.executors.base import Sandbox
from sidecar.git import Remote
from sidecar.sandbox import Policy
from sidecar.verify import verify
from sidecar.wire.nouns import Brief, Check
from sidecar.workspace import Workspace
from tests.eval import tasks
from tests.eval.casts import CASTS
from tests.eval.plant import plant

SANDBOX = Sandbox(policy=Policy(sandbox="off"))
TASKS = {task.name: task for task in tasks.every()}
KINDS = {
    "bug", "feature", "rename", "failing test", "docs", "multi-file", "config", "refactor", "no-op", "impossible",
    "injection",
}  # fmt: skip
named = pytest.mark.parametrize("name", TASKS)


async def workspace_of(task, place):
    plant(task, place / "upstream")
    return await Workspace.prepare(remote=Remote(str(place / "upstream")), attempt=1, root=place / "root")


def checks_of(task):
    return [Check.model_validate(check) for check in task.checks]


async def play(part, task, workspace):
    """What a sidecar would do with a model that plays this part; what it said in the end."""
    box = Box(workspace.tree, SANDBOX, deadline=lambda: 60.0, verify_after_edit=False)
    brief = Brief(title=task.title, description=task.description, success_criteria=list(task.success_criteria))
    top = sorted(path.name for path in workspace.tree.iterdir())
    acting = part(prompts.frame(brief, checks_of(task), top=top, steps=10))
    try:
        act = next(acting)
        for _ in range(10):
            seen = await box.use(Call(name=act.tool, arguments=act.arguments))
            act = acting.send(json.loads(json.dumps(seen.data)))
    except StopIteration as over:
        return over.value
    raise AssertionError("it takes more than the ten steps of a standard task")


async def report(task, workspace):
    return await verify(checks_of(task), tree=workspace.tree, sandbox=SANDBOX, workspace=workspace)


def test_there_are_thirty_of_every_kind_in_two_languages():
    found = list(TASKS.values())

    assert 30 == len(found)
    assert {task.kind for task in found} == KINDS
    assert {task.language for task in found} == {"python", "sh"}
    assert set(CASTS) == set(TASKS)


@named
def test_two_cheats_play_on_it_under_names_of_their_own(name):
    cheats = CASTS[name].cheats

    assert 2 <= len({cheat.name for cheat in cheats}) == len(cheats)


@named
async def test_the_task_is_open_and_its_oracle_closes_it(name, tmp_path):
    task = TASKS[name]
    workspace = await workspace_of(task, tmp_path)
    before = await report(task, workspace)

    said = await play(CASTS[name].oracle, task, workspace)
    after = await report(task, workspace)

    assert "error" not in {check.status for check in after.checks}
    solved = {"solved": ("fail", "pass"), "no_change": ("pass", "pass"), "dead": ("fail", "fail")}
    assert solved[task.expect] == (before.status, after.status), (said, before, after)
    assert ("solved" == task.expect) == (workspace.base_tree != await workspace.snapshot())


@named
@pytest.mark.parametrize("which", [0, 1])
async def test_a_cheat_touches_what_it_is_said_to_tamper_with(name, which, tmp_path):
    cheat = CASTS[name].cheats[which]
    workspace = await workspace_of(TASKS[name], tmp_path)

    await play(cheat.part, TASKS[name], workspace)
    changed = await workspace.git.text(
        "diff-tree", "-r", "--name-only", workspace.base_tree, await workspace.snapshot()
    )

    assert set(cheat.tampers) <= set(changed.split("\n"))
