"""The words that tell bubblewrap what a command may see and do.

All of them travel in an anonymous file (`--args`), so that neither paths nor the environment show up in `ps`, and
bubblewrap itself never runs with an environment that a task had a say in.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sidecar.descend import descend
from sidecar.sandbox import seccomp
from sidecar.sandbox.places import ETC_DIRECTORIES, certificates, etc_copies, network_copies, toolchains
from sidecar.sandbox.policy import Limits, Policy

HOME = "/home/agent"
FILES = "/run/agentcom"
_PRIVATE = ("/tmp", HOME, "/dev/shm")  # noqa: S108 - the sandbox's own

# `mapped`: an ordinary user (or a root without more rights) in a user namespace of its own. `dropped`: a real root
# gives its rights up for a user id that owns nothing, because as uid 0 the kernel would exempt it from process limits
# and let it own what root owns.
Mode = Literal["mapped", "dropped"]
_INSIDE_ID = 1000
_DROPPED_IDS = (64_100, 800)  # first, how many: unassigned on Debian and Fedora, within a container's 65,536

_LIMITER = "/usr/bin/prlimit"
_DROPPER = "/usr/bin/setpriv"


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """How bubblewrap works on this machine: where it is, its version, in which mode, and whether calls are filtered."""

    program: str
    version: tuple[int, ...]
    mode: Mode
    filtered: bool
    group_limits: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """A ready command line and the descriptors it must inherit."""

    argv: list[str]
    descriptors: tuple[int, ...]


def user_of(tree: Path, mode: Mode) -> int:
    """The user id that a command in `tree` runs as, seen from inside; each tree has its own when rights are dropped."""
    if mode == "mapped":
        return _INSIDE_ID
    first, count = _DROPPED_IDS
    return first + tree.stat().st_ino % count


def invocation(
    command: Sequence[str],
    *,
    tree: Path,
    limits: Limits,
    policy: Policy,
    environment: Mapping[str, str],
    files: Mapping[str, bytes],
    how: Confinement,
    keep: ExitStack,
) -> Invocation:
    """Put the command line together; `keep` closes the descriptors when the command has started."""
    user = user_of(tree, how.mode)
    given = _Descriptors(keep)
    trusted = certificates() if policy.network else []
    places = [tree, *toolchains(policy), *trusted]
    words = [
        *_isolation(how, user, network=policy.network),
        *_system(),
        *_ways_to(places, below_private=False),
        *_private(how, limits),
    ]
    words += [*_ways_to(places, below_private=True), *_etc(given, user, network=policy.network), *_toolchains(policy)]
    for path in trusted:
        words += ["--ro-bind", str(path), str(path)]
    for name, content in files.items():
        words += ["--perms", "0444", "--file", given.file(content), f"{FILES}/{name}"]
    words += ["--bind", str(tree), str(tree), "--chdir", str(tree), "--remount-ro", "/"]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    if how.filtered:
        words += ["--seccomp", given.file(seccomp.program(network=policy.network) or b"")]
    arguments = given.file(b"".join(word.encode() + b"\0" for word in words))
    inner = [*_limited(limits), *_dropped(how, user), *command]
    return Invocation(argv=[how.program, "--args", arguments, "--", *inner], descriptors=tuple(given.numbers))


class _Descriptors:
    """Anonymous files to be read by bubblewrap, by number."""

    def __init__(self, keep: ExitStack) -> None:
        self._keep = keep
        self.numbers: list[int] = []

    def file(self, content: bytes) -> str:
        number = os.memfd_create("agentcom")
        self._keep.callback(os.close, number)
        os.write(number, content)
        os.lseek(number, 0, os.SEEK_SET)
        self.numbers.append(number)
        return str(number)


def _isolation(how: Confinement, user: int, *, network: bool) -> list[str]:
    words = ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox"]
    words += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    words += [] if network else ["--unshare-net"]
    words += ["--cap-drop", "ALL"]
    if how.mode == "mapped":
        words += ["--unshare-user", "--uid", str(user), "--gid", str(user)]
        if not how.filtered and how.version >= (0, 8):
            words.append("--disable-userns")
    else:
        # The third lets root enter the tree it has handed over; changing the user gives all three up.
        words += [word for name in ("SETUID", "SETGID", "DAC_READ_SEARCH") for word in ("--cap-add", f"CAP_{name}")]
    return words


def _system() -> Iterator[str]:
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        place = Path("/", name)
        if place.is_symlink():
            yield from ("--symlink", str(place.readlink()), str(place))
        elif place.is_dir():
            yield from ("--ro-bind", str(place), str(place))
    yield from ("--proc", "/proc", "--dev", "/dev")


def _ways_to(places: Iterable[Path], *, below_private: bool) -> Iterator[str]:
    """Directories on the way to what is bound; left to itself bubblewrap closes them to all but its own user.

    Those below our private directories can only be made when these are there.
    """
    ours = (Path("/etc/ssl/openssl.cnf"), Path(FILES, "file"), Path("/var/tmp"))  # noqa: S108 - the sandbox's own
    ways = {way for place in (*places, *ours) for way in place.parents if len(way.parts) > 1}
    for way in sorted(ways):
        within = any(way.is_relative_to(private) and way != Path(private) for private in _PRIVATE)
        if within == below_private and way.parts[1] not in {"usr", "proc", "dev"} and str(way) not in _PRIVATE:
            yield from ("--perms", "0755", "--dir", str(way))


def _etc(given: _Descriptors, user: int, *, network: bool) -> Iterator[str]:
    for path in ETC_DIRECTORIES:
        yield from ("--ro-bind-try", path, path)
    synthetic = {
        "/etc/passwd": f"agent:x:{user}:{user}:agent:{HOME}:/bin/sh\n",
        "/etc/group": f"agent:x:{user}:\n",
        "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    }
    made = {path: text.encode() for path, text in synthetic.items()}
    for path, content in {**etc_copies(), **made, **(network_copies() if network else {})}.items():
        yield from ("--perms", "0444", "--file", given.file(content), path)


def _toolchains(policy: Policy) -> Iterator[str]:
    shown = toolchains(policy)
    for path in shown:
        yield from ("--ro-bind", str(path), str(path))
    for hidden in policy.hidden:
        place = hidden.expanduser().absolute()
        if any(place.is_relative_to(path) for path in shown) and place.is_dir():
            yield from ("--tmpfs", str(place))


def _private(how: Confinement, limits: Limits) -> Iterator[str]:
    yield from ("--symlink", "/tmp", "/var/tmp")  # noqa: S108 - the sandbox's own
    for place in _PRIVATE:
        if how.version >= (0, 7):
            yield from ("--size", str(limits.temporary_bytes))
        yield from ("--perms", "1777" if place != HOME else "0777", "--tmpfs", place)


def _limited(limits: Limits) -> list[str]:
    """rlimits are set inside, where the process count of a user namespace is its own.

    Data and not address space holds the memory limit: runtimes reserve far more addresses than they ever use.
    """
    limited = {
        "nproc": limits.processes,
        "data": limits.memory_bytes,
        "as": limits.memory_bytes * 16,
        "fsize": limits.file_bytes,
        "nofile": limits.open_files,
        "cpu": limits.cpu_seconds,
        "core": 0,
    }
    return [_LIMITER, *(f"--{name}={value}:{value}" for name, value in limited.items())]


def _dropped(how: Confinement, user: int) -> list[str]:
    return (
        [_DROPPER, f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"]
        if how.mode == "dropped"
        else []
    )


def hand_over(tree: Path, user: int) -> None:
    """Give a tree that root made to the user its commands run as; done once, before the first command."""
    if tree.stat().st_uid == user:
        return
    for found in descend(tree):
        os.chown(found.entry.name, user, user, dir_fd=found.at, follow_symlinks=False)
    shutil.chown(tree, user, user)  # last, so that a walk that was cut short is done again
