"""What makes two addresses the same endpoint. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LONGEST = 200
PORTS = {"http": 80, "https": 443}


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
    port = parts.port if parts.port is not None else PORTS[parts.scheme]
    if port == 0:
        raise ValueError("Port 0 is no port.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    whole = f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"
    if len(whole) > LONGEST or not whole.isascii() or not whole.isprintable() or " " in whole:
        raise ValueError(f"The address is at most {LONGEST} plain characters, without spaces.")
    return whole


def place_of(url: str, machine: str) -> str:
    """The address as everybody would mean it: one that says "this machine" is that of `machine`."""
    whole = canonical(url)
    return f"{machine} {whole}" if is_here(urlsplit(whole).hostname or "") else whole


def is_here(host: str) -> bool:
    """Whether a host's name or address is the speaker's own machine, whoever speaks."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
