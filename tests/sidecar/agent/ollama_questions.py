"""What an Ollama server is asked in tests: one task, two tools, and a call as it comes back."""

from __future__ import annotations

from sidecar.agent.talk import Request, Told, ToolSpec

CONTEXT = 8192
READ_FILE = ToolSpec(
    name="read_file",
    description="Read a file.",
    parameters={
        "type": "object",
        "properties": {"path": {"type": "string", "minLength": 1}, "start": {"type": "integer"}},
        "required": ["path"],
        "additionalProperties": False,
    },
    changes=False,
)
RUN_COMMAND = ToolSpec(name="run_command", description="Run.", parameters={"type": "object"}, changes=True)
READ = {"name": "read_file", "arguments": {"path": "app.py"}}
GO = Told(text="Fix the bug.")


def question(*turns, tools=(READ_FILE, RUN_COMMAND), **kwargs):
    """A request; of the one task unless there are other turns."""
    return Request(**{"system": "You mend code.", "turns": turns or (GO,), "tools": tools, "max_tokens": 512, **kwargs})
