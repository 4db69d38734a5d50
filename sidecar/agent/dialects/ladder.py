"""From a reply to calls, step by step: what the provider saw, what the words hold, what thoughts end with."""

from __future__ import annotations

from collections.abc import Sequence

from sidecar.agent.repair.found import Found, Settled, settle
from sidecar.agent.repair.read import listen, overhear
from sidecar.agent.talk import Reply, ToolSpec


def climb(reply: Reply, tools: Sequence[ToolSpec]) -> Settled | None:
    """The calls of the first step that has any, or what is wrong with them; None when the model only spoke.

    An answer that was cut off may end in a fragment of a call, so no call in it may change anything.
    """
    cut = reply.stop == "length"
    if reply.calls:
        return settle([native(call.name, call.arguments, call.id) for call in reply.calls], tools, cut=cut)
    heard = listen(reply.text, tools)
    if heard.found:
        return _with(settle(heard.found, tools, cut=cut), "from_text")
    thoughts = "\n".join(filter(None, (reply.thinking, heard.thoughts)))
    if heard.words or not (found := overhear(thoughts, tools)):
        return None
    return from_thinking(settle(found, tools, cut=cut))


def from_thinking(settled: Settled) -> Settled:
    """The same, with a note that it was found where calls do not belong."""
    return _with(settled, "from_thinking")


def native(name: str, arguments: object, call_id: str) -> Found:
    """A call as the provider made it out of what the model said."""
    return Found(name=name, arguments=arguments, id=call_id, literal=True)


def _with(settled: Settled, repair: str) -> Settled:
    return Settled(
        calls=settled.calls,
        repairs=tuple(sorted({repair, *settled.repairs})),
        wrong=settled.wrong,
        spec=settled.spec,
    )
