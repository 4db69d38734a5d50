"""Makes `.venv` from the locked requirements: `python3 bootstrap.py hub` (what the hub runs on) or `dev` (all of it).

Needs nothing but the standard library, and starts on any Python 3.8+ in order to find a fitting one. The hash of the
lock is kept in the environment, so the next time there is nothing to do.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHONS = ((3, 13), (3, 12), (3, 11))
OLDEST_GIT = (2, 38)  # the first whose merge-tree can merge without a work tree
NEEDED_MEGABYTES = {"hub": 400, "dev": 900}
BLAMES = (
    (r"No space left on device|os error 28", "The disk is full: {venv} needs about {size} MB."),
    (r"DO NOT MATCH THE HASHES|Hash mismatch", "A downloaded package is not the one that was locked (hash mismatch)."),
    (
        r"name resolution|ConnectionError|ConnectTimeout|Network is unreachable|dns error|error sending request",
        "The package index cannot be reached: check the network, PIP_INDEX_URL and proxies, then run this again.",
    ),
    (r"Permission denied|os error 13", "{venv} cannot be written by this user."),
)


class Unfit(Exception):
    """This machine lacks something; the message says what, and how to get it."""


def lock_file(kind: str) -> Path:
    """The locked requirements of `kind`."""
    return ROOT / "requirements" / f"{kind}.txt"


def stamp(kind: str) -> Path:
    """Where the environment remembers which lock it was made from."""
    return VENV / f".{kind}.lock-hash"


def fingerprint(kind: str) -> str:
    """What the stamp holds when the environment is up to date."""
    return hashlib.sha256(lock_file(kind).read_bytes()).hexdigest()


def version_of(python: str | Path) -> tuple[int, int] | None:
    """(major, minor) of an interpreter; None when it does not run, as a pyenv shim without a version does not."""
    probe = [str(python), "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return int(answer[0]), int(answer[1])


def find_python() -> str:
    """An interpreter AgentCom runs on: this one, else the newest fitting one on the PATH."""
    if sys.version_info[:2] in PYTHONS:
        return sys.executable
    for version in PYTHONS:
        found = shutil.which("python{}.{}".format(*version))
        if found and version_of(found) == version:
            return found
    mine = "{}.{}".format(*sys.version_info[:2])
    raise Unfit(f"AgentCom needs Python 3.11, 3.12 or 3.13; this is {mine} and none of those is on the PATH.")


def check_git() -> None:
    """Raises Unfit when git is missing or too old to merge in a bare repository."""
    try:
        text = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        raise Unfit("AgentCom needs git 2.38 or newer; there is none on the PATH (Debian: apt install git).") from None
    numbers = re.search(r"(\d+)\.(\d+)", text)
    if numbers and (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
        raise Unfit(f"AgentCom needs git 2.38 or newer; this is {text.strip()}.")


def check_disk(kind: str) -> None:
    """Raises Unfit when an environment would not fit."""
    free = shutil.disk_usage(ROOT).free // 1_000_000
    if free < NEEDED_MEGABYTES[kind]:
        raise Unfit(f"The disk is full: {VENV} needs about {NEEDED_MEGABYTES[kind]} MB, {free} MB are free.")


def run(command: list[str], kind: str) -> None:
    """Run a step quietly; raises Unfit with the cause when it is a known one, else with the end of its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, check=False)
    if done.returncode == 0:
        return
    output = done.stdout.decode(errors="replace").strip()
    for pattern, sentence in BLAMES:
        if re.search(pattern, output):
            raise Unfit(sentence.format(venv=VENV, size=NEEDED_MEGABYTES[kind]))
    tail = "\n".join(output.splitlines()[-15:])
    raise Unfit(f"`{' '.join(command)}` failed:\n{tail}")


def make_environment(python: str, kind: str, uv: str | None) -> None:
    """Create `.venv` unless a fitting one is there; one whose interpreter is gone or too old is made again."""
    if version_of(VENV / "bin" / "python") in PYTHONS:
        return
    if VENV.exists():
        shutil.rmtree(VENV)
    if uv:
        run([uv, "venv", "--quiet", "--python", python, str(VENV)], kind)
        return
    ready = subprocess.run([python, "-c", "import venv, ensurepip"], capture_output=True, check=False)
    if ready.returncode != 0:
        package = "python{}.{}-venv".format(*(version_of(python) or (3, 11)))
        raise Unfit(f"Python's venv module is not complete here; install it first (Debian: apt install {package}).")
    run([python, "-m", "venv", str(VENV)], kind)


def install(kind: str, uv: str | None) -> None:
    """Install the lock into `.venv`, every file checked against its hash."""
    python = str(VENV / "bin" / "python")
    lock = str(lock_file(kind))
    if uv:
        run([uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock], kind)
        return
    if subprocess.run([python, "-c", "import pip"], capture_output=True, check=False).returncode != 0:
        run([python, "-m", "ensurepip"], kind)
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
    run([python, "-m", "pip", "install", *quiet, "--require-hashes", "-r", lock], kind)


def is_ready(kind: str) -> bool:
    """Whether `.venv` was made from this very lock and still runs."""
    try:
        return stamp(kind).read_text(encoding="ascii") == fingerprint(kind) and (VENV / "bin" / "python").exists()
    except FileNotFoundError:
        return False


def prepare(kind: str) -> None:
    """Make `.venv` fit for `kind`, saying so when it takes time. Raises Unfit."""
    check_git()
    if is_ready(kind):
        return
    python = find_python()
    check_disk(kind)
    uv = shutil.which("uv")
    started = time.monotonic()
    print(f"Preparing .venv with {'uv' if uv else 'pip'}, once; this takes up to a minute ...", flush=True)
    make_environment(python, kind, uv)
    install(kind, uv)
    for made in ("hub", "dev") if kind == "dev" else ("hub",):
        stamp(made).write_text(fingerprint(made), encoding="ascii")
    print(f"Ready in {time.monotonic() - started:.0f} s.", flush=True)


def main(arguments: list[str]) -> int:
    """Prepare the environment named on the command line; the exit status says whether it is there."""
    if len(arguments) != 1 or arguments[0] not in NEEDED_MEGABYTES:
        print("usage: python3 bootstrap.py hub|dev", file=sys.stderr)
        return 2
    try:
        with Path(__file__).open("rb") as mutex:  # two makes at once take turns
            fcntl.flock(mutex, fcntl.LOCK_EX)
            prepare(arguments[0])
    except Unfit as lack:
        print(lack, file=sys.stderr)
        return 1
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        print(f"The disk is full: {error}." if full else f"{VENV} cannot be made: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; run it again to go on.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
