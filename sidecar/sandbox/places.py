"""What a sandboxed command gets to see of this machine: system directories, toolchains, and a handful of /etc."""

from __future__ import annotations

import os
import shutil
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

# For a command that shares the network: how names are looked up, and whom to trust. Never /etc/ssl or /etc/pki whole,
# for they hold private keys as well.
NETWORK_COPIES = ("/etc/resolv.conf", "/etc/hosts")
CERTIFICATES = (
    *("/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ca-certificates/extracted"),
    *("/etc/pki/ca-trust/extracted", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem"),
)
SYSTEM = tuple(Path("/", name) for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"))

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


def find_program(name: str, policy: Policy) -> Path | None:
    """Where a command finds the program `name` (bare, or an absolute path); None when it cannot see it or start it."""
    bare = policy.sandbox == "off"
    path = f"{search_path(policy)}:{os.environ.get('PATH', '')}" if bare else search_path(policy)
    found = shutil.which(name, path=path)
    if found is None:
        return None
    return Path(found) if bare or (_shown(Path(found), policy) and _shown(Path(found).resolve(), policy)) else None


def _shown(path: Path, policy: Policy) -> bool:
    hidden = [place.expanduser().absolute() for place in policy.hidden]
    return any(map(path.is_relative_to, (*SYSTEM, *toolchains(policy)))) and not any(map(path.is_relative_to, hidden))


def network_copies() -> dict[str, bytes]:
    """What of /etc a command with the network needs besides; read each time, for machines change their networks."""
    found = {name: Path(name).read_bytes() for name in NETWORK_COPIES if Path(name).is_file()}
    return {**found, "/etc/hosts": found.get("/etc/hosts", b"") + b"\n127.0.0.1 localhost sandbox\n"}


def certificates() -> list[Path]:
    """Where this machine keeps the certificates that it trusts."""
    return [path for path in map(Path, CERTIFICATES) if path.exists()]


def _programs(directories: Iterable[Path]) -> list[str]:
    return [str(path / "bin") if (path / "bin").is_dir() else str(path) for path in directories]


@cache
def _own_python() -> tuple[Path, ...]:
    return tuple(path for path in map(Path, (sys.prefix, sys.base_prefix)) if path not in _TOO_MUCH)


@cache
def etc_copies() -> dict[str, bytes]:
    """The contents of the few files of /etc that are shown, where they exist."""
    return {name: Path(name).read_bytes() for name in ETC_COPIES if Path(name).is_file()}
