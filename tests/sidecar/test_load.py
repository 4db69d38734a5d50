"""How busy a machine says it is."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import threading

import psutil
import pytest

from sidecar import load
from sidecar.load import MIB, Meter
from sidecar.machine import host, machine
from sidecar.wire.nouns import Gpu


def tool(path, script: str) -> str:
    program = path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program)


async def test_a_machine_tells_its_processor_memory_and_disk(tmp_path):
    found = await Meter(tmp_path, cards=tmp_path).read()

    assert os.cpu_count() == len(found.cores)
    assert found.cpu is not None
    assert 0 <= found.cpu <= 100
    assert 0 < (found.memory_used_bytes or 0) < host().memory_bytes
    assert 0 < (found.disk_free_bytes or 0) <= (found.disk_bytes or 0)


async def test_nvidias_own_tool_is_asked_for_its_processors(tmp_path):
    said = "NVIDIA GeForce RTX 4090, 87, 24564, 20100\nNVIDIA T4, [N/A], 15360, [Not Supported]"
    smi = tool(tmp_path, f"echo '{said}'")
    found = await Meter(tmp_path, cards=tmp_path, nvidia=smi).read()

    assert [
        Gpu(name="NVIDIA GeForce RTX 4090", busy=87, memory_bytes=24_564 * MIB, memory_used_bytes=20_100 * MIB),
        Gpu(name="NVIDIA T4", busy=None, memory_bytes=15_360 * MIB, memory_used_bytes=0),
    ] == found.gpus


@pytest.mark.parametrize(
    "script",
    [
        "exit 9",
        "sleep 60",
        "echo nonsense",
        "printf '\\377'",
        "head -c 200000 /dev/zero | tr '\\0' x",
    ],
)
async def test_a_tool_that_fails_hangs_or_talks_nonsense_costs_only_its_numbers(tmp_path, monkeypatch, script):
    monkeypatch.setattr(load, "NVIDIA_SECONDS", 0.2)
    found = await Meter(tmp_path, cards=tmp_path, nvidia=tool(tmp_path, script)).read()

    assert ([], True) == (found.gpus, found.cpu is not None)


async def test_amds_driver_tells_in_sys(tmp_path):
    for card, busy in (("card0", "41\n"), ("card1", None)):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_text("17163091968\n")
        (device / "mem_info_vram_used").write_text("1048576\n")
        if busy:
            (device / "gpu_busy_percent").write_text(busy)
    (tmp_path / "card2" / "device").mkdir(parents=True)  # another maker's
    found = await Meter(tmp_path, cards=tmp_path).read()

    assert [(41.0, 17_163_091_968, 1_048_576), (None, 17_163_091_968, 1_048_576)] == [
        (gpu.busy, gpu.memory_bytes, gpu.memory_used_bytes) for gpu in found.gpus
    ]


async def test_a_disk_that_cannot_be_read_is_unknown(tmp_path):
    found = await Meter(tmp_path / "gone", cards=tmp_path).read()

    assert (None, None) == (found.disk_bytes, found.disk_free_bytes)


async def test_a_memory_of_five_thousand_digits_is_unknown(tmp_path):
    smi = tool(tmp_path, "printf 'T4, 1, %05000d, 2' 7")
    found = await Meter(tmp_path, cards=tmp_path, nvidia=smi).read()

    assert [Gpu(name="T4", busy=1, memory_used_bytes=2 * MIB)] == found.gpus


async def test_of_more_processors_than_a_frame_holds_the_first_are_told(tmp_path, monkeypatch):
    smi = tool(tmp_path, 'for card in $(seq 40); do echo "T4 $card, 1, 2, 1"; done')
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [50.0] * 2_000)
    found = await Meter(tmp_path, cards=tmp_path, nvidia=smi).read()

    assert (32, "T4 1", 1_024, 50.0) == (len(found.gpus), found.gpus[0].name, len(found.cores), found.cpu)


async def test_a_machine_that_does_not_tell_of_its_processor_tells_the_rest(tmp_path, monkeypatch):
    def unknown(**_):
        raise FileNotFoundError("/proc/stat")

    monkeypatch.setattr(psutil, "cpu_percent", unknown)
    found = await Meter(tmp_path, cards=tmp_path).read()

    assert (None, []) == (found.cpu, found.cores)
    assert found.disk_bytes


async def test_a_driver_that_tells_nonsense_in_sys_is_left_out(tmp_path):
    for card, total, busy in (("card0", b"\xff", b"1"), ("card1", b"9" * 30, b"1"), ("card2", b"2048\n", b"\xff")):
        device = tmp_path / card / "device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_total").write_bytes(total)
        (device / "mem_info_vram_used").write_bytes(b"1024\n")
        (device / "gpu_busy_percent").write_bytes(busy)
    found = await Meter(tmp_path, cards=tmp_path).read()

    assert [Gpu(name="AMD", memory_bytes=2_048, memory_used_bytes=1_024)] == found.gpus


async def test_a_disk_that_hangs_is_waited_for_by_one_thread_and_hides_nothing_else(tmp_path, monkeypatch):
    answered, asked = threading.Event(), []
    real = psutil.disk_usage

    def hanging(path):
        asked.append(path)
        answered.wait()
        return real(path)

    monkeypatch.setattr(load, "READ_SECONDS", 0.05)
    monkeypatch.setattr(psutil, "disk_usage", hanging)
    meter = Meter(tmp_path, cards=tmp_path)
    without = [await meter.read() for _ in range(3)]
    once = list(asked)
    answered.set()
    async with asyncio.timeout(10):
        while not (then := await meter.read()).disk_bytes:
            pass

    assert [None] * 3 == [found.disk_bytes for found in without]
    assert all(found.memory_used_bytes for found in without)
    assert [str(tmp_path)] == once
    assert then.disk_free_bytes


def test_a_machine_is_the_same_for_all_its_agents_and_its_own_id_is_told_to_nobody(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("4f2a\n")
    other.write_text("77b1\n")

    assert machine(one) == machine(one) != machine(other)
    assert "4f2a" not in machine(one)
    assert hashlib.sha256(b"4f2a").hexdigest()[:32] != machine(one)
    assert 32 == len(machine(tmp_path / "none"))


def test_machines_made_of_one_image_are_told_apart_by_their_names(tmp_path, monkeypatch):
    image = tmp_path / "machine-id"
    image.write_text("4f2a\n")
    told = []
    for name in ("gpu-1", "gpu-2", "gpu-1"):
        monkeypatch.setattr("socket.gethostname", lambda name=name: name)
        told.append(machine(image))

    assert told[0] == told[2] != told[1]
