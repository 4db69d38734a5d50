"""Find out, by really running something, how commands can be confined on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from sidecar.sandbox import cgroup, seccomp
from sidecar.sandbox.bubblewrap import Confinement, Mode, hand_over, invocation, user_of
from sidecar.sandbox.policy import Level, Limits, Policy, Unavailable

INSTALL = "Install bubblewrap: `apt install bubblewrap` (Debian, Ubuntu) or `dnf install bubblewrap` (Fedora)."
_ALLOW = (
    "Let this user make user namespaces (Ubuntu: an AppArmor profile for bwrap, or "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`; Docker: `--security-opt seccomp=unconfined`)."
)
_UNFILTERED = (
    "There is no system call filter for this kind of machine; without one the network would bring local sockets along."
    "\nGive the command no network here, or run it on x86-64 or ARM (64 bits)."
)
_MAC = "There is no bubblewrap for this system: run the sidecar on Linux, in a virtual machine for example."
_TRIAL_SECONDS = 10
_OLDEST = (0, 5)


def detect(policy: Policy | None = None) -> Level:
    """What holds under `policy` on this machine. Never raises; takes some ten milliseconds the first time."""
    if policy is not None and policy.sandbox == "off":
        reason = "The operator of this machine turned the sandbox off: tasks can read what this user can read."
        return Level(
            name="off", reason=reason, enforced=("deadline", "environment", "output", "disk", *cgroup.enforced())
        )
    try:
        how = confinement(policy)
    except Unavailable as missing:
        reason, _, hint = str(missing).partition("\n")
        return Level(name="none", reason=reason, hint=hint)
    version = ".".join(map(str, how.version))
    return Level(name="bubblewrap", reason=f"bubblewrap {version} works here.", enforced=enforced(how, policy))


def enforced(how: Confinement, policy: Policy | None = None) -> tuple[str, ...]:
    """The names of what holds: each is a promise of its own, so a missing one is visible."""
    shared = policy is not None and policy.network
    found = ["files", *([] if shared else ["network"]), "environment", "deadline", "output", "disk", "processes"]
    found += ["syscalls"] if how.filtered else []
    found += ["memory"] if "memory" in how.group_limits else ["memory-per-process"]
    found += ["unprivileged"] if how.mode == "dropped" else []
    return tuple(found)


def confinement(policy: Policy | None = None) -> Confinement:
    """How bubblewrap works here. Raises Unavailable, whose text has the reason and, on a second line, what to do."""
    found = _confinement()
    if not isinstance(found, Confinement):
        raise Unavailable("\n".join(found))
    if policy is not None and policy.network and not found.filtered:
        raise Unavailable(_UNFILTERED)
    return found


@cache
def _confinement() -> Confinement | tuple[str, str]:
    if sys.platform != "linux":
        return "The sandbox needs Linux.", _MAC
    program = shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed, so commands cannot be confined.", INSTALL
    version = _version(program)
    if version < _OLDEST:
        return f"bubblewrap {'.'.join(map(str, version))} is too old; it takes 0.5 or later.", INSTALL
    refusals = []
    for mode in _modes():
        how = Confinement(
            program=program,
            version=version,
            mode=mode,
            filtered=seccomp.program() is not None,
            group_limits=frozenset(cgroup.enforced()),
        )
        refusal = _try(how)
        if refusal is None:
            return how
        refusals.append(refusal)
    return f"bubblewrap is installed but does not work here: {refusals[-1]}", _ALLOW


def _modes() -> tuple[Mode, ...]:
    return ("dropped", "mapped") if os.geteuid() == 0 else ("mapped",)


def _version(program: str) -> tuple[int, ...]:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_TRIAL_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(part) for part in re.findall(r"\d+", said.stdout)[:3])


def _try(how: Confinement) -> str | None:
    """Run the smallest real thing, with everything a task's command gets; None when it worked, else what was said."""
    with tempfile.TemporaryDirectory(prefix="agentcom-trial-") as directory, ExitStack() as keep:
        tree = Path(directory)
        try:
            if how.mode == "dropped":
                hand_over(tree, user_of(tree, how.mode))
            ready = invocation(
                ["/bin/sh", "-c", "echo works > trial && test ! -e /etc/shadow"],
                tree=tree,
                limits=Limits(),
                policy=Policy(),
                environment={"PATH": "/usr/bin:/bin"},
                files={},
                how=how,
                keep=keep,
            )
            trial = subprocess.run(
                ready.argv,
                pass_fds=ready.descriptors,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                env={},
                timeout=_TRIAL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as problem:
            return str(problem)
        if trial.returncode == 0:
            return None
        return trial.stderr.decode("utf-8", "replace").strip() or f"a trial command ended with {trial.returncode}"
