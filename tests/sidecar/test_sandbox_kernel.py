"""What a command may ask of the kernel and of the network: close to nothing."""

import asyncio
import dataclasses
import errno
import importlib
import json
import os
import socket
import sys

import pytest

from sidecar.sandbox import Limits, Policy, Unavailable, detect, run, seccomp

pytestmark = pytest.mark.bwrap


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "tree"
    place.mkdir()
    return place


@pytest.fixture
async def listening():
    """A server on this machine's loopback, with how often it was reached."""
    reached: list[str] = []

    def note(_reader, writer):
        reached.append("reached")
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], reached
    server.close()
    await server.wait_closed()


async def python(tree, code, **more):
    (tree / "attack.py").write_text(code)
    outcome = await run(["python", "attack.py"], tree=tree, **more)
    return outcome.output


async def test_servers_of_this_machine_cannot_be_reached(tree, listening):
    port, reached = listening
    targets = [("127.0.0.1", port), ("169.254.169.254", 80), ("8.8.8.8", 53), ("::1", port)]

    said = await python(
        tree,
        "import socket, json\n"
        f"for host, port in {targets!r}:\n"
        "    try: socket.create_connection((host, port), 2); print('reached', host)\n"
        "    except OSError as e: print('no', host)\n",
    )

    assert 4 == said.count("no ")
    assert [] == reached


async def test_no_name_can_be_looked_up_and_no_packet_sent(tree):
    said = await python(
        tree,
        "import socket\n"
        "def attempt(name, act):\n"
        "    try: act(); print('could', name)\n"
        "    except OSError: print('no', name)\n"
        "attempt('dns', lambda: socket.getaddrinfo('example.org', 80))\n"
        "attempt('udp', lambda: socket.socket(2, 2).sendto(b'x', ('8.8.8.8', 53)))\n"
        "attempt('udp6', lambda: socket.socket(10, 2).sendto(b'x', ('2001:4860:4860::8888', 53)))\n"
        "attempt('icmp', lambda: socket.socket(2, socket.SOCK_RAW, 1))\n"
        "attempt('packet', lambda: socket.socket(17, 3))\n"
        "attempt('vsock', lambda: socket.socket(40, 1))\n",
    )

    assert "could" not in said
    assert 6 == said.count("no ")


async def test_local_sockets_of_this_machine_cannot_be_reached(tree, tmp_path):
    abstract = f"\0agentcom-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(abstract)
        server.listen()
        said = await python(
            tree,
            "import socket\ns = socket.socket(1)\n"
            f"try: s.connect({abstract!r}); print('reached')\nexcept OSError: print('no')\n",
        )

    assert "no\n" == said


async def test_a_listener_inside_is_for_the_inside_only(tree):
    said = await python(
        tree,
        "import socket\n"
        "s = socket.create_server(('127.0.0.1', 45871))\n"
        "c = socket.create_connection(('127.0.0.1', 45871)); print('inside works', flush=True)\n"
        "import time; time.sleep(0.2)\n",
    )

    assert "inside works\n" == said


NETWORK = Policy(network=True)


async def test_the_network_is_shared_only_on_the_operators_explicit_word(tree, listening):
    port, reached = listening
    code = (
        "import socket\n"
        f"try: socket.create_connection(('localhost', {port}), 5); print('reached')\n"
        "except OSError: print('no')\n"
    )

    assert "no\n" == await python(tree, code)
    assert "reached\n" == await python(tree, code, policy=NETWORK)
    assert ["reached"] == reached


async def test_with_the_network_local_sockets_of_this_machine_stay_out_of_reach(tree):
    abstract = f"\0agentcom-shared-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(abstract)
        server.listen()
        said = await python(
            tree,
            "import socket\n"
            f"try: socket.socket(1).connect({abstract!r}); print('reached')\n"
            "except OSError as e: print(e.errno)\n"
            "here, there = socket.socketpair(); here.send(b'pair works'); print(there.recv(20).decode())\n",
            policy=NETWORK,
        )

    assert f"{errno.EAFNOSUPPORT}\npair works\n" == said


async def test_with_the_network_nothing_else_is_given(tree):
    said = await python(
        tree,
        "import os, socket\n"
        "def attempt(name, act):\n"
        "    try: act(); print('could', name)\n"
        "    except OSError: print('no', name)\n"
        "attempt('raw', lambda: socket.socket(2, socket.SOCK_RAW, 1))\n"
        "attempt('packet', lambda: socket.socket(17, 3))\n"
        "attempt('vsock', lambda: socket.socket(40, 1))\n"
        f"attempt('see', lambda: os.kill({os.getpid()}, 0))\n"
        "attempt('read', lambda: open('/etc/shadow'))\n"
        "attempt('settings', lambda: open('/proc/sys/net/ipv4/ip_forward', 'w'))\n",
        policy=NETWORK,
    )

    assert "could" not in said
    assert 6 == said.count("no ")


async def test_a_shared_network_is_no_promise(tree):
    shared = await run("true", tree=tree, policy=NETWORK)

    assert {"network"} == set(detect().enforced) - set(detect(NETWORK).enforced)
    assert "network" not in shared.enforced
    assert "network" in (await run("true", tree=tree)).enforced


async def test_without_a_filter_of_system_calls_no_network_is_shared(tree, monkeypatch):
    detect_module = importlib.import_module("sidecar.sandbox.detect")  # the package shows a function of this name
    unfiltered = dataclasses.replace(detect_module.confinement(), filtered=False)
    monkeypatch.setattr(detect_module, "_confinement", lambda: unfiltered)

    with pytest.raises(Unavailable, match="local sockets"):
        await run("true", tree=tree, policy=NETWORK)
    assert "none" == detect(NETWORK).name
    assert "bubblewrap" == detect().name


async def test_the_sidecar_cannot_be_seen_or_signalled(tree):
    said = (await run(f"kill -0 {os.getpid()} && echo seen; kill -9 -1; ls /proc | grep -c '^[0-9]'", tree=tree)).output

    assert "seen" not in said
    os.kill(os.getpid(), 0)


CALLS = {"x86_64": {"keyctl": 250, "add_key": 248, "bpf": 321, "perf_event_open": 298, "io_uring_setup": 425,
                    "userfaultfd": 323, "mount": 165, "setns": 308, "kexec_load": 246, "init_module": 175},
         "aarch64": {"keyctl": 219, "add_key": 217, "bpf": 280, "perf_event_open": 241, "io_uring_setup": 425,
                     "userfaultfd": 282, "mount": 40, "setns": 268, "kexec_load": 104, "init_module": 105}}  # fmt: skip


@pytest.mark.skipif(seccomp.program() is None, reason="no system call filter for this machine")
async def test_system_calls_for_attacks_are_refused(tree):
    calls = CALLS[os.uname().machine]

    said = await python(
        tree,
        "import ctypes, json, errno\nlibc = ctypes.CDLL(None, use_errno=True)\nfound = {}\n"
        f"for name, number in {calls!r}.items():\n"
        "    libc.syscall(number, 0, 0, 0, 0, 0, 0); found[name] = ctypes.get_errno(); ctypes.set_errno(0)\n"
        "print(json.dumps(found))\n",
    )

    assert dict.fromkeys(calls, errno.EPERM) == json.loads(said)


@pytest.mark.skipif(seccomp.program() is None, reason="no system call filter for this machine")
async def test_the_disk_is_taken_by_writing_and_not_in_one_call(tree):
    code = "import os; os.posix_fallocate(os.open('written', os.O_CREAT | os.O_RDWR), 0, 1 << 20)"

    outcome = await run(f'fallocate -l 1M at-once; python3 -c "{code}"', tree=tree)

    assert (0, True) == (outcome.exit_code, "fallocate failed: Operation not supported" in outcome.output)
    assert 0 == (tree / "at-once").stat().st_blocks
    assert 2**20 <= (tree / "written").stat().st_blocks * 512


async def test_no_namespace_of_its_own_and_no_mount(tree):
    script = """
    unshare -Ur true && echo user namespace
    unshare -n true && echo network namespace
    bwrap --ro-bind / / true && echo nested
    mount -t tmpfs x /tmp && echo mounted
    mount -t proc x /proc && echo mounted proc
    true"""

    said = (await run(script, tree=tree)).output

    assert not {"user namespace", "network namespace", "nested", "mounted", "mounted proc"} & set(said.splitlines())


async def test_no_rights_and_no_way_to_get_any(tree):
    said = (
        await run("grep -E '^(Cap(Prm|Eff|Amb)|NoNewPrivs)' /proc/self/status; id -u; sudo -n id; su -c id", tree=tree)
    ).output

    assert 3 == said.count("\t0000000000000000\n")
    assert "NoNewPrivs:\t1\n" in said
    assert "uid=0" not in said


async def test_settings_of_the_kernel_cannot_be_written(tree):
    said = (
        await run(
            "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger; do (echo x > $f) && echo wrote; done",
            tree=tree,
        )
    ).output

    assert "wrote" not in said


async def test_a_fork_bomb_stays_inside_its_limit(tree):
    code = (
        "import os, time\n"
        "made = 0\n"
        "try:\n"
        "    while made < 1000:\n"
        "        if os.fork() == 0: time.sleep(60); os._exit(0)\n"
        "        made += 1\n"
        "except OSError: print('stopped at', made)\n"
        "else: print('went through')\n"
    )

    said = await python(tree, code, limits=Limits(processes=60, timeout_seconds=20))

    assert said.startswith("stopped at")
    assert int(said.split()[-1]) <= 60


async def test_memory_has_an_end(tree):
    said = await python(
        tree,
        "try: x = bytearray(2_000_000_000); print('got it')\nexcept MemoryError: print('refused')\n",
        limits=Limits(memory_bytes=500_000_000),
    )

    assert "got it" not in said


@pytest.mark.skipif("memory" not in detect().enforced, reason="no control group for memory on this machine")
async def test_memory_has_an_end_for_all_processes_together(tree):
    code = (
        "import os, sys\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * 150_000_000; os._exit(0)\n"
        "codes = [os.wait()[1] for _ in range(4)]\n"
        "print('all of them' if not any(codes) else 'not all')\n"
        "import time\n"
    ).replace("os._exit(0)", "import time; time.sleep(1); os._exit(0)")

    said = await python(tree, code, limits=Limits(memory_bytes=250_000_000, timeout_seconds=30))

    assert "all of them" not in said


async def test_the_filter_is_valid_for_every_machine_that_has_one():
    for machine in ("x86_64", "aarch64"):
        for program in (seccomp.program(machine), seccomp.program(machine, network=True)):
            assert program is not None
            assert 0 == len(program) % 8
            assert len(program) // 8 < 4096
    assert seccomp.program("vax") is None
    assert sys.byteorder == "little"
