"""Trees that are hard to go through, and what it is like to be no root."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def deepen(tree: Path, levels: int, *, name: str = "d", content: bytes = b"") -> None:
    """Directories within each other, and a file `f` in the last; no path is used, so that there is no end to it."""
    at = os.open(tree, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    file = os.open("f", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at)
    os.write(file, content)
    os.close(file)
    os.close(at)


def without_rights(act: Callable[[], object]) -> None:
    """Do it as an ordinary owner, to whom what is closed is closed, even when the tests run as root."""
    with ThreadPoolExecutor(1, initializer=_give_up_capabilities if os.geteuid() == 0 else None) as own_thread:
        own_thread.submit(act).result()


def _give_up_capabilities() -> None:
    """Of this thread only: root without them is the owner of root's files and nothing more."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none: Any = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")
