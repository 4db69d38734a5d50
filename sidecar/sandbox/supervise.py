"""Runs one command without bubblewrap and leaves none of its processes behind. Started as a program of its own.

`python -I -S supervise.py GRACE LIMITS DOORS -- COMMAND…`. As a subreaper it becomes the parent of every orphan below
it, so a grandchild in a session of its own is still found and ended. SIGTERM asks the command to stop and ends it
after the grace; when the process that started us dies, the kernel sends SIGUSR1 and everything goes at once.

Only the standard library, and as little of it as can be: this starts with every command.
"""

import ctypes
import os
import resource
import signal
import sys
import time
from types import FrameType

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - `-I` shuts the package out
from processes import descendants  # type: ignore[import-not-found, unused-ignore]

del sys.path[0]

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIMITS = {
    "fsize": resource.RLIMIT_FSIZE,
    "nofile": resource.RLIMIT_NOFILE,
    "cpu": resource.RLIMIT_CPU,
    "core": resource.RLIMIT_CORE,
    "data": resource.RLIMIT_DATA,
}


def main(arguments: list[str]) -> int:
    """Run the command; answer with its exit code as a shell would."""
    grace, limits, doors = float(arguments[0]), arguments[1], arguments[2]
    command = arguments[arguments.index("--") + 1 :]
    parent = os.getppid()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: _ask_to_stop(grace))
    for number in (signal.SIGALRM, signal.SIGUSR1):
        signal.signal(number, _end_now)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.getppid() != parent:
        return 137  # it died before the kernel knew that we care
    child = os.fork()
    if child == 0:
        _become(command, limits, doors)
    code = _wait(child)
    _end_all()
    return code


def _become(command: list[str], limits: str, doors: str) -> None:
    try:
        for number in (signal.SIGTERM, signal.SIGALRM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for door in filter(None, doors.split(":")):
            with open(door, "w") as file:  # noqa: PTH123 - pathlib would double the time this takes to start
                file.write("0")
        for name, _, value in (part.partition("=") for part in limits.split(",")):
            hard = resource.getrlimit(_LIMITS[name])[1]
            most = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
            resource.setrlimit(_LIMITS[name], (most, most))
        os.execvp(command[0], command)  # noqa: S606 - becoming the command is what this child is for
    except OSError as problem:
        sys.stderr.write(f"{command[0]}: {problem.strerror}\n")
        sys.stderr.flush()
    os._exit(127)


def _wait(child: int) -> int:
    """Reap whatever ends until it is the command itself."""
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _ask_to_stop(grace: float) -> None:
    for pid in _family():
        _send(pid, signal.SIGTERM)
    signal.setitimer(signal.ITIMER_REAL, max(grace, 0.001))


def _end_now(_number: int, _frame: FrameType | None) -> None:
    _end_all()
    os._exit(137)


def _end_all() -> None:
    """Kill and reap until nobody is left: whoever forks while we look is found the next time round."""
    while family := _family():
        for pid in family:
            _send(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.001)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone, or it changed its user


def _family() -> list[int]:
    found: list[int] = descendants(os.getpid())
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
