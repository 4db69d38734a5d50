"""What a command gets to see and change of the machine it runs on."""

import os
import stat
from pathlib import Path

import pytest

from sidecar.sandbox import BadPolicy, Limits, Policy, detect, run
from sidecar.sandbox.places import find_program

pytestmark = pytest.mark.bwrap


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "attempts" / "1" / "tree"
    place.mkdir(parents=True)
    return place


@pytest.fixture
def canary(tmp_path):
    secret = tmp_path / "config.json"
    secret.write_text("act_agent_canary")
    return secret


async def test_a_command_runs_in_its_tree_and_its_work_stays(tree):
    outcome = await run("pwd; echo made > here; exit 3", tree=tree)

    assert (3, "exited") == (outcome.exit_code, outcome.ended)
    assert f"{tree}\n" == outcome.output
    assert "made\n" == (tree / "here").read_text()


PRIVATE = ["/etc/shadow", "/etc/sudoers", "~/.ssh", "/root/.bashrc", "/var/lib", "/var/run", "/sys"]
PRIVATE += ["/run/docker.sock", "/boot", "/srv", "/mnt"]


@pytest.mark.parametrize("path", PRIVATE)
async def test_the_machines_private_places_are_not_there(tree, path):
    assert "absent\n" == (await run(f"test -e {path} && echo there || echo absent", tree=tree)).output


async def test_the_sidecars_own_files_are_not_there(tree, canary):
    outcome = await run(
        f"cat {canary}; ls {canary.parent}; ls {tree.parent}; find / -name config.json 2>/dev/null", tree=tree
    )

    assert "canary" not in outcome.output
    assert str(canary) not in outcome.output.replace(f"cat: {canary}", "")


async def test_a_hidden_directory_stays_empty_even_inside_a_toolchain(tree, tmp_path):
    toolchain = tmp_path / "opt"
    (toolchain / "bin").mkdir(parents=True)
    (toolchain / "bin" / "tool").write_text("#!/bin/sh\necho tool works\n")
    (toolchain / "bin" / "tool").chmod(0o755)
    (toolchain / "private").mkdir()
    (toolchain / "private" / "token").write_text("canary")
    policy = Policy(read_only=(toolchain,), hidden=(toolchain / "private",))

    outcome = await run(f"tool; cat {toolchain}/private/token; touch {toolchain}/x", tree=tree, policy=policy)

    assert "tool works\n" in outcome.output
    assert "canary" not in outcome.output
    assert not (toolchain / "x").exists()


@pytest.mark.parametrize("place", ["/", "/root", "/etc", "/home"])
async def test_a_toolchain_that_would_show_the_machine_is_refused(tree, place):
    with pytest.raises(BadPolicy):
        await run("true", tree=tree, policy=Policy(read_only=(Path(place),)))


async def test_with_the_network_come_names_and_certificates_but_no_keys(tree):
    script = (
        "ls -d /etc/resolv.conf /etc/hosts; ls /etc/ssl /etc/pki; grep -c sandbox /etc/hosts; touch /etc/ssl/certs/x"
    )

    without = (await run("ls -d /etc/resolv.conf", tree=tree)).output
    said = (await run(script, tree=tree, policy=Policy(network=True))).output

    assert "No such file" in without
    assert "/etc/hosts\n/etc/resolv.conf\n" in said
    assert "\nprivate\n" not in said
    assert ("\ncerts\n" in said) == Path("/etc/ssl/certs").exists()
    assert not Path("/etc/ssl/certs/x").exists()


async def test_a_program_is_found_where_a_command_can_see_it_and_nowhere_else(tree, tmp_path):
    tools = tmp_path / "tools" / "bin"
    tools.mkdir(parents=True)
    for name, target in (("here", tools / "here"), ("elsewhere", tmp_path / "elsewhere")):
        target.write_text("#!/bin/sh\n")
        target.chmod(0o755)
        if target.parent != tools:
            (tools / name).symlink_to(target)
    policy = Policy(read_only=(tools.parent,))

    assert tools / "here" == find_program("here", policy)
    assert tools / "here" == find_program(str(tools / "here"), policy)
    assert None is find_program("elsewhere", policy)
    assert None is find_program("here", Policy())
    assert None is find_program(str(tools / "here"), Policy())
    assert None is find_program("here", Policy(read_only=(tools.parent,), hidden=(tools,)))
    assert None is not find_program("sh", Policy())


async def test_nothing_outside_the_tree_can_be_written(tree):
    script = """
    for place in /usr/x /etc/x /x /etc/passwd ../x ../../x /run/x /usr/local/bin/x; do
        (echo x > $place) 2>/dev/null && echo wrote $place
    done; true"""

    assert "" == (await run(script, tree=tree)).output
    assert [tree] == list(tree.parent.iterdir())


async def test_home_and_tmp_are_private_and_new_for_each_command(tree):
    first = await run("echo x > ~/.bashrc && echo y > /tmp/y && echo z > /var/tmp/z && echo $HOME $TMPDIR", tree=tree)
    second = await run("ls -A ~ /tmp /dev/shm", tree=tree)

    assert "/home/agent /tmp\n" == first.output
    assert ".bashrc" not in second.output
    assert "\ny\n" not in second.output


async def test_a_link_out_of_the_tree_leads_nowhere(tree, canary):
    (tree / "out").symlink_to(canary.parent)
    (tree / "shadow").symlink_to("/etc/shadow")

    outcome = await run("cat out/config.json shadow; echo x > out/new", tree=tree)

    assert "canary" not in outcome.output
    assert not (canary.parent / "new").exists()


async def test_a_hard_link_to_a_file_outside_cannot_be_made(tree):
    outcome = await run("ln /usr/bin/env here && echo linked", tree=tree)

    assert "linked" not in outcome.output


async def test_a_device_or_a_setuid_program_cannot_be_made(tree):
    outcome = await run("mknod disk b 8 0; cp /bin/sh s; chmod u+s s; chmod 4755 s; ls", tree=tree)

    assert not (tree / "disk").exists()
    assert not (tree / "s").stat().st_mode & stat.S_ISUID, outcome.output


async def test_deleting_everything_hurts_nobody_else(tree, canary):
    neighbour = tree.parent.parent / "2"
    neighbour.mkdir()

    await run("rm -rf --no-preserve-root / ~ . .. 2>/dev/null", tree=tree)

    assert neighbour.exists()
    assert canary.exists()
    assert Path("/usr/bin/env").exists()


async def test_files_of_ours_are_shown_read_only_by_a_variable(tree):
    outcome = await run("cat $BRIEF; echo x >> $BRIEF; cat $BRIEF", tree=tree, files={"BRIEF": b'{"title": "x"}'})

    assert 2 == outcome.output.count('{"title": "x"}')
    assert "}x" not in outcome.output
    assert [] == list(tree.iterdir())


async def test_the_environment_holds_what_was_allowed_and_no_more(tree, monkeypatch):
    monkeypatch.setenv("AGENTCOM_TOKEN", "act_agent_canary")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-canary")

    outcome = await run(
        "env; tr '\\0' '\\n' < /proc/self/environ; cat /proc/*/environ; ps auxe", tree=tree, env={"TASK": "7"}
    )

    names = {line.partition("=")[0] for line in (await run(["env"], tree=tree, env={"TASK": "7"})).output.splitlines()}
    assert "canary" not in outcome.output
    assert {"PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TASK", "PWD", "GIT_CONFIG_NOSYSTEM",
            "PYTHONDONTWRITEBYTECODE"} == names  # fmt: skip


async def test_open_files_of_ours_are_not_inherited(tree, canary):
    with canary.open() as secret:
        os.set_inheritable(secret.fileno(), True)
        outcome = await run("ls /proc/self/fd | wc -l; cat /proc/self/fd/*", tree=tree)

    assert "4\n" == outcome.output.splitlines(keepends=True)[0]
    assert "canary" not in outcome.output


async def test_a_variable_that_would_steer_the_sandbox_itself_is_refused(tree):
    for name in ("LD_PRELOAD", "GLIBC_TUNABLES", "A=B", "", "A B", "A\n"):
        with pytest.raises(ValueError, match="variable"):
            await run("true", tree=tree, env={name: "x"})


async def test_a_file_over_the_limit_cannot_be_written(tree):
    limits = Limits(file_bytes=1_000_000)

    await run("head -c 5000000 /dev/zero > big; truncate -s 50G huge", tree=tree, limits=limits)

    assert {"big", "huge"} == {path.name for path in tree.iterdir()}
    assert all(path.stat().st_size <= 1_000_000 for path in tree.iterdir())


async def test_temporary_space_has_an_end(tree):
    outcome = await run(
        "for n in 1 2 3 4; do head -c 1000000 /dev/zero > /tmp/$n || echo full; done",
        tree=tree,
        limits=Limits(temporary_bytes=2_000_000),
    )

    assert "full" in outcome.output


async def test_python_with_pytest_works_inside(tree):
    (tree / "test_it.py").write_text("import multiprocessing\n\ndef test_it():\n    assert multiprocessing.Queue()\n")

    outcome = await run("python -m pytest -q -p no:cacheprovider", tree=tree)

    assert "1 passed" in outcome.output
    assert ["test_it.py"] == [path.name for path in tree.iterdir()]


async def test_it_says_which_promises_hold():
    level = detect()

    assert "bubblewrap" == level.name
    assert {"files", "network", "environment", "processes", "deadline", "output"} <= set(level.enforced)
