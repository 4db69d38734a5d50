"""What a text names: files of the repository, and things outside of it. Pure, and linear in the length of the text.

Told apart by look alone, so on the safe side: `and/or`, versions, routes and Python's dotted names are no paths.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from apps.repos.admission import is_git_directory

LONGEST_PATH = 500

_TOKEN = re.compile(r"[\w./@+~:#%*?-]+")
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{0,7})\Z")
_HOST = re.compile(r"\A[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|io|dev|de|eu|uk|gov|edu|ai|app|co)\Z", re.IGNORECASE)
_FILES = frozenset(
    (
        "py", "pyi", "js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "svelte", "rs", "go", "ex", "exs", "erl", "rb",
        "java", "kt", "scala", "cs", "cpp", "hpp", "cc", "hh", "swift", "php", "lua", "pl", "sql", "sh", "bash",
        "zsh", "ps1", "bat", "toml", "yaml", "yml", "json", "jsonl", "ini", "cfg", "conf", "lock", "md", "rst",
        "txt", "html", "htm", "css", "scss", "less", "xml", "xsd", "csv", "svg", "proto", "graphql", "tf", "gradle",
        "ipynb",
    )
)  # fmt: skip
_PRODUCTS = frozenset(
    ("node.js", "next.js", "vue.js", "react.js", "express.js", "d3.js", "three.js", "nuxt.js", "asp.net")
)
_OUTSIDE = re.compile(
    r"(?<![\w.:/-])(?:(?:/(?:etc|root|home|proc|sys|var|boot)|~)(?=/)|(?:[\w.-]+/)*\.\.(?=/))[\w./-]*"
)
_FOREIGN = (
    re.compile(r"\bgit\s{1,3}clone\s{1,3}[^\s`]{0,80}[/:]\S{0,80}", re.IGNORECASE),
    re.compile(r"\bgit\s{1,3}(?:remote\s{1,3}(?:add|set-url)|submodule\s{1,3}add)\b", re.IGNORECASE),
    re.compile(r"\b(?:git|ssh|git\+[a-z]{1,8})://\S{1,120}", re.IGNORECASE),
    re.compile(r"(?<![\w.-])[\w-]{1,40}@[\w.-]{1,100}:[\w./~-]{1,120}"),
    re.compile(r"\bhttps?://\S{1,120}?\.git\b", re.IGNORECASE),
    re.compile(
        r"\b(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org|git\.sr\.ht|raw\.githubusercontent\.com)\b\S{0,120}",
        re.IGNORECASE,
    ),
)
_REPOSITORY = re.compile(
    r"\brepo(?:sitory)?\b:?\s{1,3}[`\"'“]([\w./-]{1,100})[`\"'”]|[`\"'“]([\w./-]{1,100})[`\"'”]\s{1,3}repo(?:sitory)?\b",
    re.IGNORECASE,
)


class Shelf:
    """The paths that may be named: files, the directories they are in, and their bare names."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.files = frozenset(paths)
        self.directories = frozenset(_parents(self.files))
        self.names = frozenset(path.rpartition("/")[2] for path in self.files)
        self.tops = frozenset(path.partition("/")[0] for path in self.files)

    def holds(self, path: str) -> bool:
        """Whether there is such a file or directory."""
        return path in self.files or path.rstrip("/") in self.directories

    def like(self, path: str) -> list[str]:
        """Up to three files with the same name elsewhere."""
        name = path.rstrip("/").rpartition("/")[2]
        if name not in self.names:
            return []
        return sorted(file for file in self.files if file == name or file.endswith(f"/{name}"))[:3]


def _parents(paths: Iterable[str]) -> set[str]:
    known: set[str] = set()
    for path in paths:
        parent = path.rpartition("/")[0]
        while parent and parent not in known:
            known.add(parent)
            parent = parent.rpartition("/")[0]
    return known


def paths_in(text: str, shelf: Shelf) -> Iterator[str]:
    """What reads like a file or directory of the repository, in the order of the text, without repetition."""
    seen: set[str] = set()
    for token in _TOKEN.finditer(text):
        if text[token.end() : token.end() + 1] == "(":  # a call: data.json()
            continue
        path = _path(token[0])
        if path and path not in seen and _reads_as_path(path, shelf):
            seen.add(path)
            yield path


def _path(token: str) -> str:
    """The token without what may stand around a path: the line, the test's name, an anchor, a sentence's end."""
    if "://" in token or "*" in token or token.startswith(("/", "-", "@", "~")):
        return ""
    path = token.partition("::")[0].partition("#")[0].partition(":")[0].rstrip(".,?")
    return path.removeprefix("./")


def _reads_as_path(path: str, shelf: Shelf) -> bool:
    found = _EXTENSION.search(path)
    is_file = found is not None and found[1].lower() in _FILES
    top, slash, _ = path.partition("/")
    if not slash:
        return is_file and path.lower() not in _PRODUCTS
    if top in shelf.tops:
        return True
    return is_file and not _HOST.match(top)


def outside_in(text: str) -> str:
    """The first place that the text names outside of the repository, if any."""
    found = _OUTSIDE.search(text)
    return found[0] if found else ""


def foreign_in(text: str, *, repo: str, shelf: Shelf) -> str:
    """The first thing in the text that names another repository, or an address to clone from, if any."""
    for pattern in _FOREIGN:
        if found := pattern.search(text):
            return found[0]
    for found in _REPOSITORY.finditer(text):
        name = (found[1] or found[2]).removesuffix(".git")
        if name != repo and not shelf.holds(name) and not _EXTENSION.search(name):
            return name
    return ""


def bad_path(path: str) -> str:
    """Why a path cannot be one of a file in the repository; empty when it can."""
    if len(path) > LONGEST_PATH:
        return f"is longer than {LONGEST_PATH} characters"
    if not path or not path.isprintable() or path != path.strip():
        return "is empty or holds characters that cannot be seen"
    if path.startswith(("/", "~")) or "\\" in path or ":" in path:
        return "is not relative to the repository's root, with / between its parts"
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return "has an empty part, or one that is . or .."
    if is_git_directory(path):
        return "would be taken for git's own files"
    return ""


def in_the_way(path: str, files: Collection[str]) -> str:
    """The file that would have to be a directory for `path` to exist, if any."""
    parts = path.split("/")
    return next((top for n in range(1, len(parts)) if (top := "/".join(parts[:n])) in files), "")
