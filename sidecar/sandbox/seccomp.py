"""The system calls that no build or test needs and that attacks on the kernel do: a classic BPF filter for bubblewrap.

The filter denies (EPERM) new namespaces, mounts, keyrings, bpf, perf, io_uring, userfaultfd, setuid bits and the like,
and every socket family but local, IPv4, IPv6 and netlink: vsock, for one, is in no network namespace and would reach
the host of a virtual machine. `clone3` hides its flags behind a pointer, so it is said to be missing (ENOSYS), which
every libc understands. So is `fallocate` said to be unsupported, as it is by many file systems: in no time it takes the
whole disk, faster than anybody can look, while what is written takes as long as the disk does.

A command that shares this machine's network has no local sockets either: abstract ones belong to the network and not to
the file system, so they would lead to every service of the machine that listens on one. Pairs of sockets still work.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from functools import cache

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _MACHINE_AT, _ARGUMENT_AT = 0, 4, 16

_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag that clone() takes
_NEW_TIME = 0x80  # for unshare() only: in clone() these bits are the exit signal
_SET_ID = 0o6000
_LOCAL = 1  # AF_UNIX
_FAMILIES = (_LOCAL, 2, 10, 16)  # and AF_INET, AF_INET6, AF_NETLINK
_SINCE_5_1 = range(424, 434)  # the same numbers everywhere: io_uring, open_tree, move_mount, fsopen, fspick …
_PIDFD_SEND_SIGNAL = 424
_MOUNT_SETATTR, _CLONE3, _FCHMODAT2 = 442, 435, 452


@dataclass(frozen=True, kw_only=True)
class _Machine:
    audit: int
    clone: int
    unshare: int
    socket: int
    fallocate: int
    chmods: tuple[tuple[int, int], ...]  # call, which argument is the mode
    denied: tuple[int, ...]
    foreign_from: int | None = None  # x32 calls share the machine's mark


_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        clone=56,
        unshare=272,
        socket=41,
        fallocate=285,
        chmods=((90, 1), (91, 1), (268, 2), (_FCHMODAT2, 2)),
        # acct add_key bpf chroot clock_settime delete_module finit_module init_module ioperm iopl kexec_file_load
        # kexec_load keyctl mount open_by_handle_at perf_event_open pivot_root quotactl reboot request_key setns
        # settimeofday swapoff swapon syslog umount2 userfaultfd vhangup
        denied=(
            *(163, 248, 321, 161, 227, 176, 313, 175, 173, 172, 320, 246, 250, 165, 304, 298, 155, 179, 169, 249),
            *(308, 164, 168, 167, 103, 166, 323, 153),
        ),
        foreign_from=0x40000000,
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        clone=220,
        unshare=97,
        socket=198,
        fallocate=47,
        chmods=((52, 1), (53, 2), (_FCHMODAT2, 2)),
        # the same without ioperm and iopl, which this machine does not have
        denied=(
            *(89, 217, 280, 51, 112, 106, 273, 105, 294, 104, 219, 40, 265, 241, 41, 60, 142, 218),
            *(268, 170, 225, 224, 116, 39, 282, 58),
        ),
    ),
}


@cache
def program(machine: str = "", *, network: bool = False) -> bytes | None:
    """The filter for `machine` (this one by default) as bubblewrap's `--seccomp` reads it; None if we have none.

    `network` is for a command that shares the machine's network.
    """
    known = _MACHINES.get(machine or platform.machine())
    families = tuple(family for family in _FAMILIES if family != _LOCAL) if network else _FAMILIES
    return None if known is None else b"".join(_instructions(known, families))


def _instructions(machine: _Machine, families: tuple[int, ...]) -> list[bytes]:
    lines = [_op(_LOAD, _MACHINE_AT), _op(_EQUAL, machine.audit, yes=1), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER_AT)]
    if machine.foreign_from is not None:
        lines += [_op(_AT_LEAST, machine.foreign_from, no=1), _deny(errno.EPERM)]
    news = tuple(number for number in _SINCE_5_1 if number != _PIDFD_SEND_SIGNAL)
    for number in (*machine.denied, *news, _MOUNT_SETATTR):
        lines += _when(number, [_deny(errno.EPERM)])
    lines += _when(_CLONE3, [_deny(errno.ENOSYS)])
    lines += _when(machine.fallocate, [_deny(errno.EOPNOTSUPP)])
    lines += _when(machine.clone, _if_bits(0, _NAMESPACES))
    lines += _when(machine.unshare, _if_bits(0, _NAMESPACES | _NEW_TIME))
    for number, argument in machine.chmods:
        lines += _when(number, _if_bits(argument, _SET_ID))
    allowed = [op for family in families for op in (_op(_EQUAL, family, no=1), _op(_RETURN, _ALLOW))]
    lines += _when(machine.socket, [_load_argument(0), *allowed, _deny(errno.EAFNOSUPPORT)])
    return [*lines, _op(_RETURN, _ALLOW)]


def _when(number: int, lines: list[bytes]) -> list[bytes]:
    """`lines` must all end in a return, because they may have loaded something else over the call's number."""
    return [_op(_EQUAL, number, no=len(lines)), *lines]


def _if_bits(argument: int, bits: int) -> list[bytes]:
    return [_load_argument(argument), _op(_ANY_BIT, bits, no=1), _deny(errno.EPERM), _op(_RETURN, _ALLOW)]


def _load_argument(index: int) -> bytes:
    return _op(_LOAD, _ARGUMENT_AT + 8 * index)  # the low half: both machines are little-endian


def _deny(reason: int) -> bytes:
    return _op(_RETURN, _ERRNO | reason)


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
