"""The pages' socket: a page names the groups it shows and is told when one of them changed. It carries no data.

Whoever is told fetches the page again, by a request that proves who asks. So a hint may come twice, late or to somebody
who has logged out since.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from apps.dashboard.access import may_operate
from apps.events.consumer import LaneConsumer
from apps.events.hints import PAGES

GROUP = re.compile(r"\A(?:dashboard|machines|brain|needs-you|(?:task|pull|goal)\.[0-9]{1,18})\Z")
MAX_GROUPS = 40
MAX_FRAME = 4_096
COALESCE_SECONDS = 0.15
UNWELCOME, MALFORMED = 4403, 4400


class LiveConsumer(LaneConsumer):
    """One open page. Says `{"watch": ["dashboard", "task.7"]}`, hears `{"changed": ["task.7"]}`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.watched: set[str] = set()
        self.changed: set[str] = set()
        self.timer: asyncio.TimerHandle | None = None
        self.sending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Operators only. Refused after the handshake, so that the page learns the reason from the code."""
        await self.accept()
        if not may_operate(self.scope["user"]):
            await self.close(UNWELCOME)
            return
        await self.channel_layer.group_add(PAGES, self.channel_name)

    async def disconnect(self, code: int) -> None:
        """Hear of nothing any more."""
        if self.timer is not None:
            self.timer.cancel()
        await self.channel_layer.group_discard(PAGES, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page says what it shows; the newest word counts."""
        if not may_operate(self.scope["user"]):
            return
        groups = wanted_groups(text_data)
        if groups is None:
            await self.close(MALFORMED)
            return
        self.watched = groups
        # What changed between the rendering of the page and this moment was heard by nobody.
        await self.send(text_data=json.dumps({"watching": sorted(groups)}))

    async def hint(self, event: dict[str, Any]) -> None:
        """Something changed; when the page shows it, wait a moment for more of it, then tell the page once."""
        self.changed |= self.watched.intersection(event["groups"])
        if self.changed and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(COALESCE_SECONDS, self._flush)

    def _flush(self) -> None:
        self.timer = None
        changed, self.changed = sorted(self.changed & self.watched), set()
        if changed:
            self.sending = asyncio.ensure_future(self.send(text_data=json.dumps({"changed": changed})))


def wanted_groups(text: str | None) -> set[str] | None:
    """The groups that a page's message names, or None when it is not such a message."""
    if text is None or len(text) > MAX_FRAME:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    groups = message.get("watch") if isinstance(message, dict) else None
    if not isinstance(groups, list) or len(groups) > MAX_GROUPS:
        return None
    if not all(isinstance(group, str) and GROUP.match(group) for group in groups):
        return None
    return set(groups)
