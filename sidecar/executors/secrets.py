"""What an agent CLI was granted and nobody else may see: kept out of its output, and out of the work it leaves."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from sidecar.descend import allow, descend
from sidecar.executors.base import Progress
from sidecar.executors.shell import Lines
from sidecar.sandbox import Limits
from sidecar.sandbox.capture import HeadTail

SHORTEST_SECRET = 8
"""Values of fewer characters are not kept out of the output: they would turn up everywhere by chance."""
TREE_FILE_BYTES = 20_000_000
"""A larger file is not looked through for secrets; the hub refuses it anyway."""
_PATH_CHARACTERS = 500
_SECRET_NAME = re.compile(rb"KEY|TOKEN|SECRET|PASS|AUTH|CRED", re.IGNORECASE)


class Secrets:
    """The values that a command was granted, and how they are kept out of what others get to see."""

    def __init__(self, granted: Mapping[str, str]) -> None:
        self._names = {form: name.encode() for name, value in granted.items() for form in _forms(value)}
        self._any = _any_of(self._names)
        self._secret = _any_of(form for form, name in self._names.items() if _SECRET_NAME.search(name))
        self._longest = max(map(len, self._names), default=0)

    def masked(self, text: bytes, *, more: bool = False) -> tuple[bytes, bytes]:
        """`text` with the name of each variable in place of its value, and the end that is held back.

        With `more` to come, what may be the beginning of a value is held back until it is known.
        """
        if self._any is None:
            return text, b""
        held = self._may_begin_at(text) if more else len(text)
        shown, at = [], 0
        for match in self._any.finditer(text):
            if match.start() >= held:
                break
            shown += [text[at : match.start()], b"[%b]" % self._names[match[0]]]
            at = match.end()
        held = max(held, at)
        return b"".join([*shown, text[at:held]]), text[held:]

    def _may_begin_at(self, text: bytes) -> int:
        for start in range(max(0, len(text) - self._longest + 1), len(text)):
            if any(len(form) > len(text) - start and form.startswith(text[start:]) for form in self._names):
                return start
        return len(text)

    def remove_from(self, tree: Path, since: float) -> list[str]:
        """Remove the files changed since then (seconds since the epoch) that hold a secret; their paths in the tree.

        They would be pushed to the hub, with the work or as its salvage. Only variables that sound like a secret are
        looked for, since an address or a model's name may well be part of the work, and only plain copies are found.
        """
        removed: list[str] = []
        if self._secret is None:
            return removed
        for found in descend(tree):
            name, at = found.entry.name, found.at
            if not found.entry.is_dir(follow_symlinks=False) and self._is_in(name, at, since):
                os.fchmod(at, 0o700)
                os.unlink(name, dir_fd=at)
                removed.append(found.path[:_PATH_CHARACTERS])
        return removed

    def _is_in(self, name: str, at: int, since: float) -> bool:
        assert self._secret is not None
        try:
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if found.st_ctime < since - 1 or found.st_size > TREE_FILE_BYTES:  # the kernel's clock for files is coarse
                return False
            if stat.S_ISLNK(found.st_mode):
                return bool(self._secret.search(os.fsencode(os.readlink(name, dir_fd=at))))
            if not stat.S_ISREG(found.st_mode):
                return False
            if not found.st_mode & stat.S_IRUSR:  # it would be made readable before the work is recorded
                allow(name, at, stat.S_IRUSR)
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
        except OSError:  # what we cannot read, git cannot either: it does not become part of the work
            return False
        with os.fdopen(descriptor, "rb") as file:
            return bool(self._secret.search(file.read()))


def _any_of(forms: Iterable[bytes]) -> re.Pattern[bytes] | None:
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None


def _forms(value: str) -> Iterator[bytes]:
    """A value as it may turn up in output: as it is, inside JSON, inside an address, and line by line."""
    for part in {value, *value.splitlines()}:
        if len(part) >= SHORTEST_SECRET:
            quoted = (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1], quote(part, safe=""))
            yield from (form.encode() for form in (part, *quoted))


class Output:
    """What an agent prints, without its secrets: told line by line, and its beginning and end kept."""

    def __init__(self, secrets: Secrets, limits: Limits, progress: Progress) -> None:
        """Keeps as many bytes of either end as `limits` say."""
        self._secrets = secrets
        self._kept = HeadTail(limits.output_head, limits.output_tail)
        self._lines = Lines(progress)
        self._held = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        shown, self._held = self._secrets.masked(self._held + chunk, more=True)
        self._take(shown)

    def close(self) -> str:
        """All that was kept, as text."""
        self._take(self._secrets.masked(self._held)[0])
        self._lines.close()
        return self._kept.text()

    def _take(self, shown: bytes) -> None:
        self._kept.write(shown)
        self._lines.feed(shown)
