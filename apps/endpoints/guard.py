"""Where the hub may connect to when an operator names an address: checked, resolved once, and connected to as checked.

Only addresses that operators add are ever asked; the hub fetches no URL that an agent names. Private networks are a
common place for models, so whole networks are allowed by the setting ENDPOINT_NETWORKS. What is never reached, whatever
is set: link-local addresses (the metadata services of clouds), multicast and unspecified ones.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from apps.endpoints.place import PORTS, canonical

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_BYTES = 8 * 1024**2
"""An answer about itself is a few kilobytes; an endless one would fill the hub."""
NEVER = tuple(
    ipaddress.ip_network(one)
    for one in (
        "168.63.129.16/32",  # the host of a cloud's machines, at a public address
        "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48",  # IPv4 inside IPv6, for translators
        "fec0::/10",
    )
)  # fmt: skip
"""Beside what the addresses say of themselves."""


class Forbidden(ValueError):
    """The hub may not connect there; the text says why, and which setting would allow it."""


class Resolve(Protocol):
    """The addresses of a host. Raises OSError."""

    async def __call__(self, host: str, port: int) -> Sequence[str]: ...


async def resolve(host: str, port: int) -> list[str]:
    """By the system's own resolver, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked(url: str, *, networks: Sequence[Network], ports: Sequence[int]) -> str:
    """The address in one spelling, when its form, port and (where it is one) IP are allowed. Raises ValueError."""
    whole = canonical(url)
    parts = urlsplit(whole)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    if port not in ports:
        allowed = ", ".join(map(str, ports))
        raise Forbidden(f"Port {port} is not among those allowed ({allowed}); AGENTCOM_ENDPOINT_PORTS sets them.")
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        if _looks_like_a_number(host):
            raise Forbidden(f"{host} is a number in disguise; write the address as a.b.c.d.") from None
        return whole
    check_address(literal, networks)
    return whole


def check_address(address: Address, networks: Sequence[Network]) -> None:
    """Raises Forbidden unless the hub may connect to it."""
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.sixtofour or address.teredo):
        raise Forbidden(f"{address} wraps an IPv4 address; write that one.")
    never = any(address in network for network in NEVER if network.version == address.version)
    if never and not address.is_loopback:
        raise Forbidden(f"{address} is an address that the hub never connects to.")
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise Forbidden(f"{address} is an address that the hub never connects to.")
    if any(address in network for network in networks if network.version == address.version):
        return
    if not address.is_global:
        example = ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False)
        raise Forbidden(
            f"{address} is not a public address. To allow its network, set AGENTCOM_ENDPOINT_NETWORKS={example}."
        )


def _looks_like_a_number(host: str) -> bool:
    """Resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses."""
    last = host.rstrip(".").rpartition(".")[2]
    return last.isdigit() or last.startswith("0x")


class Guarded(httpx.AsyncBaseTransport):
    """Resolves once, checks every address that came of it, and connects to one of those and no other.

    The name stays in the Host header and is what a certificate is checked against. Redirects are for the client to
    follow; ours follows none. Raises httpx errors, and Forbidden.
    """

    def __init__(
        self,
        *,
        networks: Sequence[Network],
        ports: Sequence[int],
        resolver: Resolve = resolve,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._networks = networks
        self._ports = ports
        self._resolve = resolver
        self._inner = inner or httpx.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        whole = checked(str(request.url.copy_with(query=None)), networks=self._networks, ports=self._ports)
        parts = urlsplit(whole)
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        address = await self._address_of(host, port, request)
        there = request.url.copy_with(host=f"[{address}]" if address.version == 6 else str(address))
        extensions = {**request.extensions, "sni_hostname": host}
        asked = httpx.Request(
            request.method, there, headers=request.headers, stream=request.stream, extensions=extensions
        )
        answer = await self._inner.handle_async_request(asked)
        if answer.headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
            await (
                answer.aclose()
            )  # what is bounded is what comes in, and that could unpack into a thousand times as much
            raise httpx.DecodingError("The answer is compressed, which was not asked for.", request=request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Bounded(answer.stream, request),
            extensions=answer.extensions,
        )

    async def _address_of(self, host: str, port: int, request: httpx.Request) -> Address:
        try:
            found = [ipaddress.ip_address(one.partition("%")[0]) for one in await self._resolve(host, port)]
        except (OSError, UnicodeError) as problem:
            raise httpx.ConnectError(f"{host} is not known: {problem}", request=request) from problem
        if not found:
            raise httpx.ConnectError(f"{host} has no address.", request=request)
        for address in found:  # all of them: a name that also leads elsewhere is not to be trusted at all
            check_address(address, self._networks)
        return found[0]

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Bounded(httpx.AsyncByteStream):
    """An answer that is not endless. That it is not endlessly slow is for whoever asks."""

    def __init__(self, stream: httpx.AsyncByteStream, request: httpx.Request) -> None:
        self._stream = stream
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self._stream:
            size += len(part)
            if size > MOST_BYTES:
                raise httpx.ReadError(f"The answer is longer than {MOST_BYTES} bytes.", request=self._request)
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
