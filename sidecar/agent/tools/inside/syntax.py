"""Say whether a file can be parsed as what its name says it is. Parses, and runs nothing of it.

`KIND` is py, json or toml. AGENTCOM_AFTER holds the path of the new content, AGENTCOM_BEFORE that of the old, if there
was one. Prints JSON: for each either null or `[line, what is wrong]`; nothing at all when it cannot tell.
"""

from __future__ import annotations

import json
import os
import re
import sys


def main(kind: str) -> None:
    """Parse the new content and, only when that fails, the old."""
    with open(os.environ["AGENTCOM_AFTER"], "rb") as file:  # noqa: PTH123 - pathlib would double the time this takes
        after = fault(kind, file.read())
    before = None
    if after and "AGENTCOM_BEFORE" in os.environ:
        with open(os.environ["AGENTCOM_BEFORE"], "rb") as file:  # noqa: PTH123 - see above
            before = fault(kind, file.read())
    sys.stdout.write(json.dumps({"after": after, "before": before}))


def fault(kind: str, content: bytes) -> list[object] | None:
    """What is wrong with the content, and in which line (0 when that is not known)."""
    try:
        _PARSERS[kind](content)
    except SyntaxError as problem:
        return [problem.lineno or 0, str(problem.msg)]
    except json.JSONDecodeError as problem:
        return [problem.lineno, problem.msg]
    except UnicodeDecodeError:
        return [0, "it is not UTF-8"]
    except ValueError as problem:  # TOML's says the line in words
        at = re.search(r"at line (\d+)", str(problem))
        return [int(at.group(1)) if at else 0, str(problem)]
    return None


def _python(content: bytes) -> None:
    compile(content, "file", "exec", dont_inherit=True)


def _json(content: bytes) -> None:
    json.loads(content.decode("utf-8-sig"))


def _toml(content: bytes) -> None:
    import tomllib  # an older Python has none, and then cannot tell

    tomllib.loads(content.decode())


_PARSERS = {"py": _python, "json": _json, "toml": _toml}

if __name__ == "__main__":
    main(sys.argv[1])
