"""A text file as lines, and what must stay of it: byte order mark, line endings, bytes that are no UTF-8. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sidecar.agent.tools.refused import ToolRefused

_BOM = "\ufeff"
_LINE_CHARACTERS = 500


@dataclass(frozen=True)
class Text:
    """`body` has no mark; its lines end in `\\n`, unless they ended differently from each other (no `ending`)."""

    body: str
    marked: bool = False
    ending: str = "\n"

    @classmethod
    def of(cls, content: bytes, path: str) -> Text:
        """Raises ToolRefused for what is no text."""
        if b"\0" in content:
            raise ToolRefused(f"{path} is binary ({len(content):,} bytes).")
        text = content.decode("utf-8", "surrogateescape")
        body = text.removeprefix(_BOM)
        ends = body.count("\r\n")
        if not ends:
            ending = "\n"
        elif ends == body.count("\n"):
            ending, body = "\r\n", body.replace("\r\n", "\n")
        else:
            ending = ""
        return cls(body, text.startswith(_BOM), ending)

    def alike(self, words: str) -> str:
        """Words of a model with line endings as in `body`."""
        return (words.replace("\r\n", "\n") if self.ending else words).removeprefix(_BOM)

    def become(self, body: str) -> Text:
        """The same file with another body; a newline at its end stays."""
        lost = self.body.endswith("\n") and body and not body.endswith("\n")
        return replace(self, body=f"{body}\n" if lost else body)

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        body = self.body.replace("\n", "\r\n") if self.ending == "\r\n" else self.body
        return ((_BOM if self.marked else "") + body).encode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        """Lines without their ends, ready to be shown."""
        return lines_of(self.body.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def lines_of(text: str) -> list[str]:
    """Lines without their ends; a newline at the end begins no further one."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def numbered(lines: Sequence[str], first: int) -> list[str]:
    """Lines with their numbers and a tab before them, very long ones cut."""
    return [f"{number}\t{_short(line)}" for number, line in enumerate(lines, start=first)]


def _short(line: str) -> str:
    if len(line) <= _LINE_CHARACTERS:
        return line.rstrip("\r")
    return f"{line[:_LINE_CHARACTERS]} [... {len(line) - _LINE_CHARACTERS} characters left out ...]"
