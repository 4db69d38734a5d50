"""Checks against real trees, in the real sandbox where there is one."""

import asyncio
import sys

import pytest

from sidecar.detect_tests import runner_of
from sidecar.executors import Sandbox
from sidecar.sandbox import Limits, Policy, detect
from sidecar.verify import verify, worst
from sidecar.wire.nouns import Check, CheckResult, CheckType

SANDBOX = Sandbox(policy=Policy(sandbox="bubblewrap" if "bubblewrap" == detect().name else "off"))


@pytest.fixture
async def workspace(prepare):
    return await prepare()


@pytest.fixture
def checked(workspace):
    async def report_on(*checks, **more):
        return await verify(list(checks), tree=workspace.tree, sandbox=SANDBOX, workspace=workspace, **more)

    return report_on


@pytest.fixture
def one(checked):
    async def result_of(kind, target="", **more):
        report = await checked(Check(type=kind, target=target, **more))
        return report.checks[0]

    return result_of


async def test_a_file_that_is_there_passes_and_one_that_is_not_fails(one):
    assert "pass" == (await one("file_exists", "calc.py")).status
    missing = await one("file_exists", "nothing.py")
    assert ("fail", "nothing.py does not exist.") == (missing.status, missing.output)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../about.json", "link", ""])
async def test_a_file_outside_the_tree_is_an_error_whether_it_is_there_or_not(one, workspace, target):
    (workspace.tree / "link").symlink_to("/etc/passwd")

    assert "error" == (await one("file_exists", target)).status


async def test_a_command_is_judged_by_its_exit_code_and_its_output_kept(one):
    good = await one("command_succeeds", "echo fine")
    bad = await one("command_succeeds", "echo broken; exit 3")

    assert ("pass", "fine") == (good.status, good.output)
    assert "fail" == bad.status
    assert "broken" in bad.output
    assert "exit code 3" in bad.output


async def test_a_check_over_its_deadline_is_a_timeout_and_the_others_still_run(checked):
    report = await checked(
        Check(type="command_succeeds", target="echo begun; sleep 60", timeout_seconds=0.6),
        Check(type="file_exists", target="calc.py"),
    )

    assert ["timeout", "pass"] == [check.status for check in report.checks]
    assert "begun" in report.checks[0].output
    assert "timeout" == report.status


async def test_passing_tests_pass_and_failing_tests_fail(one, workspace):
    (workspace.tree / "test_calc.py").write_text("import calc\n\ndef test_add():\n    assert 3 == calc.add(1, 2)\n")

    failing = await one("tests_pass", "auto")
    (workspace.tree / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    passing = await one("tests_pass")

    assert "fail" == failing.status
    assert "1 failed" in failing.output
    assert "pass" == passing.status


async def test_unittest_is_found_and_run(one, workspace):
    (workspace.tree / "tests").mkdir()
    (workspace.tree / "tests" / "test_calc.py").write_text(
        "import unittest\nimport calc\n\nclass T(unittest.TestCase):\n"
        "    def test_add(self):\n        self.assertEqual(-1, calc.add(1, 2))\n"
    )

    result = await one("tests_pass", "auto")

    assert "pass" == result.status, result.output
    assert "Ran 1 test" in result.output


async def test_no_tests_is_an_error_and_never_a_pass(one, workspace):
    nothing = await one("tests_pass", "auto")
    (workspace.tree / "test_empty.py").write_text("import unittest\n")
    empty = await one("tests_pass", "auto")
    (workspace.tree / "pytest.ini").write_text("[pytest]\n")
    collected = await one("tests_pass", "auto")

    assert ["error"] * 3 == [nothing.status, empty.status, collected.status]
    assert "No tests found" in nothing.output
    assert "No tests found" in collected.output


async def test_a_command_may_be_named_for_the_tests(one):
    assert "pass" == (await one("tests_pass", "test -f calc.py")).status
    assert "fail" == (await one("tests_pass", "false")).status


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"pyproject.toml": "[tool.pytest.ini_options]\n"}, "pytest"),
        ({"setup.cfg": "[tool:pytest]\n"}, "pytest"),
        ({"tests/test_a.py": "def test_a(): pass\n"}, "pytest"),
        ({"tests/test_a.py": "from unittest import TestCase\n"}, "unittest"),
        ({"package.json": '{"scripts": {"test": "node --test"}}'}, "npm"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, None),
        ({"package.json": "not json"}, None),
        ({"package.json": "[]"}, None),
        ({"Makefile": "all:\n\ttrue\n\ntest: all\n\ttrue\n"}, "make"),
        ({"Makefile": "all:\n\ttrue\n"}, None),
        ({"mix.exs": ""}, "mix"),
        ({"Cargo.toml": ""}, "cargo"),
        ({"go.mod": ""}, "go"),
        ({"node_modules/x/test_x.py": "def test_x(): pass\n"}, None),
        ({"README.md": "x"}, None),
    ],
)
def test_the_way_to_run_the_tests_is_read_from_the_files(tmp_path, files, name):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    found = runner_of(tmp_path)

    assert name == (found.name if found else None)


def test_runs_that_ran_nothing_are_told_from_runs_that_did(tmp_path):
    (tmp_path / "go.mod").write_text("")
    go = runner_of(tmp_path)
    (tmp_path / "Cargo.toml").write_text("")
    cargo = runner_of(tmp_path)
    assert go
    assert cargo

    assert go.found_none(0, "?   \texample.org/x\t[no test files]\n")
    assert not go.found_none(0, "?   \tx\t[no test files]\nok  \texample.org/y\t0.1s\n")
    assert cargo.found_none(0, "running 0 tests\n\ntest result: ok.\n")
    assert not cargo.found_none(0, "running 0 tests\n\nrunning 2 tests\n")


async def test_the_difference_is_searched_in_added_lines_and_paths(one, workspace):
    (workspace.tree / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    (workspace.tree / "odd name é.txt").write_text("++ not a header\n")

    found = {
        target: (await one("diff_contains", target)).status
        for target in ("a + b", "a - b", "odd name é", "calc", "++ not")
    }

    assert {"a + b": "pass", "a - b": "fail", "odd name é": "pass", "calc": "pass", "++ not": "pass"} == found
    assert "error" == (await one("diff_contains", "")).status


SECRETS = {
    "an Anthropic key": "sk-ant-api03-" + "a1B2" * 8,
    "a GitHub token": "ghp_" + "a1B2c3" * 6,
    "an AgentCom token": "act_agent_ab12cd34_" + "a1B2" * 8 + "_deadbeef",
    "an AWS key id": "AKIA" + "ABCD1234" * 2,
    "a private key": "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
}


@pytest.mark.parametrize("kind", SECRETS)
async def test_a_secret_in_the_work_is_found_and_shown_masked(one, workspace, kind):
    (workspace.tree / "settings.py").write_text(f"x = 1\nKEY = '{SECRETS[kind]}'\n")

    result = await one("no_secrets")

    assert "fail" == result.status
    assert f"settings.py:2: {kind}" in result.output
    assert SECRETS[kind] not in result.output


async def test_a_secret_that_was_there_before_is_not_this_works_fault(prepare, hub_repository, elsewhere, git):
    (elsewhere / "old.py").write_text(f"KEY = '{SECRETS['a GitHub token']}'\n")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "old")
    git(elsewhere, "push", "-q", "origin", "trunk")
    workspace = await prepare(attempt=2)
    (workspace.tree / "new.py").write_text("x = 1\n")

    report = await verify([Check(type="no_secrets")], tree=workspace.tree, sandbox=SANDBOX, workspace=workspace)

    assert "pass" == report.status


async def test_checks_that_change_the_work_are_caught_by_git_clean(checked, workspace):
    (workspace.tree / "work.txt").write_text("x")
    report = await checked(
        Check(type="git_clean"),
        Check(type="command_succeeds", target="echo litter > litter.txt; mkdir -p build; touch build/ignored"),
        Check(type="git_clean"),
    )

    assert ["pass", "pass", "fail"] == [check.status for check in report.checks]
    assert "litter.txt" in report.checks[2].output
    assert "ignored" not in report.checks[2].output


async def test_the_report_is_bound_to_base_and_tree(checked, workspace):
    (workspace.tree / "work.txt").write_text("x")

    report = await checked(Check(type="command_succeeds", target="echo later > work.txt"))

    assert workspace.base == report.base
    assert "work.txt" in await workspace.git.text("ls-tree", "--name-only", report.tree)
    assert "x" == await workspace.git.text("cat-file", "blob", f"{report.tree}:work.txt")
    assert detect(SANDBOX.policy).name == report.sandbox


async def test_a_fresh_checkout_is_verified_against_the_base_that_is_named(prepare, elsewhere, git, hub_repository):
    base = git(elsewhere, "rev-parse", "HEAD")
    (elsewhere / "new.py").write_text("brand = 'new'\n")
    git(elsewhere, "add", "-A")
    git(elsewhere, "commit", "-q", "-m", "work")
    git(elsewhere, "push", "-q", "origin", "HEAD:agentcom/x/1-y")
    commit = git(elsewhere, "rev-parse", "HEAD")
    workspace = await prepare(attempt=3, start=commit)
    checks = [Check(type="diff_contains", target="brand = 'new'"), Check(type="git_clean")]

    report = await verify(checks, tree=workspace.tree, sandbox=SANDBOX, workspace=workspace, base=base, commit=commit)

    assert "pass" == report.status
    assert (base, commit, git(elsewhere, "rev-parse", "HEAD^{tree}")) == (report.base, report.commit, report.tree)


async def test_a_tree_without_a_repository_is_checked_as_far_as_it_goes(tmp_path):
    tree = tmp_path / "plain" / "tree"
    tree.mkdir(parents=True)
    (tree / "key").write_text(SECRETS["an AWS key id"])
    kinds: list[CheckType] = ["file_exists", "git_clean", "diff_contains", "no_secrets"]

    report = await verify([Check(type=kind, target="key") for kind in kinds], tree=tree, sandbox=SANDBOX)

    assert ["pass", "error", "error", "fail"] == [check.status for check in report.checks]
    assert "no repository" in report.checks[1].output


async def test_a_tree_that_cannot_be_recorded_is_an_error_for_the_checks_that_need_it(checked, workspace, git):
    (workspace.tree / "sub").mkdir()
    git(workspace.tree / "sub", "init", "-q")

    report = await checked(Check(type="git_clean"), Check(type="no_secrets"), Check(type="file_exists", target="sub"))

    assert ["error", "error", "pass"] == [check.status for check in report.checks]
    assert "sub/.git" in report.checks[0].output
    assert "" == report.tree


async def test_each_result_is_told_as_it_comes(checked):
    told: list[CheckResult] = []

    await checked(Check(type="file_exists", target="a"), Check(type="file_exists", target="calc.py"), told=told.append)

    assert ["fail", "pass"] == [result.status for result in told]


async def test_cancelling_stops_the_check_that_runs(workspace):
    checks = [Check(type="command_succeeds", target="touch begun; sleep 60")]
    sandbox = Sandbox(policy=SANDBOX.policy, limits=Limits(grace_seconds=0.2))
    task = asyncio.create_task(verify(checks, tree=workspace.tree, sandbox=sandbox, workspace=workspace))
    async with asyncio.timeout(20):
        while not (workspace.tree / "begun").exists():  # noqa: ASYNC110 - what happens inside has no event out here
            await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_worst_result_decides():
    assert "pass" == worst([])
    assert "error" == worst(["pass", "timeout", "fail", "error"])
    assert "timeout" == worst(["fail", "timeout", "pass"])
    assert "fail" == worst(["pass", "fail"])
    assert sys.version_info >= (3, 11)
