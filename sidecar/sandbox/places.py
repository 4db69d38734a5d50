"""What a sandboxed command gets to see of this machine: system directories, toolchains, and a handful of /etc."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sidecar.sandbox.policy import Policy

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# Read by libc, by the loader and by tools; nothing of it is private on any system. /etc itself is never shown: to a
# real root it would hold the shadow file. Copied, not mounted: every mount costs as much as a small program.
ETC_COPIES = ("/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/ssl/openssl.cnf")
ETC_DIRECTORIES = ("/etc/alternatives",)

# Showing one of these whole would undo the sandbox.
_TOO_MUCH = {Path(name) for name in ("/", "/home", "/root", "/etc", "/var", "/run", "/tmp", "/proc", "/sys", "/dev")}  # noqa: S108


class BadPolicy(ValueError):
    """The configured toolchain directory would show more than a toolchain."""


def toolchains(policy: Policy) -> tuple[Path, ...]:
    """The directories to show read-only: the running Python's, then the operator's. Raises BadPolicy."""
    configured = [path.expanduser().absolute() for path in policy.read_only]
    for path in configured:
        if path in _TOO_MUCH or path == Path.home():
            raise BadPolicy(f"{path} cannot be shown to tasks whole: name the toolchain's own directory.")
    wanted = dict.fromkeys([*_own_python(), *configured])
    return tuple(path for path in wanted if path.is_dir() and not path.is_relative_to("/usr"))


def search_path(policy: Policy) -> str:
    """PATH inside: the toolchains' `bin`, the operator's before our own Python's, then the system's."""
    shown = toolchains(policy)
    own = set(_own_python())
    ordered = [path for path in shown if path not in own] + [path for path in shown if path in own]
    return ":".join([*_programs(ordered), *SYSTEM_PATH])


def _programs(directories: Iterable[Path]) -> list[str]:
    return [str(path / "bin") if (path / "bin").is_dir() else str(path) for path in directories]


@cache
def _own_python() -> tuple[Path, ...]:
    return tuple(path for path in map(Path, (sys.prefix, sys.base_prefix)) if path not in _TOO_MUCH)


@cache
def etc_copies() -> dict[str, bytes]:
    """The contents of the few files of /etc that are shown, where they exist."""
    return {name: Path(name).read_bytes() for name in ETC_COPIES if Path(name).is_file()}
