from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.gateway.git_http import token_from
from apps.repos import mirror
from tests.apps.repos.workbench import Workbench

TOKEN = "act_agent_k3y_ada-secret"
OTHER = "act_agent_k3y_eve-secret"
BRANCH = "agentcom/ada/41-fix"
SALVAGE = "refs/agentcom/salvage/41"
PROJECT = Path(__file__).resolve().parents[3]


def until(question: Callable[[], Any], seconds: float = 20) -> Any:
    """The first truthy answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@dataclass
class Server:
    """Daphne with the application of git_app.py, one repository `sample` and two agents."""

    root: Path
    base: str
    process: subprocess.Popen[str]
    world: dict[str, Any] = field(default_factory=dict)

    @property
    def mirror(self) -> Path:
        return self.root / "repos" / "sample.git"

    def url(self, token: str = TOKEN, slug: str = "sample") -> str:
        return f"http://x:{token}@{self.base}/git/{slug}.git"

    def grant(self, *refs: str, agent: str = "ada", base: str | None = None, **limits: int) -> None:
        self.world["grants"][agent] = {"allow": {ref: {"base": base} for ref in refs}, **limits}
        self.save()

    def save(self) -> None:
        (self.root / "world.json").write_text(json.dumps(self.world))

    @property
    def received(self) -> list[Any]:
        file = self.root / "received.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def backends(self) -> list[int]:
        """The git processes that this server has running."""
        return descendants(self.process.pid)


def descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def serve(root: Path, **env: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-u",
            "-m",
            "daphne",
            "-b",
            "127.0.0.1",
            "-p",
            "0",
            "-v",
            "1",
            "tests.apps.gateway.git_app:application",
        ],
        cwd=PROJECT,
        env={**os.environ, "GIT_APP_ROOT": str(root), **env},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"Listening on TCP address (\S+)", line):
            return process, found[1]
    raise AssertionError("the server did not start")


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    made = Workbench(tmp_path / "work")
    made.commit({"README.md": "hello\n", "src/app.py": "x = 1\n"}, "First.")
    return made


@contextlib.contextmanager
def running(root: Path, **env: str) -> Iterator[Server]:
    root.mkdir(parents=True, exist_ok=True)
    process, base = serve(root, **env)
    try:
        yield Server(root, base, process)
    finally:
        process.kill()
        process.communicate()


def furnish(server: Server, bench: Workbench) -> Server:
    """Everything as new: the repository with what the bench has, ada with a grant, eve with nothing."""
    mirror.remove(server.mirror)
    (server.root / "received.jsonl").unlink(missing_ok=True)
    mirror.create(server.mirror, None)
    mirror.seed(server.mirror, bench.path)
    server.world = {"tokens": {TOKEN: "ada", OTHER: "eve"}, "repos": {"ada": ["sample"], "eve": []}, "grants": {}}
    server.grant(f"refs/heads/{BRANCH}", SALVAGE)
    return server


@pytest.fixture(scope="module")
def daphne(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def server(daphne: Server, bench: Workbench) -> Server:
    return furnish(daphne, bench)


def push(bench: Workbench, server: Server, *args: str, token: str = TOKEN) -> str:
    """What git says; empty when it is content."""
    done = bench.run("push", "--quiet", server.url(token), *args)
    return "" if done.returncode == 0 else done.stderr.decode()


def test_an_agent_clones_and_pushes_its_branch_and_the_hub_hears_of_it(tmp_path, server, bench):
    done = bench.run("clone", "--quiet", server.url(), str(tmp_path / "clone"))
    assert done.returncode == 0, done.stderr
    clone = Workbench(tmp_path / "clone")
    base = clone.head
    first = clone.commit({"src/app.py": "x = 2\n"})

    assert push(clone, server, f"HEAD:refs/heads/{BRANCH}") == ""

    assert first == mirror.head(server.mirror, BRANCH)
    assert [["ada", "sample", {f"refs/heads/{BRANCH}": ["0" * 40, first]}]] == server.received
    second = clone.commit({"src/app.py": "x = 3\n"})
    assert push(clone, server, f"HEAD:refs/heads/{BRANCH}") == ""
    assert ["ada", "sample", {f"refs/heads/{BRANCH}": [first, second]}] == server.received[1]
    assert base == mirror.head(server.mirror, "main")


@pytest.mark.parametrize("protocol", ["0", "1", "2"])
def test_every_version_of_the_protocol_is_spoken(tmp_path, server, bench, protocol):
    done = bench.run("-c", f"protocol.version={protocol}", "ls-remote", server.url(), "refs/heads/main")

    assert f"{bench.head}\trefs/heads/main\n" == done.stdout.decode()


def test_a_fetch_with_many_haves_is_sent_compressed_and_understood(tmp_path, server, bench):
    for number in range(120):
        bench.commit({"n": str(number)})

    done = bench.run("fetch", "--quiet", server.url(), "refs/heads/main")

    assert done.returncode == 0, done.stderr


def test_twenty_megabytes_are_pushed_in_chunks_and_come_back_whole(tmp_path, server, bench):
    content = os.urandom(5 * 1024 * 1024)
    bench.commit({f"data/{n}.bin": content[n:] + content[:n] + bytes([n]) for n in range(4)})

    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""

    done = bench.run("clone", "--quiet", "--branch", BRANCH, server.url(), str(tmp_path / "clone"))
    assert done.returncode == 0, done.stderr
    assert content + b"\0" == (tmp_path / "clone" / "data" / "0.bin").read_bytes()


@pytest.mark.parametrize(
    ("refspec", "sentence"),
    [
        ("HEAD:refs/heads/main", "refs/heads/main is not yours to push; ada may push agentcom/ada/41-fix."),
        ("HEAD:refs/heads/agentcom/eve/1-x", "refs/heads/agentcom/eve/1-x is not yours"),
        ("HEAD:refs/tags/v1", "refs/tags/v1 is not yours"),
        ("HEAD:refs/agentcom/salvage/42", "refs/agentcom/salvage/42 is not yours"),
        ("HEAD:refs/upstream/main", "refs/upstream/main"),
    ],
)
def test_any_other_reference_is_refused_in_gits_own_output(server, bench, refspec, sentence):
    bench.commit({"a": "1"})
    before = mirror.branches(server.mirror)

    said = push(bench, server, "--force", refspec)

    assert sentence in said
    assert before == mirror.branches(server.mirror)
    assert [] == server.received


def test_one_wrong_reference_refuses_the_whole_push(server, bench):
    bench.commit({"a": "1"})

    said = push(bench, server, f"HEAD:refs/heads/{BRANCH}", "HEAD:refs/heads/other")

    assert "remote: agentcom: refused: refs/heads/other is not yours" in said
    assert mirror.head(server.mirror, BRANCH) is None


def test_history_moves_forward_only_and_salvage_may_be_replaced(server, bench):
    start = bench.head
    first = bench.commit({"a": "1"})
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}", f"HEAD:{SALVAGE}") == ""
    bench.git("reset", "--quiet", "--hard", start)
    other = bench.commit({"a": "2"})

    said = push(bench, server, "--force", f"HEAD:refs/heads/{BRANCH}")

    assert "may only move forward" in said
    assert first == mirror.head(server.mirror, BRANCH)
    assert push(bench, server, "--force", f"HEAD:{SALVAGE}") == ""
    assert other == mirror.reference(server.mirror, SALVAGE)


def test_nothing_is_deleted(server, bench):
    bench.commit({"a": "1"})
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""

    assert "may not be deleted" in push(bench, server, f":refs/heads/{BRANCH}") or mirror.head(server.mirror, BRANCH)
    assert bench.head == mirror.head(server.mirror, BRANCH)


def test_work_on_another_base_than_the_assigned_one_is_refused(server, bench):
    base = bench.commit({"a": "1"})
    bench.git(
        "push", "--quiet", "--receive-pack=git -c core.hooksPath=/dev/null receive-pack", str(server.mirror), "main"
    )
    server.grant(f"refs/heads/{BRANCH}", base=base)
    bench.git("reset", "--quiet", "--hard", "HEAD~")
    bench.commit({"b": "1"})

    assert f"is not built on {base[:12]}" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")

    bench.git("reset", "--quiet", "--hard", base)
    bench.commit({"b": "1"})
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""


def test_a_submodule_is_refused(server, bench):
    bench.commit_entry("160000", bench.head, "vendored")

    assert "vendored is a submodule" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "src/../../x", ".git/config"])
def test_a_symbolic_link_that_leaves_the_tree_is_refused(server, bench, target):
    bench.commit_entry("120000", bench.blob(target.encode()), "link")

    assert "link is a symbolic link that leaves the repository" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")


def test_a_symbolic_link_inside_the_tree_is_fine(server, bench):
    bench.commit_entry("120000", bench.blob(b"../README.md"), "src/link")

    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""


@pytest.mark.parametrize("name", [".GIT", "git~1", ".g\u200cit"])
def test_a_name_that_becomes_git_somewhere_is_refused(server, bench, name):
    commit = bench.commit_tree(("100644", bench.blob(b"x"), name))

    said = push(bench, server, f"{commit}:refs/heads/{BRANCH}")

    assert "refused" in said or "fsck" in said or "hasDotgit" in said
    assert mirror.head(server.mirror, BRANCH) is None


def test_a_bad_file_in_the_middle_of_the_history_is_refused_too(server, bench):
    server.grant(f"refs/heads/{BRANCH}", max_file_bytes=1000)
    bench.commit({"big": "x" * 1001})
    bench.commit({"big": None})

    assert "big has" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")


def test_salvaged_work_is_judged_when_it_comes_to_a_branch(server, bench):
    bench.commit_entry("120000", bench.blob(b"/etc/passwd"), "link")
    assert push(bench, server, f"HEAD:{SALVAGE}") == ""

    assert "leaves the repository" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")


def test_too_many_files_and_too_large_a_pack_are_refused(server, bench):
    bench.commit({f"f{n}": str(n) for n in range(4)})
    server.grant(f"refs/heads/{BRANCH}", max_files=3)
    assert "more than 3 files" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")

    server.grant(f"refs/heads/{BRANCH}", max_pack_bytes=100_000)
    bench.commit({"noise": os.urandom(120_000)})
    assert "maximum allowed size" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")

    bench.commit({"noise": os.urandom(3_000_000)})
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") != ""
    assert mirror.head(server.mirror, BRANCH) is None


def test_a_branch_must_be_a_commit(server, bench):
    blob = bench.blob(b"x")

    assert push(bench, server, f"{blob}:{SALVAGE}") != ""
    assert mirror.reference(server.mirror, SALVAGE) is None


def test_an_agent_without_grant_reads_but_is_told_why_it_cannot_push(server, bench):
    server.world["grants"] = {}
    server.save()

    assert bench.run("ls-remote", server.url()).returncode == 0
    assert "remote: agentcom: ada is disabled." in push(bench, server, f"HEAD:refs/heads/{BRANCH}")

    server.grant()
    assert "ada has no open attempt here" in push(bench, server, f"HEAD:refs/heads/{BRANCH}")


def test_a_wrong_token_is_401_and_a_foreign_repository_404(server, bench):
    address = f"http://{server.base}/git/sample.git/info/refs?service=git-upload-pack"

    nobody = httpx.get(address)
    wrong = httpx.get(address, auth=("x", "act_wrong"))
    foreign = httpx.get(address, headers={"authorization": f"Bearer {OTHER}"})
    mine = httpx.get(address, headers={"authorization": f"Bearer {TOKEN}"})

    assert [401, 401, 404, 200] == [answer.status_code for answer in (nobody, wrong, foreign, mine)]
    assert 'Basic realm="AgentCom", charset="UTF-8"' == nobody.headers["www-authenticate"]
    assert "remote: agentcom: there is no repository sample for eve." in push(bench, server, "HEAD:x", token=OTHER)


BAD_PATHS = [
    "/git/sample.git/HEAD",
    "/git/sample.git/config",
    "/git/sample.git/objects/info/packs",
    "/git/sample.git/info/refs?service=git-upload-archive",
    "/git/sample.git/info/refs",
    "/git/sample.git/info/refs?service=git-upload-pack&x=1",
    "/git/..%2f..%2fsample.git/info/refs?service=git-upload-pack",
    "/git/%2e%2e/repos/sample.git/info/refs?service=git-upload-pack",
    "/git/../repos/sample.git/info/refs?service=git-upload-pack",
    "/git/sample.git%00/info/refs?service=git-upload-pack",
    "/git/sample.git/info/refs%0a?service=git-upload-pack",
    "/git/-sample.git/info/refs?service=git-upload-pack",
    "/git/sample..git/info/refs?service=git-upload-pack",
    "/git//sample.git/info/refs?service=git-upload-pack",
    "/gitsample.git/info/refs?service=git-upload-pack",
    "/sample.git/info/refs?service=git-upload-pack",
]


def raw(server: Server, request: bytes) -> bytes:
    """What the server answers to exactly these bytes."""
    host, port = server.base.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def basic(token: str = TOKEN) -> bytes:
    return b"Authorization: Basic " + base64.b64encode(b"x:" + token.encode())


@pytest.mark.parametrize("path", BAD_PATHS)
def test_only_the_smart_routes_of_well_formed_names_exist(server, path):
    answer = raw(server, b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\n\r\n" % (path.encode(), basic()))

    assert answer.split(b" ")[1] in {b"403", b"404", b"400"}, answer
    assert b"refs/heads" not in answer


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "info/refs?service=git-upload-pack", {}, 405),
        ("HEAD", "info/refs?service=git-upload-pack", {}, 405),
        ("GET", "git-upload-pack", {}, 405),
        ("PUT", "git-receive-pack", {}, 405),
        ("POST", "git-upload-pack", {"content-type": "application/x-www-form-urlencoded"}, 415),
        ("POST", "git-receive-pack", {"content-type": "application/x-git-upload-pack-request"}, 415),
        (
            "POST",
            "git-upload-pack",
            {"content-type": "application/x-git-upload-pack-request", "content-encoding": "br"},
            415,
        ),
    ],
)
def test_another_method_or_type_is_refused(server, method, path, headers, status):
    address = f"http://{server.base}/git/sample.git/{path}"

    assert status == httpx.request(method, address, headers=headers, auth=("x", TOKEN)).status_code


def test_a_body_over_the_limit_is_413_in_both_ways_to_send_it(server):
    server.grant(f"refs/heads/{BRANCH}", max_pack_bytes=1000)
    address = f"http://{server.base}/git/sample.git/git-receive-pack"
    headers = {"content-type": "application/x-git-receive-pack-request"}
    body = b"0000" + b"x" * 200_000

    said = httpx.post(address, content=body, headers=headers, auth=("x", TOKEN))
    chunked = httpx.post(address, content=iter([body]), headers=headers, auth=("x", TOKEN))

    assert [413, 413] == [said.status_code, chunked.status_code]
    assert "larger than" in said.text
    assert until(lambda: not server.backends())


def test_garbage_in_a_body_ends_cleanly(server):
    address = f"http://{server.base}/git/sample.git/git-upload-pack"
    headers = {"content-type": "application/x-git-upload-pack-request"}

    for body in (b"", b"zzzz", b"0000", b"\xff" * 100, gzip.compress(b"zzzz")):
        packed = {"content-encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
        answer = httpx.post(address, content=body, headers=headers | packed, auth=("x", TOKEN))
        assert answer.status_code in {200, 400, 500, 502}

    assert until(lambda: not server.backends())


def slow_hook(server: Server) -> Path:
    """From now on a push stays in its hook until the file that is returned exists."""
    started = server.root / "started"
    hook = server.mirror / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {started}\nsleep 600\n")
    return started


def test_a_client_that_is_killed_takes_its_git_with_it(server, bench):
    bench.commit({"a": "1"})
    started = slow_hook(server)
    client = subprocess.Popen(
        ["git", "push", "--quiet", server.url(), f"HEAD:refs/heads/{BRANCH}"],
        cwd=bench.path,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until(started.exists)
    assert server.backends()

    os.killpg(client.pid, signal.SIGKILL)
    client.wait()

    assert until(lambda: not server.backends())
    assert mirror.head(server.mirror, BRANCH) is None
    mirror.create(server.mirror, None)
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""


def test_a_request_past_its_deadline_is_ended(tmp_path, bench):
    with running(tmp_path / "hub", GIT_APP_DEADLINE="2") as impatient:
        server = furnish(impatient, bench)
        bench.commit({"a": "1"})
        slow_hook(server)

        assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") != ""

        assert until(lambda: not server.backends())
        assert mirror.head(server.mirror, BRANCH) is None


def test_a_push_by_another_user_identity_or_config_reaches_no_hook_of_the_pusher(tmp_path, server, bench):
    bench.commit({"a": "1", ".gitattributes": "* filter=x diff=x merge=x\n"})

    done = bench.run("push", "--quiet", "--push-option=x", server.url(), f"HEAD:refs/heads/{BRANCH}")

    assert done.returncode != 0, "push options are not offered"
    assert push(bench, server, f"HEAD:refs/heads/{BRANCH}") == ""


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Basic " + base64.b64encode(b"ada:abc:d").decode(), "abc:d"),
        ("Basic " + base64.b64encode(b":abc").decode(), "abc"),
        ("Basic " + base64.b64encode(b"abc").decode(), None),
        ("Basic ###", None),
        ("Basic " + base64.b64encode(b"\xff:\xff").decode(), None),
        ("Digest abc", None),
        ("Bearer ", None),
        ("", None),
    ],
)
def test_the_token_is_the_password_or_the_bearer(value, token):
    assert token == token_from({"authorization": value})
