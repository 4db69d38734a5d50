"""Programs that run inside the sandbox, given to it as text: standard library only, and any Python that is there."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def program(name: str) -> list[str]:
    """The words to start one of them with; its arguments follow. Nothing of the tree is on its import path."""
    return ["python3", "-I", "-S", "-W", "ignore", "-c", Path(__file__).with_name(f"{name}.py").read_text()]
