"""Hosts of their own: network namespaces joined by a bridge, which nothing else on this machine notices."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

HERE = "here"
"""The name of this machine's own port at the bridge."""


def ip(*arguments: str) -> str:
    """What `ip` said."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Net:
    """The first host carries the bridge; every other one has a cable to it that can be cut."""

    hosts: tuple[str, ...]
    mark: str
    subnet: str

    def namespace(self, host: str) -> str:
        return f"{self.mark}-{host}"

    def address(self, host: str) -> str:
        return f"{self.subnet}.{254 if host == HERE else self.hosts.index(host) + 1}"

    def prefix(self, host: str) -> tuple[str, ...]:
        """What to put before a command to run it on `host`."""
        return "ip", "netns", "exec", self.namespace(host)

    def cut(self, host: str) -> None:
        """Unplug its cable: packets are lost, nobody is told."""
        self._at_the_bridge("link", "set", host, "down")

    def mend(self, host: str) -> None:
        """Plug it in again."""
        self._at_the_bridge("link", "set", host, "up")

    def _at_the_bridge(self, *arguments: str) -> None:
        ip("-n", self.namespace(self.hosts[0]), *arguments)

    def _make(self) -> None:
        for host in self.hosts:
            ip("netns", "add", self.namespace(host))
            ip("-n", self.namespace(host), "link", "set", "lo", "up")
        self._at_the_bridge("link", "add", "bridge", "type", "bridge")
        self._at_the_bridge("addr", "add", f"{self.address(self.hosts[0])}/24", "dev", "bridge")
        self._at_the_bridge("link", "set", "bridge", "up")
        for host in (*self.hosts[1:], HERE):
            self._plug_in(host)

    def _plug_in(self, host: str) -> None:
        """A cable from the bridge; its other end is called `mark`, which is unique on this machine too."""
        bridge = self.namespace(self.hosts[0])
        ip("link", "add", self.mark, "type", "veth", "peer", "name", host, "netns", bridge)
        where: tuple[str, ...] = ()
        if host != HERE:
            ip("link", "set", self.mark, "netns", self.namespace(host))
            where = ("-n", self.namespace(host))
        ip(*where, "addr", "add", f"{self.address(host)}/24", "dev", self.mark)
        ip(*where, "link", "set", self.mark, "up")
        self._at_the_bridge("link", "set", host, "master", "bridge", "up")

    def _remove(self) -> None:
        """Whatever of it exists; a namespace takes its cables with it, and a cable its other end."""
        known = ip("netns", "list").split()
        for host in self.hosts:
            if self.namespace(host) in known:
                ip("netns", "delete", self.namespace(host))
        with contextlib.suppress(AssertionError):  # gone with the bridge's host, unless that was never made
            ip("link", "delete", self.mark)


@contextlib.contextmanager
def net(*hosts: str) -> Iterator[Net]:
    """Hosts until the block ends."""
    taken = ip("-4", "addr", "show")
    third = next(third for third in range(1, 255) if f" 10.77.{third}." not in taken)
    made = Net(hosts, f"ac{os.getpid()}", f"10.77.{third}")
    try:
        made._make()
        yield made
    finally:
        made._remove()
