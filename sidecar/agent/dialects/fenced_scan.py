"""Which fences of a text are blocks that a model means, and which only tell of one. (pure)

Nothing inside of a block's text is escaped. So where a fence inside could as well be the block's own, nothing is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from sidecar.agent.dialects.fenced_blocks import Block, calls_of
from sidecar.agent.repair.found import Found
from sidecar.agent.repair.names import near, plainly
from sidecar.agent.repair.prose import hedged_after, hedged_before, quoted_before
from sidecar.agent.repair.read import MOST_FOUND, NOT_CLEAR, TOO_MANY, listen
from sidecar.agent.talk import ToolSpec

RESULT = "Result of "
"""How the result of a call begins, in a turn of words; a model that writes this itself has imagined it."""

_FENCE = re.compile(r"(?P<marks>`{3,}|~{3,})[ \t]*+(?P<info>[^`\r\n]*)\r?")
_INDENTED = re.compile(r"[ \t>]+(?:`{3,}|~{3,})[ \t]*(?P<info>\w+)")
_THINK = re.compile(r"\s*<think(?:ing)?>")
_UNTHINK = re.compile(r".*</think(?:ing)?>.*")
_TWO_FORMS = "there are blocks and calls of another form; write blocks only"
_IMAGINED = "you wrote results yourself; end your answer after the blocks, the results come to you"
_APART = "your thoughts hold more than one call; make the one that you mean in your answer"
_LONGER = "open and close the block with a longer fence than any inside of it"


def calls_in(text: str, tools: Sequence[ToolSpec], *, at_the_end: bool = False) -> list[Found]:
    """The calls in a text's blocks. `at_the_end`: only those that the text ends with, for the rest is deliberation."""
    scan = _Scan(text.split("\n"), tools)
    scan.run()
    if len(scan.blocks) > MOST_FOUND:
        return [Found(name=scan.blocks[0].spec.name, broken=TOO_MANY)]
    found = [one for index in range(len(scan.blocks)) for one in scan.weighed(index)]
    if scan.imagined:
        return [Found(name=found[0].name, broken=_IMAGINED)]
    if not found and not scan.stray:
        return []
    others = listen(text, tools).found
    if at_the_end:
        stray = _APART if len(scan.blocks) > 1 else ""
        found = [] if found and "".join(scan.lines[scan.blocks[-1].end + 1 :]).strip() else found
    else:
        stray = scan.stray or (_TWO_FORMS if others else "")
    if stray and not found:
        return [] if others else [Found(broken=stray)]
    return [replace(one, doubt=one.doubt or stray) for one in found]


class _Scan:
    """One pass over lines: the blocks that are calls, and what about the fences around them is not sure."""

    def __init__(self, lines: Sequence[str], tools: Sequence[ToolSpec]) -> None:
        self.lines = lines
        self.tools = tools
        self.blocks: list[Block] = []
        self.stray = ""
        self.imagined = False
        self._from = 0

    def run(self) -> None:
        """Go through all lines."""
        at = 0
        while at < len(self.lines):
            opener = _FENCE.fullmatch(self.lines[at])
            at = self._words(at) if opener is None else self._fence(opener, at)

    def weighed(self, index: int) -> Iterator[Found]:
        """The calls of one block; the words before and after it say whether they are meant."""
        block = self.blocks[index]
        start = max(self._from, self.blocks[index - 1].end + 1 if index else 0)
        end = self.blocks[index + 1].begin if index + 1 < len(self.blocks) else len(self.lines)
        before, after = self.lines[start : block.begin], self.lines[block.end + 1 : end]
        words = "\n".join(before)
        hedged, doubtful = hedged_before(words), quoted_before(words) or hedged_after("\n".join(after))
        for one in calls_of(block):
            if hedged:
                yield replace(one, broken=one.broken or NOT_CLEAR)
            else:
                yield replace(one, doubt=one.doubt or NOT_CLEAR) if doubtful else one

    def _words(self, at: int) -> int:
        line = self.lines[at]
        if line.startswith(RESULT) and self.blocks:
            self.imagined = True
        indented = _INDENTED.match(line)
        if indented and plainly(indented["info"], self.tools):
            self.stray = "a block must begin at the beginning of its line"
        if _THINK.match(line):
            lines = range(at, len(self.lines))
            self._from = next((index for index in lines if _UNTHINK.match(self.lines[index])), len(self.lines)) + 1
            return self._from
        if _UNTHINK.match(line):  # all that came before was a thought
            self.blocks.clear()
            self.stray, self._from = "", at + 1
        return at + 1

    def _fence(self, opener: re.Match[str], at: int) -> int:
        block = _block(opener, self.lines, at, self.tools)
        if isinstance(block, Block):
            self.blocks.append(block)
            return block.end + 1
        trouble = _trouble(opener, closed=block < len(self.lines), after=bool(self.blocks))
        self.stray = self.stray or trouble or _hidden(opener, self.lines[at + 1 : block], self.tools)
        return block + 1


def _trouble(opener: re.Match[str], *, closed: bool, after: bool) -> str:
    """A fence that is no call, but comes after one, may have been part of a text that seemed to be over."""
    if after and not opener["info"].strip():
        return f"it is not clear which fence closes which block; {_LONGER}"
    return f"a fence is not closed; {_LONGER}" if after and not closed else ""


def _hidden(opener: re.Match[str], lines: Sequence[str], tools: Sequence[ToolSpec]) -> str:
    """A fence of the same length inside of a code sample cannot be of the sample: a call may have been meant."""
    inner = (_FENCE.fullmatch(line) for line in lines)
    if any(one and one["marks"] == opener["marks"] and plainly(_first(one["info"]), tools) for one in inner):
        return f"a block stands inside of another fence; {_LONGER}"
    return ""


def _first(info: str) -> str:
    return info.strip().partition(" ")[0]


def _block(opener: re.Match[str], lines: Sequence[str], at: int, tools: Sequence[ToolSpec]) -> Block | int:
    """The block that begins at line `at`; for a fence that is no call, the index of the line that closes it."""
    word, _, rest = opener["info"].strip().partition(" ")
    spec = near(word, tools) if "_" in word else plainly(word, tools)
    end, broken = _closing(opener["marks"], lines, at + 1, strict=spec is not None)
    if spec is None:
        return end
    return Block(
        spec=spec,
        rest=rest.strip(),
        repair="" if word == spec.name else "name",
        begin=at,
        end=end,
        lines=list(lines[at + 1 : end]),
        broken=broken,
    )


def _closing(marks: str, lines: Sequence[str], at: int, *, strict: bool) -> tuple[int, str]:
    """Where the fence is closed. `strict`: any other fence of its length or more on the way makes that doubtful."""
    doubt = ""
    for index in range(at, len(lines)):
        fence = _FENCE.fullmatch(lines[index])
        if fence is None or fence["marks"][0] != marks[0] or len(fence["marks"]) < len(marks):
            continue
        if not fence["info"].strip() and (fence["marks"] == marks or not strict):
            return index, doubt
        doubt = doubt or f"there is a fence inside of the block; {_LONGER}"
    return len(lines), doubt or "the block is not closed"
