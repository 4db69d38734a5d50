"""Other people's words in a prompt: marked as data in a way that they cannot forge, and cut to size. Pure.

What stands between two lines with a mark cannot hold that mark, since it is chosen by what is quoted. The signs by
which servers tell the turns of a talk apart are broken visibly: read as such, they would end the quotation.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from apps.endpoints.sizes import tokens

MARK_LENGTH = 16
LONGEST_WORD = 200
"""Characters without a space; what is longer is minified or encoded, and costs far more tokens than it says."""
_ODD = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_BLOB = re.compile(rf"[!-~]{{{LONGEST_WORD + 1},}}")
_TURNS = re.compile(
    r"<(?=[|\uff5c])|(?<=[|\uff5c])>"
    r"|<(?=/?(?:s|bos|eos|pad|unk|think|thinking|start_of_turn|end_of_turn|tool_calls?|tool_response|begin_of_text"
    r"|end_of_text|eot_id|im_start|im_end|sys|system|user|assistant)>)|<(?=</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\])",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quoted:
    """A piece of data: what it is, in one line of ours, and its text."""

    label: str
    text: str


def harmless(text: str) -> str:
    """The text without characters that cannot be seen, with signs of turns broken and what is no text cut."""
    seen = "".join(c for c in text.replace("\r\n", "\n") if c in "\n\t" or unicodedata.category(c) not in _ODD)
    broken = _TURNS.sub(lambda sign: " >" if sign[0] == ">" else f"{sign[0]} ", seen)
    return _BLOB.sub(lambda blob: f"{blob[0][:80]}… [{len(blob[0]) - 80} more characters]", broken)


def one_line(text: str, longest: int = LONGEST_WORD) -> str:
    """The text on one harmless line, cut."""
    line = " ".join(harmless(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def clipped(text: str, most: int, *, ending: str | None = None) -> str:
    """As much of the beginning of the harmless text as `most` tokens hold, with an ending that says so."""
    looked_at = max(0, most) * 4 + 1_000  # more than this never fits
    safe = harmless(text[:looked_at])
    if tokens(safe) <= most and len(text) <= looked_at:
        return safe
    note = f"\n[cut here; {len(text)} characters in all]" if ending is None else ending
    left = most - tokens(note)
    if left <= 0:
        return ""
    kept = safe[: _fitting(safe, left)]
    line = kept.rfind("\n")
    return (kept[:line] if line > len(kept) // 2 else kept) + note


def _fitting(text: str, most: int) -> int:
    """The length of the longest beginning of the text that has at most so many tokens."""
    low, high = 0, min(len(text), 3 * most + 3)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if tokens(text[:middle]) <= most else (low, middle - 1)
    return low


def mark_for(texts: Iterable[str]) -> str:
    """A mark that none of the texts holds; the same one for the same texts. Letters only."""
    everything = "\0".join(texts)
    seed = everything.encode("utf-8", "replace")
    while True:
        digest = hashlib.sha256(seed).digest()
        mark = "".join(chr(ord("a") + half) for byte in digest[: MARK_LENGTH // 2] for half in (byte >> 4, byte & 15))
        if mark not in everything.lower():
            return mark
        seed = digest


def fenced(piece: Quoted, mark: str) -> str:
    """The piece between two lines that only we can write."""
    return f"[data {mark}: {piece.label}]\n{piece.text}\n[end of data {mark}]"


def frame_tokens(label: str) -> int:
    """What quoting costs beside the text itself."""
    return tokens(fenced(Quoted(label, ""), "m" * MARK_LENGTH)) + 2


def shares(wants: Sequence[int], room: int) -> list[int]:
    """How much each gets of the room: all that it wants, or an equal part of what those leave that want less."""
    given = [0] * len(wants)
    order = sorted(range(len(wants)), key=lambda index: (wants[index], index))
    for done, index in enumerate(order):
        given[index] = max(0, min(wants[index], room // (len(order) - done)))
        room -= given[index]
    return given
