"""Git over smart HTTP for agents: `git http-backend` behind an ASGI application that decides who may talk to it.

Bodies stream through in pieces, both ways at once. Whatever ends a request early (a client that leaves, a body over the
limit, the deadline) ends git's whole process group, by SIGTERM first so that it removes its locks.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from apps.events.refused import Refused
from apps.repos import mirror, pre_receive, trusted
from apps.repos.admission import ZERO, Admission

logger = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]
Agent = TypeVar("Agent", bound="HasName")
Moves = dict[str, tuple[str, str]]

UPLOAD, RECEIVE = "git-upload-pack", "git-receive-pack"
CHUNK = 64 * 1024
MAX_FETCH_BODY = 10 * 1024 * 1024
MAX_HEADER_BYTES = 16 * 1024
DEADLINE = 900.0
PATIENCE = 30.0
GRACE = 3.0
MAX_AT_ONCE = 32

_ROUTE = re.compile(r"\A/([a-z0-9][a-z0-9._-]{0,63})\.git/(info/refs|git-upload-pack|git-receive-pack)\Z")
_PROTOCOL = re.compile(r"\Aversion=[012]\Z")
_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"content-length"})


class HasName(Protocol):
    """What this module has to know of whoever `authenticate` finds."""

    @property
    def name(self) -> str: ...


class Answer(Exception):
    """The request ends here with this status and one line, which git shows to whoever runs it."""

    def __init__(self, status: int, sentence: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers


class Gone(Exception):
    """The client has left."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is one of git's four and well formed. `length` is None for a chunked body."""

    slug: str
    service: str
    advertises: bool
    headers: Headers
    length: int | None

    @property
    def pushes(self) -> bool:
        """Whether this is the request that would change something."""
        return self.service == RECEIVE and not self.advertises


class GitHttp(Generic[Agent]):
    """The ASGI application; mounted below `prefix`, it serves `<prefix>/<slug>.git`.

    `authenticate(headers)` finds who asks, or None. `locate(agent, slug)` is the mirror, None when there is none for
    this agent. `admit(agent, slug)` says what may be pushed now, as `Admission.from_facts` takes it; Refused is a 403.
    `received(agent, slug, {ref: (old, new)})` hears what a push moved, before the client hears that it is done.
    Sizes are in bytes, times in seconds.
    """

    def __init__(
        self,
        authenticate: Callable[[Headers], Awaitable[Agent | None]],
        locate: Callable[[Agent, str], Awaitable[Path | None]],
        admit: Callable[[Agent, str], Awaitable[Mapping[str, Any]]],
        received: Callable[[Agent, str, Moves], Awaitable[None]] | None = None,
        *,
        prefix: str = "/git",
        deadline: float = DEADLINE,
        max_at_once: int = MAX_AT_ONCE,
    ) -> None:
        self._authenticate = authenticate
        self._locate = locate
        self._admit = admit
        self._received = received
        self._prefix = prefix.rstrip("/")
        self._deadline = deadline
        self._places = asyncio.Semaphore(max_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise ValueError(f"git is spoken over http, not {scope['type']}")
        reply = Reply(send)
        try:
            async with asyncio.timeout(self._deadline):
                await self._answer(read_request(scope, self._prefix), scope, receive, reply)
        except Answer as answer:
            await reply.refuse(answer)
        except TimeoutError:
            logger.warning("git request ran out of time", extra={"path": scope["path"]})
            await reply.refuse(Answer(504, "the hub ran out of time with this request."))
        except (Gone, ConnectionError):
            logger.info("git client left", extra={"path": scope["path"]})

    async def _answer(self, request: Request, scope: Scope, receive: Receive, reply: Reply) -> None:
        agent = await self._authenticate(request.headers)
        if agent is None:
            challenge = (b"www-authenticate", b'Basic realm="AgentCom", charset="UTF-8"')
            raise Answer(401, "a valid agent token is needed as the password.", (challenge,))
        path = await self._locate(agent, request.slug)
        if path is None or not mirror.exists(path):
            raise Answer(404, f"there is no repository {request.slug} for {agent.name}.")
        admission = await self._admission(agent, request)
        limit = admission.max_pack_bytes + CHUNK if request.pushes else MAX_FETCH_BODY
        if request.length is not None and request.length > limit:
            raise Answer(413, f"the request is larger than {limit} bytes.")
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            raise Answer(503, "the hub is busy with other pushes and fetches; try again.") from None
        try:
            client = str((scope.get("client") or ["127.0.0.1"])[0])
            exchange = Exchange(environment(request, path, admission, client), receive, reply, limit)
            if request.pushes:
                await self._push(agent, request.slug, _Watch(path, tuple(admission.allow)), exchange)
            else:
                await exchange.run()
        finally:
            self._places.release()
        await reply.end()

    async def _admission(self, agent: Agent, request: Request) -> Admission:
        # Asked for the advertisement too: git shows people why that was refused, but not why a push was.
        if request.service != RECEIVE:
            return Admission(agent=agent.name)
        try:
            return Admission.from_facts(await self._admit(agent, request.slug))
        except Refused as refused:
            raise Answer(403, refused.message) from refused

    async def _push(self, agent: Agent, slug: str, watch: _Watch, exchange: Exchange) -> None:
        before = await asyncio.to_thread(watch.look)
        try:
            await exchange.run()
        finally:
            # Also after a client that left: what has moved has moved.
            await asyncio.shield(self._tell(agent, slug, watch, before))

    async def _tell(self, agent: Agent, slug: str, watch: _Watch, before: Mapping[str, str]) -> None:
        if self._received is None:
            return
        after = await asyncio.to_thread(watch.look)
        moved = {
            ref: (before.get(ref, ZERO), after.get(ref, ZERO))
            for ref in watch.refs
            if before.get(ref) != after.get(ref)
        }
        if moved:
            await self._received(agent, slug, moved)


@dataclass(frozen=True, slots=True)
class _Watch:
    """The references a push may move; nobody else may move them meanwhile."""

    path: Path
    refs: tuple[str, ...]

    def look(self) -> dict[str, str]:
        """Where they are."""
        return mirror.references(self.path, self.refs)


def read_request(scope: Scope, prefix: str) -> Request:
    """What is asked for. Answer when it is not one of the smart protocol's requests."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path") or ""))
    # A path that needed decoding was never written by git for a name that could match.
    if b"%" in (scope.get("raw_path") or b"") or not path.startswith(prefix + "/"):
        raise Answer(404, "there is nothing here.")
    found = _ROUTE.match(path.removeprefix(prefix))
    if found is None or ".." in path:
        raise Answer(404, "there is nothing here.")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    slug, what = found.groups()
    if what == "info/refs":
        return Request(slug, _service(scope), advertises=True, headers=headers, length=0)
    if scope["method"] != "POST":
        raise Answer(405, "this address takes POST.", ((b"allow", b"POST"),))
    if headers.get("content-type") != f"application/x-{what}-request":
        raise Answer(415, f"the content type must be application/x-{what}-request.")
    if headers.get("content-encoding", "identity") not in {"identity", "gzip", "x-gzip"}:
        raise Answer(415, "the body may be plain or gzip.")
    return Request(slug, what, advertises=False, headers=headers, length=_length(headers))


def _service(scope: Scope) -> str:
    if scope["method"] != "GET":
        raise Answer(405, "this address takes GET.", ((b"allow", b"GET"),))
    for service in (UPLOAD, RECEIVE):
        if scope["query_string"] == b"service=" + service.encode():
            return service
    raise Answer(403, "only git's smart protocol is spoken here; git 1.6.6 or newer is needed.")


def _length(headers: Headers) -> int | None:
    value = headers.get("content-length")
    if value is None or "chunked" in headers.get("transfer-encoding", "").lower():
        return None
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise Answer(400, "the content length is not a number.")
    return int(value)


def token_from(headers: Headers) -> str | None:
    """The token a request carries: as Bearer, or as the password of Basic (the user name does not matter)."""
    scheme, _, value = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip() or None
    if scheme.lower() != "basic":
        return None
    try:
        _, _, password = base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return password or None


def environment(request: Request, path: Path, admission: Admission, client: str) -> dict[str, str]:
    """The CGI environment of one request: built from nothing, so that no header becomes a variable by itself."""
    config = {
        "http.receivepack": "true",
        "http.uploadpack": "true",
        "http.getanyfile": "false",
        "core.hooksPath": str(path / "hooks"),
        "core.fsmonitor": "false",
        "receive.maxInputSize": str(admission.max_pack_bytes),
        "receive.autogc": "false",
    }
    env = trusted.environment() | {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "GIT_PROJECT_ROOT": str(path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{path.name}/" + ("info/refs" if request.advertises else request.service),
        "QUERY_STRING": f"service={request.service}" if request.advertises else "",
        "REQUEST_METHOD": "GET" if request.advertises else "POST",
        "REMOTE_USER": admission.agent,
        "REMOTE_ADDR": client,
        "CONTENT_TYPE": "" if request.advertises else f"application/x-{request.service}-request",
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_CONFIG_COUNT": str(len(config)),
    }
    for number, (key, value) in enumerate(config.items()):
        env |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    if request.length is not None and not request.advertises:
        env["CONTENT_LENGTH"] = str(request.length)
    if _PROTOCOL.match(request.headers.get("git-protocol", "")):
        env["GIT_PROTOCOL"] = request.headers["git-protocol"]
    if request.pushes:
        env |= {
            "AGENTCOM_PYTHON": sys.executable,
            "AGENTCOM_PRE_RECEIVE": str(Path(pre_receive.__file__).resolve()),
            pre_receive.ADMISSION: admission.text(),
        }
    return env


class Reply:
    """The answer on its way: it begins once and ends once, whatever happens in between."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._ended = False

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send status and headers."""
        self._begun = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, piece: bytes) -> None:
        """Send a piece of the body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Nothing more comes."""
        if self._begun and not self._ended:
            self._ended = True
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, answer: Answer) -> None:
        """Say why not; after git has begun to answer, only the end is left to send, which git takes for a failure."""
        if not self._begun:
            body = f"agentcom: {answer.sentence}\n".encode()
            await self.begin(
                answer.status,
                [
                    (b"content-type", b"text/plain; charset=utf-8"),  # the one type that git shows to people
                    (b"content-length", str(len(body)).encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                    *answer.headers,
                ],
            )
            await self.write(body)
        await self.end()


class Exchange:
    """One run of `git http-backend`: the request's body in, its answer out, both at once."""

    def __init__(self, env: Mapping[str, str], receive: Receive, reply: Reply, limit: int) -> None:
        self.reply = reply
        self._env = env
        self._receive = receive
        self._limit = limit

    async def run(self) -> None:
        """Until git has answered. Raises Answer for a body over the limit, Gone when the client left."""
        async with self._backend() as process:
            feed = asyncio.create_task(self._feed(process))
            answer = asyncio.create_task(self._relay(process))
            try:
                await asyncio.wait({feed, answer}, return_when=asyncio.FIRST_COMPLETED)
                # `feed` goes on listening for the client until it is cancelled, so it only ends by raising.
                await (answer if answer.done() else feed)
            finally:
                for task in (feed, answer):
                    task.cancel()
                await asyncio.gather(feed, answer, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _backend(self) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            cwd="/",
            env=dict(self._env),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=CHUNK,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            await asyncio.shield(_end(process))

    async def _feed(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        taken, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            piece = message.get("body", b"")
            taken += len(piece)
            if taken > self._limit:
                raise Answer(413, f"the request is larger than {self._limit} bytes.")
            await _write(process.stdin, piece)
            more = message.get("more_body", False)
        process.stdin.close()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        raise Gone

    async def _relay(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        status, headers = await _head(process.stdout)
        # Git writes its head before it reads: waiting for more keeps 413 and 504 possible.
        piece = await process.stdout.read(CHUNK)
        await self.reply.begin(status, headers)
        while piece:
            await self.reply.write(piece)
            piece = await process.stdout.read(CHUNK)
        if code := await process.wait():
            logger.warning("git http-backend failed", extra={"path": self._env["PATH_INFO"], "code": code})


async def _write(stdin: asyncio.StreamWriter, piece: bytes) -> None:
    # A git that has refused does not read the rest; its answer says why, and the rest of the body is let go.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(piece)
        await stdin.drain()


async def _head(stdout: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and headers as CGI writes them."""
    status, size = 200, 0
    headers: list[tuple[bytes, bytes]] = []
    while True:
        line = await stdout.readline()
        size += len(line)
        if not line or size > MAX_HEADER_BYTES:
            raise Answer(502, "git did not answer.")
        name, colon, value = line.rstrip(b"\r\n").partition(b":")
        if not name and not colon:
            return status, headers
        if name.lower() == b"status":
            status = int(value.split()[0])
        elif name.lower() not in _HOP_BY_HOP:
            headers.append((name.lower(), value.strip()))


async def _end(process: asyncio.subprocess.Process) -> None:
    """The whole group is gone when this returns."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        with contextlib.suppress(ProcessLookupError):  # it ended by itself in between
            os.killpg(process.pid, sent)
        with contextlib.suppress(TimeoutError):  # then the next signal
            await asyncio.wait_for(process.wait(), GRACE)
