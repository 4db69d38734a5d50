"""Where an operator's address may lead the hub, and where it may not."""

from __future__ import annotations

import gzip
import ipaddress
from collections.abc import AsyncIterator, Callable, Sequence

import httpx
import pytest

from apps.endpoints import guard
from apps.endpoints.guard import Forbidden, Guarded, check_address, checked

PORTS = (80, 443, 11434)
LAN = (ipaddress.ip_network("192.168.1.0/24"), ipaddress.ip_network("fd00::/64"))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://gpu.example.org:11434", "http://gpu.example.org:11434"),
        ("gpu.example.org:11434", "http://gpu.example.org:11434"),
        ("HTTP://GPU.example.org:11434/", "http://gpu.example.org:11434"),
        ("https://gpu.example.org", "https://gpu.example.org:443"),
        ("https://gpu.example.org/ollama/", "https://gpu.example.org:443/ollama"),
        ("http://192.168.1.20:11434", "http://192.168.1.20:11434"),
        ("http://[fd00::7]:11434", "http://[fd00::7]:11434"),
        ("http://8.8.8.8", "http://8.8.8.8:80"),
    ],
)
def test_an_address_that_is_allowed_has_one_spelling(given: str, kept: str) -> None:
    assert kept == checked(given, networks=LAN, ports=PORTS)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "names no host"),
        ("ftp://gpu.example.org", "begins with http:// or https://"),
        ("file:///etc/passwd", "begins with http:// or https://"),
        ("http://user:secret@gpu.example.org", "name or password"),
        ("http://@gpu.example.org", "name or password"),
        ("http://gpu.example.org?x=1", "nothing else"),
        ("http://gpu.example.org#x", "nothing else"),
        ("http://gpu.example.org:22", "Port 22 is not among those allowed"),
        ("http://gpu.example.org:0", "Port 0 is no port"),
        ("http://gpu.example.org:99999", "out of range"),
        ("http://gpu.example.org/a b", "without spaces"),
        ("http://gpu.example.org/" + "a" * 200, "at most 200"),
        ("http://127.0.0.1:11434", "not a public address"),
        ("http://10.0.0.7:11434", "AGENTCOM_ENDPOINT_NETWORKS=10.0.0.0/24"),
        ("http://[::1]:11434", "not a public address"),
        ("http://[::ffff:192.168.1.20]:11434", "wraps an IPv4 address"),
        ("http://[2002:c0a8:0114::1]:11434", "wraps an IPv4 address"),
        ("http://169.254.169.254:80", "never connects to"),
        ("http://168.63.129.16:80", "never connects to"),
        ("http://[64:ff9b::a9fe:a9fe]:80", "never connects to"),
        ("http://[64:ff9b:1::a]:80", "never connects to"),
        ("http://[::7f00:1]:80", "never connects to"),
        ("http://[::ffff:0:7f00:1]:80", "never connects to"),
        ("http://[fec0::1]:80", "never connects to"),
        ("http://[v1.a:b]:11434", "no IPv6 address"),
        ("http://[fe80::1%25eth0]:11434", "means something on one machine"),
        ("http://gpu!.example.org:11434", "A host is a name"),
        ("http://[fe80::1]:11434", "never connects to"),
        ("http://0.0.0.0:11434", "never connects to"),
        ("http://224.0.0.1:80", "never connects to"),
        ("http://2130706433:11434", "number in disguise"),
        ("http://0x7f000001:11434", "number in disguise"),
        ("http://0177.0.0.1:11434", "number in disguise"),
        ("http://127.1:11434", "number in disguise"),
        ("http://192.168.1.20.:11434", "number in disguise"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_reason(given: str, why: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  the text is what is tested
        checked(given, networks=LAN, ports=PORTS)

    assert why in str(refused.value)


@pytest.mark.parametrize("never", ["169.254.169.254", "fe80::1", "ff02::1", "0.0.0.0", "::"])  # noqa: S104
def test_no_setting_opens_what_is_never_reached(never: str) -> None:
    everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))

    with pytest.raises(Forbidden):
        check_address(ipaddress.ip_address(never), everything)


class Inner(httpx.AsyncBaseTransport):
    """Remembers what it was asked to connect to."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self.asked: list[httpx.Request] = []
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self._answer()


def named(*addresses: str) -> guard.Resolve:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


def client(inner: Inner, resolver: guard.Resolve) -> httpx.AsyncClient:
    transport = Guarded(networks=LAN, ports=PORTS, resolver=resolver, inner=inner)
    return httpx.AsyncClient(transport=transport, trust_env=False)


async def test_it_connects_to_the_address_that_was_checked_and_keeps_the_name_for_the_rest() -> None:
    inner = Inner(lambda: httpx.Response(200, json={}))
    await client(inner, named("192.168.1.20")).get("https://gpu.example.org/api/version?x=1")
    (asked,) = inner.asked

    assert ("192.168.1.20", "/api/version", b"x=1") == (asked.url.host, asked.url.path, asked.url.query)
    assert ("gpu.example.org", "gpu.example.org") == (asked.headers["host"], asked.extensions["sni_hostname"])


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("8.8.8.8", "127.0.0.1"),
        ("192.168.1.20", "169.254.169.254"),
        ("::ffff:10.0.0.1",),
        ("fe80::1%eth0",),
    ],
)
async def test_a_name_that_leads_to_a_forbidden_address_too_is_not_followed(addresses: tuple[str, ...]) -> None:
    inner = Inner(lambda: httpx.Response(200, json={}))

    with pytest.raises(Forbidden):
        await client(inner, named(*addresses)).get("http://gpu.example.org:11434/api/version")
    assert not inner.asked


async def test_a_name_is_resolved_once_for_each_request_and_never_again_by_whoever_connects() -> None:
    """Between a check and a connection of its own, a name could begin to lead elsewhere."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    inner = Inner(lambda: httpx.Response(200, json={}))

    async def next_time(host: str, port: int) -> Sequence[str]:
        return next(answers)

    asking = client(inner, next_time)
    await asking.get("http://gpu.example.org:11434/one")

    with pytest.raises(Forbidden):
        await asking.get("http://gpu.example.org:11434/two")
    assert ["8.8.8.8"] == [request.url.host for request in inner.asked]


async def test_an_unknown_name_is_no_connection() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    with pytest.raises(httpx.ConnectError, match="not known"):
        await client(Inner(lambda: httpx.Response(200)), unknown).get("http://gpu.example.org:11434")


class Endless(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536


async def test_an_endless_answer_is_cut() -> None:
    inner = Inner(lambda: httpx.Response(200, stream=Endless()))

    with pytest.raises(httpx.ReadError, match="longer than"):
        await client(inner, named("8.8.8.8")).get("http://gpu.example.org:11434")


async def test_a_small_answer_that_would_unpack_into_a_large_one_is_refused() -> None:
    packed = gzip.compress(b" " * 10_000_000)
    inner = Inner(lambda: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(packed)))

    with pytest.raises(httpx.DecodingError, match="not asked for"):
        await client(inner, named("8.8.8.8")).get("http://gpu.example.org:11434")
