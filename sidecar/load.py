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

from sidecar.aside import Aside
from sidecar.wire.nouns import Gpu, Load

NVIDIA = "nvidia-smi"
QUERY = ("--query-gpu=name,utilization.gpu,memory.total,memory.used", "--format=csv,noheader,nounits")
NVIDIA_SECONDS = 5.0
"""A driver that hangs keeps its own tool hanging; ours only goes without its numbers."""
READ_SECONDS = 2.0
"""For a reading that the kernel answers: a disk over the network, or a driver, may keep it for ever."""
CORES, GPUS = 1_024, 32
"""As many as a frame holds."""
MIB = 1024**2
MOST_DIGITS = 15
"""No memory is larger, in MiB or in bytes; more digits are nonsense."""
CARDS = Path("/sys/class/drm")


class Meter:
    """Measures again and again; each reading of the processor is of the time since the one before."""

    def __init__(self, disk: Path, *, cards: Path = CARDS, nvidia: str | None = None) -> None:
        """`disk` is on the file system whose room counts: the one that work is done on."""
        self._room = Aside[tuple[int | None, int | None]](lambda: _room(disk), (None, None))
        self._amd = Aside[list[Gpu]](lambda: _amd_gpus(cards), [])
        self._nvidia = nvidia or shutil.which(NVIDIA)
        _cores()  # the first reading is of no time at all

    async def read(self) -> Load:
        """The machine as it is now."""
        cores = _cores()
        disk_bytes, disk_free_bytes = await self._room.get(READ_SECONDS)
        gpus = [*await self._nvidia_gpus(), *await self._amd.get(READ_SECONDS)]
        return Load(
            cpu=round(sum(cores) / len(cores), 1) if cores else None,
            cores=cores[:CORES],
            memory_used_bytes=_memory_used(),
            disk_bytes=disk_bytes,
            disk_free_bytes=disk_free_bytes,
            gpus=gpus[:GPUS],
        )

    async def _nvidia_gpus(self) -> list[Gpu]:
        """What NVIDIA's own tool says; none of it when there is no such tool, or it fails or hangs."""
        if self._nvidia is None:
            return []
        with suppress(OSError, TimeoutError, csv.Error):
            return _of_nvidia(await _output(self._nvidia, *QUERY))
        return []


def _cores() -> list[float]:
    """How busy each core was since the last time, in percent; none where the system does not tell."""
    try:
        return [min(100.0, max(0.0, busy)) for busy in psutil.cpu_percent(percpu=True)]
    except (OSError, RuntimeError, psutil.Error):  # as where /proc is hidden or has no `stat`
        return []


def _room(disk: Path) -> tuple[int | None, int | None]:
    """Bytes that the disk has, and those that are free."""
    try:
        usage = psutil.disk_usage(str(disk))
    except OSError:
        return None, None
    return usage.total, usage.free


def _memory_used() -> int | None:
    """What could not be given to a program without swapping: buffers and caches are free, loaded models are not."""
    try:
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError, psutil.Error):
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


def _amd_gpus(cards: Path) -> list[Gpu]:
    """What the kernel's driver for AMD tells in `/sys`; other drivers tell nothing there."""
    devices = [path.parent for path in sorted(cards.glob("card*/device/mem_info_vram_total"))]
    found = [
        Gpu(
            name="AMD",
            busy=_percent(_told(device / "gpu_busy_percent")),
            memory_bytes=_number(_told(device / "mem_info_vram_total")),
            memory_used_bytes=_number(_told(device / "mem_info_vram_used")),
        )
        for device in devices
    ]
    return [gpu for gpu in found if gpu.memory_bytes]


def _told(file: Path) -> str:
    """What a file of the kernel's says; nothing when it cannot be read, and none of our numbers when it is no text."""
    try:
        return file.read_bytes()[:100].decode(errors="replace").strip()
    except OSError:
        return ""


def _percent(text: str) -> float | None:
    return min(100.0, float(text)) if text.isascii() and text.isdigit() else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else 0
