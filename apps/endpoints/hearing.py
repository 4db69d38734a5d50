"""What is heard of an Ollama's answer, line by line, and whether it is one: the end of a stream does not make it so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from apps.endpoints.said import Said, ThinkingFailed, without_thoughts
from apps.endpoints.sizes import tokens
from apps.ledger.pricing import MOST_TOKENS, Usage

_MOST_BYTES_PER_TOKEN = 6  # a prompt that was read whole has hardly fewer tokens than this makes of it
_CERTAINLY_CUT = 0.4
_ROOM = 32  # tokens by which a server may stop short of a full context
_COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")


class Heard:
    """An answer to what was `asked`, in the making. Raises ThinkingFailed for what is no answer."""

    def __init__(self, asked: str) -> None:
        self.done = False
        self._bytes = len(asked.encode("utf-8", "replace"))
        self._asked = tokens(asked)
        self._rest = b""
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._final: Mapping[str, Any] = {}

    def feed(self, chunk: bytes) -> None:
        """The next bytes, cut anywhere."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._take(line)

    def end(self) -> None:
        """The connection ended."""
        if self._rest.strip():
            try:
                self._take(self._rest)
            except ThinkingFailed as half:
                if half.code != "thinking_garbled":
                    raise
        if not self.done:
            raise ThinkingFailed("thinking_broke_off", "The answer broke off.", usage=self.usage())

    def usage(self) -> Usage:
        """As the server counted, or as many tokens as the text has at most."""
        prompt, output = self._final.get("prompt_eval_count"), self._final.get("eval_count")
        cached = min(self._final.get("prompt_eval_cached_count") or 0, prompt or 0)
        return Usage(
            input=prompt - cached if prompt else self._asked,
            output=tokens("".join(self._thoughts + self._text)) if output is None else output,
            cache_read=cached,
        )

    @property
    def certain(self) -> bool:
        """Whether the server has counted both."""
        return bool(self._final.get("prompt_eval_count")) and self._final.get("eval_count") is not None

    def said(self, *, context: int, most: int) -> Said:
        """The answer of a model with this context, that was allowed `most` tokens."""
        usage = self.usage()
        cut = self._final.get("done_reason") == "length"
        full = cut and usage.output < most and usage.prompt + usage.output >= context - _ROOM
        if self._was_cut(usage, context) or full:
            raise self._fault("thinking_context", f"It does not fit into {context} tokens.")
        words = "".join(self._text)
        text = without_thoughts(words)
        if cut:
            what = f"The answer was not at its end after {usage.output} tokens."
            raise self._fault("thinking_cut_off", what, said=text or words)
        if not text:
            raise self._fault("thinking_empty", "The model said nothing.")
        return Said(text, usage, self.certain)

    def _take(self, line: bytes) -> None:
        if not line.strip() or self.done:
            return
        try:
            part = json.loads(line)
            message = part.get("message") or {}
            if error := part.get("error"):
                raise error_in_words(str(error), usage=self.usage())
            self._text.append(str(message.get("content") or ""))
            self._thoughts.append(str(message.get("thinking") or ""))
            if part.get("done") is True:
                self._final = {**part, **{name: _count(part.get(name)) for name in _COUNTS}}
                self.done = True
        except (ValueError, AttributeError, RecursionError) as garbled:
            raise ThinkingFailed("thinking_garbled", "A line makes no sense.", usage=self.usage()) from garbled

    def _fault(self, code: str, what: str, *, said: str = "") -> ThinkingFailed:
        return ThinkingFailed(code, what, usage=self.usage(), certain=self.certain, said=said)

    def _was_cut(self, usage: Usage, context: int) -> bool:
        """Whether the server has read less than it was sent, as far as a cache of its own does not explain that."""
        if not self._final.get("prompt_eval_count"):
            return False
        tells = self._final.get("prompt_eval_cached_count") is not None
        far_too_few = usage.prompt < _CERTAINLY_CUT * self._bytes / _MOST_BYTES_PER_TOKEN
        return usage.prompt >= context or (far_too_few and (tells or self._asked > context))


def error_in_words(words: str, *, usage: Usage | None = None, refused: bool = False) -> ThinkingFailed:
    """The failure behind a server's words; `refused` when it said them instead of beginning."""
    if is_about_the_context(words):
        return ThinkingFailed("thinking_context", words, usage=usage, worked=not refused)
    return ThinkingFailed("thinking_refused" if refused else "thinking_error", words, usage=usage)


def is_about_the_context(words: str) -> bool:
    """Whether it is the model's: Go and llama.cpp have contexts that mean something else."""
    plain = words.lower()
    others = ("context canceled", "context cancelled", "context deadline", "create context", "initialize context")
    return "context" in plain and not any(other in plain for other in others)


def _count(value: Any) -> int | None:
    """A count of tokens, None where there is none; ValueError for what no server counts."""
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= MOST_TOKENS:
        raise ValueError("no count of tokens")
    return value
