"""How busy this machine is: processor, memory, disk and graphics processors. What cannot be measured is left out."""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import psutil

from sidecar.wire.nouns import Gpu, Load

NVIDIA = "nvidia-smi"
QUERY = ("--query-gpu=name,utilization.gpu,memory.total,memory.used", "--format=csv,noheader,nounits")
NVIDIA_SECONDS = 5.0
"""A driver that hangs keeps its own tool hanging; ours only goes without its numbers."""
MIB = 1024**2
CARDS = Path("/sys/class/drm")


class Meter:
    """Measures again and again; each reading of the processor is of the time since the one before."""

    def __init__(self, disk: Path, *, cards: Path = CARDS, nvidia: str | None = None) -> None:
        """`disk` is on the file system whose room counts: the one that work is done on."""
        self._disk = disk
        self._cards = cards
        self._nvidia = nvidia or shutil.which(NVIDIA)
        psutil.cpu_percent(percpu=True)  # the first reading is of no time at all

    async def read(self) -> Load:
        """The machine as it is now."""
        cores = [min(100.0, max(0.0, busy)) for busy in psutil.cpu_percent(percpu=True)]
        disk_bytes, disk_free_bytes = self._room()
        return Load(
            cpu=round(sum(cores) / len(cores), 1) if cores else None,
            cores=cores,
            memory_used_bytes=_memory_used(),
            disk_bytes=disk_bytes,
            disk_free_bytes=disk_free_bytes,
            gpus=[*await self._nvidia_gpus(), *self._amd_gpus()],
        )

    def _room(self) -> tuple[int, int] | tuple[None, None]:
        try:
            usage = psutil.disk_usage(str(self._disk))
        except OSError:
            return None, None
        return usage.total, usage.free

    async def _nvidia_gpus(self) -> list[Gpu]:
        """What NVIDIA's own tool says; none of it when there is no such tool, or it fails or hangs."""
        if self._nvidia is None:
            return []
        with suppress(OSError, TimeoutError):
            return _of_nvidia(await _output(self._nvidia, *QUERY))
        return []

    def _amd_gpus(self) -> list[Gpu]:
        """What the kernel's driver for AMD tells in `/sys`; other drivers tell nothing there."""
        found = (_of_amd(device.parent) for device in sorted(self._cards.glob("card*/device/mem_info_vram_total")))
        return [gpu for gpu in found if gpu is not None]


def _memory_used() -> int | None:
    """What could not be given to a program without swapping: buffers and caches are free, loaded models are not."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError):
        return None
    return max(0, memory.total - memory.available)


async def _output(*command: str) -> str:
    """What a program of this machine says. Raises TimeoutError, and OSError when it cannot be started or fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), NVIDIA_SECONDS)
    finally:
        with suppress(ProcessLookupError):  # whatever it has started goes with it, or would keep our end of the pipe
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if process.returncode:
        raise OSError(f"{command[0]} ended with {process.returncode}")
    return said.decode(errors="replace")


def _of_nvidia(said: str) -> list[Gpu]:
    """A line a processor: name, percent, MiB, MiB; `[N/A]` where one cannot tell."""
    rows = [[field.strip() for field in row] for row in csv.reader(said.splitlines())]
    return [
        Gpu(
            name=name[:100],
            busy=_percent(busy),
            memory_bytes=_number(total) * MIB,
            memory_used_bytes=_number(used) * MIB,
        )
        for name, busy, total, used in (row for row in rows if len(row) == len(QUERY[0].split(",")))
    ]


def _of_amd(device: Path) -> Gpu | None:
    try:
        total, used = (int((device / f"mem_info_vram_{what}").read_text()) for what in ("total", "used"))
    except (OSError, ValueError):
        return None
    busy = None
    with suppress(OSError):
        busy = _percent((device / "gpu_busy_percent").read_text().strip())
    return Gpu(name="AMD", busy=busy, memory_bytes=total, memory_used_bytes=used)


def _percent(text: str) -> float | None:
    return min(100.0, float(text)) if text.isascii() and text.isdigit() else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
