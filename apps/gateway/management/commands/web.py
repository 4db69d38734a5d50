"""`manage.py web`: one web process, on Daphne. `uvicorn agentcom.asgi:application` does as well."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from sidecar.wire import MAX_FRAME_BYTES


class Command(BaseCommand):
    help = "Serve pages, REST, sockets and git."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: this machine only)")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        from channels.routing import get_default_application
        from daphne.endpoints import build_endpoint_description_strings
        from daphne.server import Server

        self.stdout.write(f"serving on http://{options['bind']}:{options['port']}")
        self.stdout.flush()
        Server(
            application=get_default_application(),  # the project's own: rooms look down only
            endpoints=build_endpoint_description_strings(host=options["bind"], port=options["port"]),
            websocket_max_frame_size=MAX_FRAME_BYTES,
            websocket_max_message_size=MAX_FRAME_BYTES,
            websocket_timeout=-1,  # a sidecar's socket lives as long as the sidecar
            proxy_forwarded_address_header="X-Forwarded-For",
            server_name="agentcom",
        ).run()
