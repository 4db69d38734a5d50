"""What makes two addresses the same endpoint. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

LONGEST = 200
PORTS = {"http": 80, "https": 443}
NAME = re.compile(r"[A-Za-z0-9._-]+")
HERE = frozenset({"localhost", "host.docker.internal", "host.containers.internal"})
OLD_LOOPBACK = re.compile(r"127[.0-9]*")
"""127.1 is 127.0.0.1 to everything but `ipaddress`."""


def canonical(url: str) -> str:
    """`scheme://host:port/path` and nothing else, in one spelling. Raises ValueError, whose text says what is wrong."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in PORTS:
        raise ValueError("The address begins with http:// or https://.")
    if not parts.hostname:
        raise ValueError("The address names no host.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("The address has a name or password in it; neither is used.")
    if parts.query or parts.fragment:
        raise ValueError("The address is a scheme, a host and perhaps a port and path, nothing else.")
    host = _host(parts.hostname)
    port = parts.port if parts.port is not None else PORTS[parts.scheme]
    if port == 0:
        raise ValueError("Port 0 is no port.")
    whole = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
    if len(whole) > LONGEST or not whole.isascii() or not whole.isprintable() or " " in whole:
        raise ValueError(f"The address is at most {LONGEST} plain characters, without spaces.")
    return whole


def _host(host: str) -> str:
    """A name, an IPv4 address, or an IPv6 address in brackets; what a URL may hold besides means nothing here."""
    if ":" in host:
        if "%" in host:
            raise ValueError("An address with a zone means something on one machine only.")
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise ValueError(f"{host} is no IPv6 address.") from None
    if not NAME.fullmatch(host):
        raise ValueError("A host is a name of letters, digits, dots, dashes and underscores, or an address.")
    return host


def place_of(url: str, machine: str) -> str:
    """The address as everybody would mean it: one that says "this machine" is that of `machine`."""
    whole = canonical(url)
    return f"{machine} {whole}" if is_here(urlsplit(whole).hostname or "") else whole


def is_here(host: str) -> bool:
    """Whether a host's name or address is the speaker's own machine, whoever speaks."""
    name = host.rstrip(".")
    if name in HERE or name.endswith(".localhost") or OLD_LOOPBACK.fullmatch(name):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
