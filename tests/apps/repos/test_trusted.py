from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from apps.repos import diff, mirror, trusted
from apps.repos.trusted import GitFailed, Invalid, git, valid_branch, valid_commit, valid_url
from tests.apps.repos.workbench import Workbench

GOOD_URLS = [
    "https://github.com/acme/widgets.git",
    "http://10.0.0.7:3000/acme/widgets",
    "ssh://git@example.org:2222/acme/widgets.git",
    "git@github.com:acme/widgets.git",
    "https://user:secret@example.org/x.git",
]
BAD_URLS = [
    "",
    "ext::sh -c id",
    "ext::sh",
    "EXT::sh",
    "fd::3",
    "-oProxyCommand=id",
    "--upload-pack=id",
    "ssh://-oProxyCommand=id/x",
    "ssh://-x@host/y",
    "git@-oProxyCommand=id:x",
    "-x@host:y",
    "file:///etc",
    "/etc",
    "../elsewhere",
    "C:\\x",
    "https://exa mple.org/x",
    "https://example.org/x\n",
    "https://example.org/\x1b[2J",
    "https:///x",
    "https://example.org:99999/x",
    "ftp://example.org/x",
    "git://example.org/x",
    "https://" + "a" * 600,
    "https+ext::https://x",
]
BAD_BRANCHES = [
    "", "-x", "--upload-pack=id", "a b", "a..b", "a/", "/a", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a~1", "a^",
    "a:b", "a?", "a*", "a[b", "a\\b", "a\nb", "a\x7f", "@", "a@{1}", "HEAD", "ü", "a.", "$(id)", "a" * 201,
]  # fmt: skip


def ended(pid: int) -> bool:
    """Whether the process runs no more; one that nobody has waited for yet does not run."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gone altogether
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                time.sleep(0.02)
                continue
        return True
    return False


@pytest.mark.parametrize("url", GOOD_URLS)
def test_an_ordinary_address_is_taken_as_it_is(url):
    assert url == valid_url(url)


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_address_that_could_run_or_read_something_is_refused(url):
    with pytest.raises(Invalid) as refused:
        valid_url(url)

    assert 400 == refused.value.status
    assert refused.value.message.isprintable()


def test_a_local_path_is_taken_only_where_it_is_allowed():
    assert "/srv/x.git" == valid_url("/srv/x.git", allow_local=True)
    assert "file:///srv/x.git" == valid_url("file:///srv/x.git", allow_local=True)

    for url in ("/srv/../etc", "file://host/x", "srv/x"):
        with pytest.raises(Invalid):
            valid_url(url, allow_local=True)


def test_a_refused_address_does_not_repeat_its_password():
    with pytest.raises(Invalid) as refused:
        valid_url("ftp://ada:hunter2@example.org/x")

    assert "hunter2" not in refused.value.message


@pytest.mark.parametrize(
    "name", ["main", "agentcom/gcu-ada/41-fix-the-parser", "release/1.2", "a-b_c.d", "dependabot/x@1"]
)
def test_an_ordinary_branch_is_taken(name):
    assert name == valid_branch(name)


@pytest.mark.parametrize("name", BAD_BRANCHES)
def test_a_name_that_git_would_read_otherwise_is_no_branch(name):
    with pytest.raises(Invalid):
        valid_branch(name)


@pytest.mark.parametrize(
    "value", ["", "HEAD", "main", "-x", "abc", "A" * 40, "a" * 39, "a" * 40 + "\n", "a" * 40 + "^{tree}"]
)
def test_only_a_full_object_id_is_a_commit(value):
    with pytest.raises(Invalid):
        valid_commit(value)


def test_git_of_the_hub_reads_nobody_elses_configuration(tmp_path: Path, monkeypatch, bare):
    ran = tmp_path / "ran"
    hostile = tmp_path / "gitconfig"
    hostile.write_text(
        f'[core]\n\tfsmonitor = "touch {ran}"\n[alias]\n\tlog = "!touch {ran}"\n[user]\n\tname = Mallory\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(hostile))
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {ran}")
    (tmp_path / ".gitconfig").write_text(hostile.read_text())

    assert "Mallory" not in trusted.text(bare, "config", "--list")
    assert b"README.md" in git(bare, "ls-tree", "main")
    assert not ran.exists()


def test_hooks_and_drivers_in_the_repository_itself_do_not_run(tmp_path, bench: Workbench, bare, give):
    ran = tmp_path / "ran"
    for hook in ("reference-transaction", "post-update", "update"):
        (bare / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (bare / "hooks" / hook).chmod(0o755)
    (bare / "info").mkdir(exist_ok=True)
    (bare / "info" / "attributes").write_text("* diff=evil\n")
    git(bare, "config", "diff.evil.textconv", f"touch {ran}; cat")
    git(bare, "config", "diff.external", f"touch {ran}")
    bench.branch("topic")
    topic = bench.commit({"README.md": "other\n"})
    git(bare, "fetch", "--no-write-fetch-head", str(bench.path), "topic:refs/heads/topic", protocols=("file",))

    assert 1 == len(diff.patch(bare, bench.git("rev-parse", "main"), topic).files)
    assert not ran.exists()


def test_a_protocol_that_was_not_named_is_not_spoken(bare, bench: Workbench):
    with pytest.raises(GitFailed) as failed:
        git(bare, "fetch", str(bench.path), protocols=("https",))

    assert "not allowed" in failed.value.stderr


def test_a_failure_says_what_git_said_without_the_password(bare):
    with pytest.raises(GitFailed) as failed:
        git(bare, "fetch", "http://ada:hunter2@127.0.0.1:1/x.git", protocols=("http",))

    assert "hunter2" not in str(failed.value) + failed.value.stderr
    assert failed.value.reason.startswith("fatal:")


def test_a_git_that_takes_too_long_is_ended_with_its_children(tmp_path, bare):
    script = tmp_path / "ssh"
    pid = tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
    script.chmod(0o755)

    with pytest.raises(GitFailed) as failed:
        git(bare, "fetch", "git@example.org:x", protocols=("ssh",), env={"GIT_SSH_COMMAND": str(script)}, timeout=1.5)

    assert failed.value.code is None
    assert ended(int(pid.read_text()))


def test_only_so_much_of_an_output_is_read(bare):
    main = mirror.head(bare, "main")

    assert b"line 0\nl" == b"".join(trusted.chunks(bare, "cat-file", "blob", f"{main}:src/app.py", max_bytes=8))


def test_a_command_that_fails_while_it_is_read_says_so(bare):
    with pytest.raises(GitFailed):
        list(trusted.chunks(bare, "cat-file", "blob", "0" * 40, max_bytes=100))
