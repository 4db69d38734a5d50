"""Which tool a name means: as it is, spelled otherwise, by what other harnesses call it, or a slip of the pen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.agent.talk import ToolSpec

_TOKEN = re.compile(r"<[|\uff5c].*", re.DOTALL)
_NAMESPACE = re.compile(r"^(?:mcp__\w+?__|(?:functions?|tools?|default_api|repo_browser|container|assistant)[.:/]+)")
_TAIL = re.compile(r"(?:\(\)|[:#]\d+)$")
_LONGEST = 80

_ALIASES: Mapping[str, Sequence[str]] = {
    "read_file": (
        "read", "cat", "open", "open_file", "view", "view_file", "show_file", "get_file", "get_file_contents",
        "file_read", "read_file_content", "read_text_file", "read_files",
    ),
    "write_file": (
        "write", "create", "create_file", "write_to_file", "save_file", "new_file", "file_write", "overwrite_file",
        "create_or_update_file", "write_text_file",
    ),
    "list_directory": (
        "ls", "list", "dir", "list_dir", "list_files", "list_folder", "directory_list", "list_directory_contents",
    ),
    "search_files": (
        "grep", "rg", "ripgrep", "search", "grep_search", "search_code", "search_text", "search_file_content",
        "code_search", "search_in_files", "file_search_text",
    ),
    "run_command": (
        "bash", "sh", "shell", "zsh", "terminal", "exec", "execute", "execute_command", "execute_bash", "run",
        "run_shell", "run_shell_command", "run_bash", "run_terminal_cmd", "run_in_terminal", "shell_command",
        "exec_command", "local_shell", "bash_command", "command", "run_terminal_command",
    ),
    "edit_file": (
        "edit", "str_replace", "string_replace", "replace", "search_replace", "replace_in_file", "file_edit",
        "str_replace_in_file", "search_and_replace", "modify_file", "replace_string_in_file",
    ),
    "finish_task": (
        "finish", "done", "submit", "complete", "task_complete", "complete_task", "task_done", "finish_work",
        "attempt_completion", "final_answer",
    ),
}  # fmt: skip

_EDITORS = frozenset(("strreplaceeditor", "strreplacebasededittool", "texteditor"))
_EDITOR_COMMANDS = {"view": "read_file", "create": "write_file", "str_replace": "edit_file"}


@dataclass(frozen=True, kw_only=True)
class Meant:
    """The tool that a name means, and by which repair (`name`, `alias`); both empty for an exact name or none.

    `arguments` are what is left of the call's once those that only said which tool was meant are taken away.
    """

    spec: ToolSpec | None
    repair: str = ""
    arguments: Any = None


def meant_by(name: str, arguments: Any, tools: Sequence[ToolSpec]) -> Meant:
    """Which of `tools` is meant. A slip of one letter is forgiven for any tool, of two only where nothing changes."""
    spec = plainly(name, tools)
    if spec is not None:
        return Meant(spec=spec, repair="" if spec.name == name else "name", arguments=arguments)
    folded = _folded(_bare(name))
    if folded in _EDITORS:
        return _by_editor(arguments, tools)
    by_name = {tool.name: tool for tool in tools}
    for canonical, aliases in _ALIASES.items():
        if canonical in by_name and folded in map(_folded, aliases):
            return Meant(spec=by_name[canonical], repair="alias", arguments=arguments)
    return Meant(spec=_by_slip(folded, tools), repair="name", arguments=arguments)


def plainly(name: str, tools: Sequence[ToolSpec]) -> ToolSpec | None:
    """The tool of this very name, whatever its case, its separators, its namespace and the tokens stuck to it."""
    folded = _folded(_bare(name))
    fitting = [tool for tool in tools if _folded(tool.name) == folded]
    exact = [tool for tool in fitting if tool.name == name]
    if exact:
        return exact[0]
    return fitting[0] if len(fitting) == 1 else None


def near(name: str, tools: Sequence[ToolSpec]) -> ToolSpec | None:
    """The tool that a misspelled name is close to, aliases left out."""
    return plainly(name, tools) or _by_slip(_folded(_bare(name)), tools)


def _bare(name: str) -> str:
    name = _TOKEN.sub("", name[:_LONGEST]).strip().strip("\"'`")
    return _TAIL.sub("", _NAMESPACE.sub("", name))


def _folded(name: str) -> str:
    return re.sub(r"[\s_.\-/]", "", name).lower()


def _by_editor(arguments: Any, tools: Sequence[ToolSpec]) -> Meant:
    """One editor tool with a command inside; what its other commands do, none of ours does."""
    if not isinstance(arguments, Mapping):
        return Meant(spec=None)
    canonical = _EDITOR_COMMANDS.get(str(arguments.get("command")))
    spec = next((tool for tool in tools if tool.name == canonical), None)
    rest = {key: value for key, value in arguments.items() if key != "command"}
    return Meant(spec=spec, repair="alias", arguments=rest)


def _by_slip(folded: str, tools: Sequence[ToolSpec]) -> ToolSpec | None:
    close = [(_distance(folded, _folded(tool.name)), tool) for tool in tools]
    fitting = [(distance, tool) for distance, tool in close if distance <= 2]
    if len(fitting) != 1 or len(folded) < 6:
        return None
    distance, tool = fitting[0]
    return None if tool.changes and distance > 1 else tool


def _distance(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with their neighbour to make one of the other; 3 when it is clearly more."""
    if abs(len(one) - len(other)) > 2:
        return 3
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        last, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
