"""`manage.py web`: one web process, on Daphne. `uvicorn agentcom.asgi:application` does as well."""

from __future__ import annotations

from typing import Any

from channels.routing import get_default_application
from daphne import server as daphne
from daphne.endpoints import build_endpoint_description_strings
from daphne.ws_protocol import WebSocketProtocol
from django.core.management.base import BaseCommand, CommandParser
from twisted.internet import reactor
from twisted.internet.task import deferLater

from sidecar.wire import MAX_FRAME_BYTES

RESTARTING = 1012
"""The close code of RFC 6455's registry for a server that restarts."""
FAREWELL_SECONDS = 0.3
"""So long the sockets have to hear it; what is only buffered is lost when the reactor stops."""


class CleanlyClosing(daphne.WebSocketFactory):  # type: ignore[misc]  # daphne ships no types
    """Says 1009 to a frame over the limit; Daphne would cut the connection, and the client could only guess why."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setProtocolOptions(failByDrop=False)


class Leaving(daphne.Server):  # type: ignore[misc]  # daphne ships no types
    """Says 1012 to every socket before it goes, so that sidecars come back soon and not all in the same moment."""

    def kill_all_applications(self) -> Any:
        for protocol in list(self.connections):
            if isinstance(protocol, WebSocketProtocol) and protocol.state == protocol.STATE_OPEN:
                protocol.sendCloseFrame(RESTARTING, b"The hub restarts.")
        return deferLater(reactor, FAREWELL_SECONDS, super().kill_all_applications)


class Command(BaseCommand):
    help = "Serve pages, REST, sockets and git."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"serving on http://{options['bind']}:{options['port']}")
        self.stdout.flush()
        daphne.WebSocketFactory = CleanlyClosing
        Leaving(
            application=get_default_application(),  # by its setting: rooms look down only
            endpoints=build_endpoint_description_strings(host=options["bind"], port=options["port"]),
            websocket_max_frame_size=MAX_FRAME_BYTES,
            websocket_max_message_size=MAX_FRAME_BYTES,
            websocket_timeout=-1,  # a sidecar's socket lives as long as the sidecar
            proxy_forwarded_address_header="X-Forwarded-For",
            server_name="agentcom",
        ).run()
