"""Kills what the supervisor started when the supervisor itself is killed. Standard library only; run as a script.

It reads process groups from its standard input: `+41` to remember one, `-41` to forget it. End of file means that the
supervisor is gone, however it went; what is still remembered then gets SIGKILL. The supervisor forgets every group
that it has ended itself, so after an orderly stop there is nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Remember until the end of the input, then kill."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)  # only the supervisor's end may end this
    groups: set[int] = set()
    for line in sys.stdin:
        change, group = line[0], int(line[1:])
        if change == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already, or the number is another's now
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
