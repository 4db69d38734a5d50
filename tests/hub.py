"""A hub of the tests' own: real processes, own port, own data directory, own Valkey; gone when the test is."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
FAST = {
    "AGENTCOM_HEARTBEAT_SECONDS": "0.5",
    "AGENTCOM_IDLE_HEARTBEAT_SECONDS": "2",
    "AGENTCOM_LEASE_ASSIGNED_SECONDS": "3",
    "AGENTCOM_LEASE_WORKING_SECONDS": "3",
    "AGENTCOM_LEASE_BLOCKED_SECONDS": "3",
    "AGENTCOM_SWEEP_SECONDS": "0.3",
    "AGENTCOM_RETRY_BACKOFF_SECONDS": "0.2",
}
"""Leases and waits short enough to be lived through in a test."""


_MADE: list[tuple[Path, str]] = []
"""A data directory as a new hub makes it, and a token; it takes as long as the shorter tests."""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], Any], *, within: float = 30.0, what: str = "it") -> Any:
    """Ask until the answer is true; AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {within:.0f} s")
        time.sleep(0.05)


class Hub:
    """`start` and `kill` it as often as you like; its database stays."""

    def __init__(
        self,
        data_dir: Path,
        redis_url: str,
        *,
        env: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
        queues: tuple[str, ...] = ("default",),
    ) -> None:
        """`prefix` goes before the commands that serve, such as `ip netns exec NAME`; then `host` is that host's.

        `queues` are those that have a cluster, when it is started with clusters.
        """
        self.host = host
        self.port = free_port() if host == "127.0.0.1" else 8000
        self.data_dir = data_dir
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AGENTCOM_")},
            **FAST,
            "AGENTCOM_DATA_DIR": str(data_dir),
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "agentcom.settings",
            **(env or {}),
        }
        if "DATABASE_URL" not in (env or {}):
            self.env.pop("DATABASE_URL", None)
        self.prefix = list(prefix)
        self.queues = queues
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        # One client, since making one costs 30 ms; no kept connections, since the hub is killed and started.
        self._client = httpx.Client(trust_env=False, timeout=20, limits=httpx.Limits(max_keepalive_connections=0))

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def token(self) -> str:
        """Of an integration that may do everything."""
        return self._token

    def manage(self, *arguments: str) -> str:
        """Run a management command against this hub's database; what it printed."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def prepare(self) -> Hub:
        """Make the database and an integration token that may do everything; on SQLite a copy of what was made once."""
        if "DATABASE_URL" in self.env:
            self._token = self._made()
            return self
        if not _MADE:
            self._token = self._made()
            kept = Path(tempfile.mkdtemp(prefix="agentcom-hub-"))
            atexit.register(shutil.rmtree, kept, ignore_errors=True)
            shutil.copytree(self.data_dir, kept, dirs_exist_ok=True)
            _MADE.append((kept, self._token))
        kept, self._token = _MADE[0]
        shutil.copytree(kept, self.data_dir, dirs_exist_ok=True)
        return self

    def _made(self) -> str:
        return self.shell(
            "from django.core.management import call_command; call_command('migrate', verbosity=0);"
            "from django.contrib.auth.models import User; from apps.agents import tokens, scopes;"
            "u = User.objects.create_superuser('tester', password='a long password');"
            "print(tokens.mint('integration', user=u, scopes=scopes.SCOPES, by='tests')[1])"
        )

    def shell(self, code: str) -> str:
        """Run Python inside this hub's Django; the last line that it printed."""
        return self.manage("shell", "--verbosity=0", "-c", code).splitlines()[-1]

    def agents(self, *names: str) -> list[str]:
        """Make agents; their tokens."""
        made = self.shell(
            "from apps.agents.models import Agent; from apps.agents import tokens;"
            f"made = [Agent.objects.create(name=name) for name in {names!r}];"
            "print(*[tokens.mint('agent', agent=agent, by='tests')[1] for agent in made])"
        )
        return made.split()

    def start(self, *, clusters: bool = False) -> Hub:
        """Start the web process, and the job clusters if the test needs reactions; returns when it answers."""
        self._spawn("web", "web", "--bind", self.host, "--port", str(self.port))
        if clusters:
            self.start_clusters()
        eventually(self._answers, what="the hub's answer")
        return self

    def start_clusters(self) -> None:
        """Those that do not run."""
        for queue in self.queues:
            if queue not in self._processes:
                self._spawn(queue, "qcluster", Q_CLUSTER_NAME=queue)

    def _spawn(self, name: str, *arguments: str, **env: str) -> None:
        log = (self.data_dir / f"{name}.log").open("ab")
        command = [*self.prefix, sys.executable, str(ROOT / "manage.py"), *arguments]
        self._processes[name] = subprocess.Popen(
            command, env=self.env | env, stdout=log, stderr=log, start_new_session=True, cwd=ROOT
        )
        log.close()

    def _answers(self) -> bool:
        assert all(process.poll() is None for process in self._processes.values()), self.logs()
        with contextlib.suppress(httpx.TransportError):
            return bool(self.call("GET", "/api/health")[0] == 200)
        return False

    def kill(self, *names: str) -> None:
        """SIGKILL everything, as a power cut would; or only the processes of these names, `web` or a queue."""
        ended = {name: self._processes.pop(name) for name in names or [*self._processes]}
        for process in ended.values():
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, signal.SIGKILL)
        for process in ended.values():
            process.wait()

    def stop(self) -> None:
        """SIGTERM, as a supervisor sends it; SIGKILL for what does not go."""
        for process in self._processes.values():
            process.terminate()  # not to its group: a cluster ends its workers itself, and hangs without them
        with contextlib.suppress(subprocess.TimeoutExpired):  # what is left is killed
            for process in self._processes.values():
                process.wait(15)
        self.kill()

    def logs(self) -> str:
        return "\n".join(file.read_text(errors="replace")[-4_000:] for file in self.data_dir.glob("*.log"))

    def call(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, key: str = ""
    ) -> tuple[int, Any]:
        """One REST call, with an idempotency `key` if it has one; status and JSON."""
        headers = {"Authorization": f"Bearer {token or self._token}"} | ({"Idempotency-Key": key} if key else {})
        answer = self._client.request(method, self.url + path, json=body, headers=headers)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status_code, answer.json() if is_json and answer.content else answer.text

    def get(self, path: str) -> Any:
        status, found = self.call("GET", path)
        assert status == 200, (status, found)
        return found

    def post(self, path: str, body: Any = None) -> Any:
        status, found = self.call("POST", path, body if body is not None else {})
        assert status in (200, 201, 202), (status, found)
        return found

    def submit(self, **task: Any) -> int:
        """A shell task; its id."""
        return int(self.post("/api/tasks", {"title": "a task", "command": "true", **task})["id"])

    def task(self, pk: int) -> Any:
        return self.get(f"/api/tasks/{pk}")

    def await_status(self, pk: int, *statuses: str, within: float = 30.0) -> Any:
        """The task, once it has one of `statuses`."""
        eventually(
            lambda: self.task(pk)["status"] in statuses, within=within, what=f"task {pk} becoming {'/'.join(statuses)}"
        )
        return self.task(pk)


@contextlib.contextmanager
def hub_at(data_dir: Path, redis_url: str, *, clusters: bool = False, **options: Any) -> Iterator[Hub]:
    """A prepared, running hub until the block ends."""
    hub = Hub(data_dir, redis_url, **options).prepare()
    try:
        yield hub.start(clusters=clusters)
    finally:
        hub.stop()
