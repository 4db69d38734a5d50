"""A real repository to write tests against: files in, commits out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class Workbench:
    """A work tree with its own git; every commit is by Test and at a fixed time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if not (path / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")

    def run(self, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.org",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.org",
            "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
            "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
            "GIT_TERMINAL_PROMPT": "0",
        }
        return subprocess.run(
            ["git", *args], cwd=self.path, env=env, input=stdin, capture_output=True, check=False, timeout=60
        )

    def git(self, *args: str, stdin: bytes = b"") -> str:
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "surrogateescape").strip()

    def write(self, files: dict[str, str | bytes | None]) -> None:
        """Write files; None deletes one."""
        for name, content in files.items():
            file = self.path / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: dict[str, str | bytes | None], message: str = "Change.") -> str:
        self.write(files)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def branch(self, name: str, start: str = "main") -> None:
        self.git("checkout", "--quiet", "-B", name, start)

    def commit_entry(self, mode: str, object_id: str, name: str) -> str:
        """A commit with an entry that no work tree could hold."""
        self.git("update-index", "--add", "--cacheinfo", f"{mode},{object_id},{name}")
        self.git("commit", "--quiet", "-m", "Entry.")
        return self.head

    def commit_tree(self, *entries: tuple[str, str, str]) -> str:
        """A commit of exactly these (mode, object, name), with names that git's index would refuse."""
        listing = "".join(
            f"{mode} {'commit' if mode == '160000' else 'blob'} {sha}\t{name}\0" for mode, sha, name in entries
        )
        tree = self.git("mktree", "-z", "--missing", stdin=listing.encode())
        return self.git("commit-tree", tree, "-p", "HEAD", "-m", "Tree.")

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content)
