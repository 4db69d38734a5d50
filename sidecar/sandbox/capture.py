"""Keep the beginning and the end of a stream of any length in bounded memory."""

from __future__ import annotations

from collections import deque


class HeadTail:
    """The first `head` and the last `tail` bytes written to it, and how many fell between."""

    def __init__(self, head: int, tail: int) -> None:
        self._head_room = head
        self._tail_room = tail
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.elided = 0

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        taken = self._head_room - len(self._head)
        if taken > 0:
            self._head += chunk[:taken]
            chunk = chunk[taken:]
        if chunk:
            self._tail.append(chunk)
            self._tail_size += len(chunk)
            self._trim()

    def _trim(self) -> None:
        while self._tail and self._tail_size > self._tail_room:
            over = self._tail_size - self._tail_room
            oldest = self._tail.popleft()
            if len(oldest) > over:
                self._tail.appendleft(oldest[over:])
            gone = min(over, len(oldest))
            self._tail_size -= gone
            self.elided += gone

    def text(self) -> str:
        """What was kept as text; invalid UTF-8 is replaced, and a gap is said."""
        gap = f"\n[... {self.elided} bytes left out ...]\n".encode() if self.elided else b""
        return (bytes(self._head) + gap + b"".join(self._tail)).decode("utf-8", "replace")
