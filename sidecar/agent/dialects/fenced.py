"""Calls as fenced blocks of text, for models that are bad at JSON, or at putting code into it.

What stands inside of a block is said in `fenced_blocks`, and which fences are blocks at all in `fenced_scan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sidecar.agent.dialects.base import Reading
from sidecar.agent.dialects.fenced_blocks import render_call
from sidecar.agent.dialects.fenced_scan import RESULT, calls_in
from sidecar.agent.dialects.ladder import climb, from_thinking
from sidecar.agent.repair.found import Settled, settle
from sidecar.agent.talk import Call, Observed, Reply, Said, Told, ToolSpec, Turn

__all__ = ["Fenced", "render_call"]

_INSTRUCTIONS = """\
Call a tool by writing a fenced block: the fence with the tool's name, `argument: value` lines, an empty line, then \
text as it is, unescaped. Blocks are carried out in order; then stop, and the results come back to you. Only such \
blocks do anything. An answer without a block ends your work.

{tools}

```read_file
path: src/app.py
start: 1
```
````write_file
path: src/new.py

whole content of the file
````
```edit_file
path: src/app.py

<<<<<<< SEARCH
lines as they are in the file
=======
lines to put in their place
>>>>>>> REPLACE
```
```run_command
python -m pytest -q
```
If text holds a line of backticks, open and close its block with more of them."""


class Fenced:
    """No tools in the request; blocks in the words."""

    name = "fenced"

    def specs(self, tools: Sequence[ToolSpec]) -> Sequence[ToolSpec]:
        """None: the system text tells of them."""
        return ()

    def instructions(self, tools: Sequence[ToolSpec]) -> str:
        """The form of a block, the tools, and one block of each kind."""
        return _INSTRUCTIONS.format(tools="\n".join(_told(tool) for tool in tools))

    def render(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Everything in words: calls as blocks, and the results of one answer's calls in one turn."""
        rendered: list[Turn] = []
        for turn in turns:
            last = rendered[-1] if rendered else None
            if isinstance(turn, Observed) and isinstance(last, Told) and last.text.startswith(RESULT):
                rendered[-1] = Told(text=f"{last.text}\n{_result(turn)}")
            else:
                rendered.append(_put(turn))
        return rendered

    def read(self, reply: Reply, tools: Sequence[ToolSpec]) -> Reading:
        """The blocks; failing these, calls in any other form that has one meaning."""
        settled = _settled(reply, tools)
        if settled is None:
            return Reading()
        if settled.wrong:
            return Reading(complaint=_complaint(settled.wrong, settled.spec or tools[0]) if tools else settled.wrong)
        return Reading(calls=settled.calls, repairs=settled.repairs)


def _settled(reply: Reply, tools: Sequence[ToolSpec]) -> Settled | None:
    found = [] if reply.calls else calls_in(reply.text, tools)
    settled = settle(found, tools, cut=reply.stop == "length") if found else climb(reply, tools)
    if settled or reply.text.strip():
        return settled
    thought = calls_in(reply.thinking, tools, at_the_end=True)
    return from_thinking(settle(thought, tools, cut=reply.stop == "length")) if thought else None


def _told(tool: ToolSpec) -> str:
    optional = [name for name in tool.parameters.get("properties", {}) if name not in tool.required]
    arguments = ", ".join([*tool.required, *(f"[{name}]" for name in optional)])
    return f"- {tool.name}: {arguments}. {tool.description}"


def _complaint(wrong: str, spec: ToolSpec) -> str:
    texts = [name for name in spec.required if spec.parameters["properties"][name].get("type") == "string"]
    example = render_call(Call(name=spec.name, arguments=_sample(spec, texts)))
    return f"Nothing was carried out: {wrong}.\nA correct block looks like this:\n{example}"


def _sample(spec: ToolSpec, texts: Sequence[str]) -> dict[str, Any]:
    """Inert values; what changes something has its last texts as lines, as they are written in a body."""
    sample: dict[str, Any] = {name: f"<{name}>" if name in texts else 1 for name in spec.required}
    lines = texts[1:] if spec.changes else []
    return {**sample, **{name: f"<{name}>\n" for name in lines}}


def _put(turn: Turn) -> Turn:
    match turn:
        case Observed():
            return Told(text=_result(turn))
        case Said(reply=reply, calls=calls):
            made = not reply.calls or not calls
            text = reply.text if made and reply.text.strip() else _with_blocks(reply.text, turn)
            return Said(reply=Reply(text=text, stop=reply.stop))
        case _:
            return turn


def _result(turn: Observed) -> str:
    return f"{RESULT}{turn.call.name}: {turn.text}"


def _with_blocks(text: str, turn: Said) -> str:
    refused = [f"[not carried out: a call of {call.name}]" for call in turn.reply.calls if not turn.calls]
    return "\n".join(filter(None, [text.strip(), *refused, *map(render_call, turn.calls)]))
