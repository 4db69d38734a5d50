"""What an agent tells of its turn (`session/update`), in the words of those who watch. Pure.

An update of a kind that is not known is no fault: agents are newer than we. Thoughts are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

TITLES = 1_000
"""Of so many uses of tools the titles are known when they are spoken of again."""
TITLE_CHARACTERS = 2_000


class Listener(Protocol):
    """Whoever watches a turn. Every text is the agent's own, of any length, and may hold a secret."""

    def awake(self) -> None:
        """It has answered for the first time."""
        ...

    def said(self, text: str) -> None:
        """A piece of its message; pieces join without anything between them."""
        ...

    def used(self, title: str, kind: str, arguments: Any) -> None:
        """It begins to use a tool; `arguments` are JSON, None when it does not say."""
        ...

    def noted(self, text: str) -> None:
        """Something else that is worth a line."""
        ...


class Updates:
    """Tells a listener what the updates of one session say."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._titles: dict[str, str] = {}
        self._doing = ""

    def take(self, update: Any) -> None:
        """One update, of whatever shape."""
        if not isinstance(update, dict):
            return
        match update.get("sessionUpdate"):
            case "agent_message_chunk":
                self._chunk(update.get("content"))
            case "tool_call":
                self._call(update)
            case "tool_call_update":
                self._change(update)
            case "plan":
                self._plan(update.get("entries"))

    def title(self, call: Any) -> str:
        """What a use of a tool is called, by itself or by what was said of it before."""
        if not isinstance(call, dict):
            return "a tool"
        return _text(call, "title") or self._titles.get(_text(call, "toolCallId"), "") or "a tool"

    def _chunk(self, content: Any) -> None:
        if isinstance(content, dict) and content.get("type") == "text":
            self._listener.said(_text(content, "text"))

    def _call(self, call: Mapping[str, Any]) -> None:
        title = self.title(call)
        if len(self._titles) < TITLES and len(title) <= TITLE_CHARACTERS:  # whole or not at all: it is masked later
            self._titles[_text(call, "toolCallId")] = title
        self._listener.used(title, _text(call, "kind") or "other", call.get("rawInput"))

    def _change(self, call: Mapping[str, Any]) -> None:
        if call.get("status") == "failed":
            self._listener.noted(f"{self.title(call)}: failed")

    def _plan(self, entries: Any) -> None:
        """Said when it goes on to something else, for a plan is sent whole with every change."""
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("status") == "in_progress":
                if (doing := _text(entry, "content")) != self._doing:
                    self._doing = doing
                    self._listener.noted(f"plan: {doing}")
                return


def _text(of: Mapping[str, Any], name: str) -> str:
    found = of.get(name)
    return found if isinstance(found, str) else ""
