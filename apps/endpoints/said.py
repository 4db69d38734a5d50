"""What came of asking a model: words or a failure by name, and what the ledger has to know of either. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from apps.events.refused import Refused
from apps.ledger.pricing import Usage

_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_OPEN_THOUGHT = re.compile(r"\s*<think>")
_FENCED = re.compile(r"\s*```[a-z]*\n(.*?)\n?```\s*", re.DOTALL)
_MOST_WORDS = 500


@dataclass(frozen=True)
class Kind:
    """`transient`: the same question may be answered later without anybody's doing. `worked`: the provider may have."""

    transient: bool
    worked: bool


KINDS: Mapping[str, Kind] = {
    "thinking_unreachable": Kind(transient=True, worked=False),  # nobody is there to be asked
    "thinking_busy": Kind(transient=True, worked=False),  # it has too much to do
    "thinking_limited": Kind(transient=True, worked=False),  # our quota is used up for now
    "thinking_slow": Kind(transient=True, worked=True),  # the time was over before the answer was
    "thinking_broke_off": Kind(transient=True, worked=True),  # the connection ended before the answer did
    "thinking_error": Kind(transient=True, worked=True),  # the server failed, before or within the answer
    "thinking_garbled": Kind(transient=True, worked=True),  # what came is not what such a server says
    "thinking_empty": Kind(transient=True, worked=True),  # not a word, apart from thoughts
    "thinking_cut_off": Kind(transient=True, worked=True),  # the limit of the answer came before its end
    "thinking_context": Kind(transient=False, worked=True),  # the question does not fit into the model's context
    "thinking_declined": Kind(transient=False, worked=True),  # the model will not do this
    "thinking_refused": Kind(transient=False, worked=False),  # the server will not take such a request
    "thinking_unauthorized": Kind(transient=False, worked=False),  # the key is wrong, or may not use this model
    "thinking_model_missing": Kind(transient=False, worked=False),  # the server does not have the model
    "thinking_forbidden": Kind(transient=False, worked=False),  # the hub may not connect there
}


class ThinkingFailed(Refused):
    """A model was asked and gave no usable answer: {what}"""

    def __init__(
        self,
        code: str,
        what: str,
        *,
        usage: Usage | None = None,
        certain: bool = False,
        transient: bool | None = None,
        worked: bool | None = None,
        said: str = "",
    ) -> None:
        """`usage` is what is known to have been used, to the token when `certain`; `said` are words of the model.

        `transient` and `worked` are as usual for the code unless they are given.
        """
        kind = KINDS[code]
        super().__init__(code, what=what.strip()[:_MOST_WORDS])
        self.transient = kind.transient if transient is None else transient
        self.worked = kind.worked if worked is None else worked
        self.usage = usage
        self.certain = certain
        self.said = said


@dataclass(frozen=True)
class Said:
    """Words of a model, and what they took; `certain` when the provider counted it."""

    text: str
    usage: Usage
    certain: bool
    request_id: str = ""


def without_thoughts(text: str) -> str:
    """The answer alone: some models put what they think before it, in `<think>`, and some forget the opening."""
    while thought := _THOUGHT.match(text):
        text = text[thought.end() :]
    if _OPEN_THOUGHT.match(text):  # it thought until the end
        return ""
    head, closing, rest = text.partition("</think>")
    if closing and not head.lstrip().startswith(("{", "[", "```")):  # in a value of JSON it is only a word
        text = rest
    return text.strip()


def without_fence(text: str) -> str:
    """JSON as it is, when a model has put it in a block of code."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1].strip() if fenced else text
