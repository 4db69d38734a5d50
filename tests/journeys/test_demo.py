"""`make demo`, for real: every process, every expectation, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from apps.demo.ground import environment, git
from apps.demo.remains import family
from apps.ops.hub import is_free
from tests.hub import ROOT, eventually

pytestmark = [pytest.mark.redis, pytest.mark.journey, pytest.mark.slow, pytest.mark.timeout(600)]
TICKS = 20


class Demo:
    """One `manage.py demo` in a directory of its own."""

    def __init__(self, directory: Path, *arguments: str, path: str | None = None) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTCOM_", "DATABASE_URL"))}
        env["PATH"] = path or env["PATH"]
        self.directory = directory
        self.said = ""
        self.process = subprocess.Popen(
            (sys.executable, str(ROOT / "manage.py"), "demo", "--directory", str(directory), *arguments),
            cwd=directory.parent, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def hear(self, pattern: str) -> str:
        """The first group of `pattern`, once it was said."""

        def heard() -> re.Match[str] | None:
            found = re.search(pattern, self.said)
            assert found or self.process.poll() is None, self.said
            return found

        return str(eventually(heard, within=300, what=pattern)[1])

    def end(self) -> int:
        """Its exit status, when it has ended."""
        status = self.process.wait(400)
        self._reader.join(10)
        return status

    @property
    def port(self) -> int:
        return int(self.hear(r"serves at http://127\.0\.0\.1:(\d+)"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    demos: list[Demo] = []

    def start(*arguments: str, **options: str) -> Demo:
        demos.append(Demo(tmp_path / "demo", *arguments, **options))
        return demos[-1]

    yield start
    for demo in demos:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()


@pytest.mark.bwrap
def test_an_unattended_demonstration_merges_everything_and_leaves_nothing(start):
    demo = start("--once")
    status = demo.end()

    assert 0 == status, demo.said
    assert TICKS == demo.said.count("\n  ✓ "), demo.said
    assert f"All {TICKS} expectations held" in demo.said
    assert "Traceback" not in demo.said
    assert is_free("127.0.0.1", demo.port)
    assert set() == family(demo.directory)


def submit(browser: httpx.Client, page: str, action: str, **fields: str) -> httpx.Response:
    """Press the button of the form that leads to `action`, as a browser without scripts does."""
    which = 'method="post"' if page == action else f'action="{action}"'
    form = re.search(f"<form[^>]*{which}.*?</form>", browser.get(page).text, re.DOTALL)
    assert form, f"{page} has no form for {action}"
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form[0]))
    return browser.post(action, data={**hidden, **fields}, headers={"Referer": str(browser.base_url)})


def test_a_person_logs_in_by_the_link_merges_a_pull_request_and_sees_it_in_the_log(start):
    demo = start()
    demo.hear("(serves at)")
    second = start()

    assert 1 == second.end()
    assert f"A demo already runs in {demo.directory} (process {demo.process.pid})" in second.said
    assert "Traceback" not in second.said

    demo.hear("(Ctrl-C stops everything)")
    link = re.findall(r"http://127\.0\.0\.1:\d+(/login/\S+)", demo.said)[-1]
    with httpx.Client(base_url=f"http://127.0.0.1:{demo.port}", trust_env=False, follow_redirects=True) as browser:
        assert 200 == submit(browser, link, link).status_code
        pages = ["/", "/goals", "/goals/1", "/tasks", "/pulls", "/dead", "/agents", "/spending", "/repos"]
        pages += re.findall(r'href="(/tasks/\d+|/pulls/\d+)"', browser.get("/tasks").text + browser.get("/pulls").text)
        assert {200} == {browser.get(page).status_code for page in pages}
        merged = submit(browser, "/pulls/1", "/pulls/1/merge", method="merge")

    assert 200 == merged.status_code, merged.text
    assert "Merge !1" in git(demo.directory / "textkit", "log", "--format=%s")
    demo.hear(r"(!1 .*merged by operator)")

    demo.process.send_signal(signal.SIGINT)

    assert 0 == demo.end(), demo.said
    assert "Traceback" not in demo.said
    assert is_free("127.0.0.1", demo.port)
    assert set() == family(demo.directory)


def test_killed_outright_it_leaves_nothing_and_the_next_one_works(start):
    first = start()
    first.hear("(works on it)")
    first.process.kill()
    first.end()
    eventually(lambda: not family(first.directory), what="the end of what it had started")

    second = start()
    second.hear("(works on it)")
    second.process.send_signal(signal.SIGTERM)

    assert 0 == second.end(), second.said
    assert set() == family(second.directory)


def test_without_bubblewrap_it_says_so_in_one_line_and_goes_on(start, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("git", "sh", "env", "setpriv", "prlimit"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    demo = start(path=str(tools))
    demo.hear(r"(✓ completed by)")

    assert 1 == demo.said.count("The sandbox is off for this demo")
    assert "apt install bubblewrap" in demo.said

    demo.process.send_signal(signal.SIGINT)
    assert 0 == demo.end(), demo.said


def test_the_environment_of_the_demonstration_is_not_the_callers(tmp_path):
    assert str(tmp_path) == environment(tmp_path, os.environ)["AGENTCOM_DATA_DIR"]
