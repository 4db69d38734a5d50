"""Facts of the platform that the hub cannot work without, as Django system checks."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

from django.core.checks import CheckMessage, Error, register

OLDEST_GIT = (2, 38)


@register()
def git_is_new_enough(**_: Any) -> list[CheckMessage]:
    """The hub merges without a work tree, which git does since 2.38."""
    path = shutil.which("git")
    if path is None:
        return [Error("git is not installed.", hint="Debian, Ubuntu: apt install git", id="events.E001")]
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or tuple(map(int, found.groups())) < OLDEST_GIT:
        return [Error(f"{said.strip()} is too old.", hint="AgentCom needs git 2.38 or newer.", id="events.E002")]
    return []
