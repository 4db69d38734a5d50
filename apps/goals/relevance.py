"""Which files of a repository matter for a goal: by what they are, by their names, and by what they hold. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

MOST_TERMS = 12
_LOOKED_AT = 20_000

_WORD = re.compile(r"[^\W_](?:[\w.]*\w)?|__\w+__")
_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_LOOKS_MADE = re.compile(r"[a-z0-9][A-Z]|\w[._]\w|\d")
_STOP = frozenset(
    """
    a about above add added after again all also an and any are as at back be because been before being below
    between both but by can change changes code could create do does done down each ensure every etc few file files
    fix for from function further get give given goal had has have having here how if implement in into is it its
    just like line lines make more most must need needs new no nor not now of off on once one only or other our out
    over own please project put repo repository same set shall should show so some such support take test tests than
    that the their them then there these they this those through to too under until up update use used user uses
    using value values very via want was way we were what when where which while who whole why will with within
    without work works would write yet you your
    """.split()  # noqa: SIM905 - a list of words reads best as one
)
_FIRST = ("readme", "agents.md", "contributing")
_MANIFESTS = (
    "pyproject.toml", "package.json", "cargo.toml", "go.mod", "mix.exs", "makefile", "setup.cfg", "setup.py",
    "requirements.txt", "gemfile", "pom.xml", "build.gradle", "composer.json", "cmakelists.txt", "justfile", "tox.ini",
)  # fmt: skip
_ASIDE = frozenset(
    (
        "node_modules", "vendor", "third_party", "dist", "build", "target", "deps", "_build", "venv", ".venv",
        "site-packages", "__pycache__", ".idea", ".vscode", "coverage", "fixtures", "snapshots", "__snapshots__",
        "testdata",
    )
)  # fmt: skip
_NO_TEXT = frozenset(
    (
        "png", "jpg", "jpeg", "gif", "webp", "ico", "bmp", "pdf", "zip", "gz", "tgz", "xz", "bz2", "7z", "jar", "war",
        "class", "so", "dll", "dylib", "exe", "o", "a", "pyc", "beam", "woff", "woff2", "ttf", "otf", "eot", "mp3",
        "mp4", "mov", "wav", "ogg", "webm", "bin", "dat", "db", "sqlite", "sqlite3", "parquet", "npy", "pkl", "onnx",
        "pt", "gguf", "safetensors", "lock", "map", "sum",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """A file of the repository as text; `cut` when it has more."""

    path: str
    text: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan stands on: all paths of one commit, the relevant ones first in `ranked`, and the text of some.

    `truncated`: there are more paths than were read.
    """

    paths: tuple[str, ...]
    truncated: bool = False
    ranked: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()


def terms(words: str) -> tuple[str, ...]:
    """What to look for, in lower case: names as programs have them first, then other words, the most frequent first."""
    counted: Counter[str] = Counter()
    made: set[str] = set()
    for found in _WORD.finditer(words[:_LOOKED_AT]):
        if _LOOKS_MADE.search(found[0]):
            made.add(found[0].lower())
            counted[found[0].lower()] += 1
            counted.update(_root(part.lower()) for part in _PARTS.findall(found[0]))
        else:
            counted[_root(found[0].lower())] += 1
    counted = Counter({term: n for term, n in counted.items() if 3 <= len(term) <= 60 and term not in _STOP})
    ordered = sorted(counted, key=lambda term: (term not in made, -counted[term]))
    return tuple(ordered[:MOST_TERMS])


def _root(word: str) -> str:
    """The word without the s of a plural, which is in the other form as well."""
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word


def is_text(path: str) -> bool:
    """Whether a file by its name may hold text that somebody wrote here."""
    *directories, name = path.lower().split("/")
    return name.rpartition(".")[2] not in _NO_TEXT and ".min." not in name and _ASIDE.isdisjoint(directories)


def essential(paths: Iterable[str]) -> list[str]:
    """What tells what the repository is: README, AGENTS.md and manifests at its root, in this order."""
    root = {path.lower(): path for path in sorted(paths, reverse=True) if "/" not in path}
    told = [root[name] for start in _FIRST for name in sorted(root) if name.startswith(start)][:4]
    return list(dict.fromkeys([*told, *(root[name] for name in _MANIFESTS if name in root)]))


def by_name(paths: Iterable[str], wanted: Sequence[str], hints: Sequence[str] = ()) -> dict[str, float]:
    """How much the name of each path has to do with what is wanted; those with nothing are left out."""
    weights = {term: 1.0 / (1 + 0.1 * at) for at, term in enumerate(wanted)}
    hinted = frozenset(hints)
    scores: dict[str, float] = {}
    for path in paths:
        score = 100.0 if path in hinted else 0.0
        folded = path.lower()
        close = [term for term in wanted if term.replace(".", "/") in folded or term in folded]
        if close:
            score += _closeness(path, close, weights)
        if score > 0:
            scores[path] = score if is_text(path) else score / 10
    return scores


def _closeness(path: str, close: Sequence[str], weights: Mapping[str, float]) -> float:
    name = path.rpartition("/")[2]
    stem = name.partition(".")[0].lower()
    parts = {part.lower() for part in _PARTS.findall(name[:200])}
    total = 0.0
    for term in close:
        bare = term.rpartition(".")[2]
        fit = (
            10
            if term in {stem, name.lower()} or bare == stem
            else 6
            if term in parts
            else 3
            if term in name.lower()
            else 1
        )
        total += fit * weights[term]
    return total


def counts(text: str, wanted: Sequence[str]) -> dict[str, int]:
    """How often each of the terms is in the text, in whatever case; those that are not are left out."""
    folded = text.lower()
    return {term: count for term in wanted if (count := folded.count(term))}


def by_content(found_in: Mapping[str, Mapping[str, int]], files: int) -> dict[str, float]:
    """How much each of `files` files that were looked through has to do with the terms found in it.

    A term that is in every file tells nothing.
    """
    spread = Counter(term for found in found_in.values() for term in found)
    return {
        path: sum(min(3.0, 1 + log(count)) * log((files + 1) / spread[term]) for term, count in found.items())
        for path, found in found_in.items()
    }


def ranked(*scores: Mapping[str, float]) -> tuple[str, ...]:
    """The paths with the highest sums first; of equals those nearer to the root, then by name."""
    total: Counter[str] = Counter()
    for part in scores:
        for path, score in part.items():
            total[path] += score  # type: ignore[assignment]
    return tuple(sorted(total, key=lambda path: (-total[path], path.count("/"), path)))


def listing(ground: Ground, room: int) -> list[str]:
    """The paths that fit into so many characters, in lines: all of them, or the relevant ones and the directories."""
    if sum(len(path) + 1 for path in ground.paths) <= room:
        return list(ground.paths)
    lines: list[str] = []
    left = room
    for path in (path for path in ground.ranked if len(path) <= 200):
        if len(path) + 1 > left * 0.6:
            break
        lines.append(path)
        left -= len(path) + 1
    inside = Counter(_shallow(path) for path in ground.paths)
    for directory, count in sorted(inside.items(), key=lambda found: (-found[1], found[0])):
        line = f"{directory or '(the root)'} holds {count} files"
        if len(line) + 1 > left:
            break
        lines.append(line)
        left -= len(line) + 1
    return lines


def _shallow(path: str) -> str:
    parts = path.split("/")[:-1][:2]
    return "/".join(parts) + "/" if parts else ""
