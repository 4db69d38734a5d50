"""What the tests of Claude's client ask, and how they go on with what it answers."""

import traceback

import pytest

from sidecar.agent import faults
from sidecar.agent.talk import Call, Observed, Reply, Request, Said, Told, ToolSpec
from tests.providers.anthropic import KEY

READ = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    changes=False,
)
RUN = ToolSpec(
    name="run_command",
    description="Run a command.",
    parameters={"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    changes=True,
)
READING = {"name": "read_file", "input": {"path": "calc.py"}}


def asking(*turns, **more):
    return Request(
        system=more.pop("system", "You repair code."),
        turns=turns or (Told(text="Repair calc.py."),),
        tools=more.pop("tools", (READ, RUN)),
        max_tokens=more.pop("max_tokens", 1000),
        **more,
    )


def carried_out(reply):
    return tuple(Call(name=raw.name, arguments=raw.arguments, id=raw.id) for raw in reply.calls)


def observed(said, text="{}"):
    return [Observed(call=call, text=text) for call in said.calls]


def a_call(use="toolu_1", name="read_file"):
    return Call(name=name, arguments={"path": "calc.py"}, id=use)


def said_by_hand(*calls, text=""):
    return Said(reply=Reply(text=text), calls=calls)


def result(use, *texts, **more):
    return {
        "type": "tool_result",
        "tool_use_id": use,
        "content": [{"type": "text", "text": text} for text in texts],
        **more,
    }


async def fault_from(claude, request=None):
    with pytest.raises(faults.ModelFault) as caught:
        await claude.reply(request or asking())
    assert KEY not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))
    return caught.value
