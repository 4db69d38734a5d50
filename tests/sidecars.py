"""Real sidecar processes for journeys: joined with a real code, run, stopped, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sidecar import config
from sidecar.daemon import RESTART
from tests.hub import ROOT, Hub


class Sidecar:
    """One agent's machine: its root directory, and the daemon while it runs.

    `prefix` goes before its commands, such as `ip netns exec NAME`.
    """

    words: Sequence[str] = ()
    """What `run` is told besides."""

    def __init__(self, hub: Hub, name: str, root: Path, *, prefix: Sequence[str] = ()) -> None:
        self.hub = hub
        self.name = name
        self.root = root
        self.prefix = list(prefix)
        self.process: subprocess.Popen[bytes] | None = None
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AGENTCOM_")}
        self.env |= {"AGENTCOM_ROOT": str(root), "PYTHONPATH": str(ROOT)}

    def _command(self, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "sidecar", *arguments]

    def join(self, *options: str) -> Sidecar:
        """Enrol with a one-time code, as an operator's machine would."""
        code = self.hub.post("/api/agents/enrolment-codes", {"name": self.name})["code"]
        command = self._command("join", self.hub.url, "--code", code, "--name", self.name, *options)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return self

    def says(self, *arguments: str) -> tuple[int, str]:
        """Run another command of the sidecar's: its exit code, and what it printed."""
        command = self._command(*arguments, "--name", self.name)
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    def limit(self, **seconds: float) -> None:
        """Set bounds of its configuration, such as `drain_seconds`; heard at the next start."""
        root = config.root_of(self.name, self.root)
        known = config.load(root)
        config.save(root, known.model_copy(update={"limits": known.limits.model_copy(update=seconds)}))

    def start(self) -> Sidecar:
        with (self.root / "run.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("run", *self.words), env=self.env, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        return self

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, how: signal.Signals) -> None:
        """To the daemon alone, as the kernel or an operator would; its commands must not outlive it."""
        assert self.process is not None
        self.process.send_signal(how)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def end(self) -> None:
        """SIGTERM twice, which hurries; SIGKILL for what stays."""
        if self.process is None or self.process.poll() is not None:
            return
        for how in (signal.SIGCONT, signal.SIGTERM, signal.SIGTERM):
            self.process.send_signal(how)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        file = self.root / "run.log"
        return file.read_text(errors="replace")[-6_000:] if file.exists() else ""


class Supervised(Sidecar):
    """The daemon has a supervisor, which starts the next process when one asks for that, as systemd does."""

    words = ("--supervised",)

    def start(self) -> Sidecar:
        super().start()
        threading.Thread(target=self._supervise, daemon=True).start()
        return self

    def _supervise(self) -> None:
        while self.process is not None and self.process.wait() == RESTART:
            super().start()


@contextlib.contextmanager
def sidecars(
    hub: Hub, base: Path, *names: str, prefixes: Sequence[Sequence[str]] = ((), ()), kind: type[Sidecar] = Sidecar
) -> Iterator[list[Sidecar]]:
    """Joined and running sidecars until the block ends."""
    crew = [kind(hub, name, base / name, prefix=prefix) for name, prefix in zip(names, prefixes, strict=True)]
    try:
        with ThreadPoolExecutor(len(crew)) as pool:
            for one in crew:
                one.root.mkdir()
            list(pool.map(lambda one: one.join().start(), crew))
        yield crew
    finally:
        for one in crew:
            one.end()


@contextlib.contextmanager
def thinking(hub: Hub, base: Path, **environments: Mapping[str, str]) -> Iterator[list[Sidecar]]:
    """Sidecars of these names that found what their environments name when they joined; running."""
    crew = []
    for name, env in environments.items():
        (base / name).mkdir()
        one = Sidecar(hub, name, base / name)
        one.env = {key: value for key, value in one.env.items() if not key.startswith("ANTHROPIC_")}
        one.env |= {"OLLAMA_HOST": "http://127.0.0.1:9", **env}
        crew.append(one.join().start())
    try:
        yield crew
    finally:
        for one in crew:
            one.end()
