"""The task is a command: run it. No model, no tokens."""

from __future__ import annotations

import codecs

from sidecar.executors.base import Execution, Job, Place, Progress, Sandbox
from sidecar.sandbox import Outcome

_LINE_CHARACTERS = 2_000


class Shell:
    """Runs the brief's command with `/bin/sh -c`, the whole brief beside it as a JSON file."""

    name = "shell"

    async def execute(self, job: Job, place: Place, sandbox: Sandbox, progress: Progress) -> Execution:
        """Done means exit code 0. The command finds its brief at AGENTCOM_BRIEF_FILE."""
        command = job.brief.command
        if not command.strip():
            return Execution(code="no_command", message="The task has no command, and a shell task is nothing else.")
        lines = Lines(progress)
        outcome = await sandbox.run(
            command,
            tree=place.tree,
            timeout_seconds=job.timeout_seconds,
            env={
                "AGENTCOM_TASK_ID": str(job.task),
                "AGENTCOM_ATTEMPT_ID": str(job.attempt),
                "AGENTCOM_GENERATION": str(job.generation),
            },
            files={"AGENTCOM_BRIEF_FILE": job.brief.model_dump_json().encode()},
            output=lines.feed,
        )
        lines.close()
        return _execution(outcome, job)


def _execution(outcome: Outcome, job: Job) -> Execution:
    code, message = "", ""
    if outcome.ended == "timeout":
        code, message = "deadline", f"The command did not end within {job.timeout_seconds:g} seconds."
    elif outcome.ended == "stopped":
        code, message = "stopped", "The command was stopped."
    elif outcome.problem:
        code, message = outcome.ended, outcome.problem
    elif outcome.exit_code:
        code, message = "command_failed", f"The command ended with exit code {outcome.exit_code}."
    return Execution(
        code=code,
        message=message,
        summary=message or "The command ended with exit code 0.",
        output=outcome.output,
        exit_code=outcome.exit_code,
        stop_reason=outcome.ended,
        duration_ms=outcome.duration_ms,
    )


class Lines:
    """Cut a stream of bytes into lines of text for progress, a character split between two chunks included."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes and tell every line that is complete."""
        *lines, self._rest = (self._rest + self._decoder.decode(chunk)).split("\n")
        if len(self._rest) > _LINE_CHARACTERS:
            lines.append(self._rest)
            self._rest = ""
        self._tell(lines)

    def close(self) -> None:
        """Tell what came without a newline at its end."""
        self._tell([self._rest + self._decoder.decode(b"", final=True)])

    def _tell(self, lines: list[str]) -> None:
        for line in lines:
            if shown := line.rpartition("\r")[2].rstrip()[:_LINE_CHARACTERS]:
                self._progress("output", shown)
