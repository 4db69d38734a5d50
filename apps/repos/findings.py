"""What in a difference deserves a second look: secrets, characters that deceive, weakened tests, paths that run things.

Pure: the facts and the patch in, findings out. A finding's sentence never repeats a secret.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apps.repos.diff import DiffFacts, FileChange, FilePatch, Patch

SECRET = "secret"  # noqa: S105 - the name of a kind of finding
HIDDEN_CHARACTER = "hidden_character"
TEST_DELETED = "test_deleted"
TEST_SKIPPED = "test_skipped"
ASSERT_REMOVED = "assert_removed"
RUNS_ELSEWHERE = "runs_elsewhere"
NOT_READ = "not_read"
WEAKENED_TESTS = frozenset({TEST_DELETED, TEST_SKIPPED, ASSERT_REMOVED})

MAX_OF_A_KIND = 50
MIN_ENTROPY = 3.6
_MAX_LINE = 20_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found: a stable code, where (`line` of the new file, None for the whole file), and what."""

    code: str
    path: str
    sentence: str
    line: int | None = None


_SECRETS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    ("an OpenAI key", re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{32,}")),
    ("an AgentCom token", re.compile(r"\bact_[a-z]+_[A-Za-z0-9]+_[A-Za-z0-9_-]{16,}")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    ("a Slack token", re.compile(r"\bxox[abeprs]-[A-Za-z0-9-]{10,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
    ("a password in an address", re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s:/@'\"{}<>$]+:[^\s:/@'\"{}<>$]{6,}@[\w.-]+")),
)
_ASSIGNED = re.compile(
    r"(?i)\b[\w.-]*(?:secret|passwd|password|token|api_?key|access_?key|private_?key|credential)[\w.-]*['\"]?\]?"
    r"\s*(?::|=|:=|=>)\s*['\"]?([A-Za-z0-9+/=_.~-]{16,})"
)
_TEST_PATH = re.compile(
    r"(?i)(?:^|/)(?:tests?|specs?|__tests__)/|(?:^|/)(?:test_[^/]*|[^/]*_test|[^/]*[._-](?:test|spec))\.[a-z0-9]+$"
    r"|(?:^|/)conftest\.py$"
)
_SKIP = re.compile(
    r"(?i)(?:@|\b)(?:pytest\.)?mark\.(?:skip|skipif|xfail)\b|\bpytest\.(?:skip|xfail|importorskip)\s*\("
    r"|@(?:unittest\.)?(?:skip|skipIf|skipUnless|expectedFailure)\b|\braise\s+(?:unittest\.)?SkipTest|\bself\.skipTest\("
    r"|\b(?:x?it|x?describe|x?test|it|describe|test)\.(?:skip|todo|failing)\b|\bx(?:it|describe|test)\s*\("
    r"|@(?:Disabled|Ignore)\b|#\[ignore\b|\bt\.Skip(?:f|Now)?\(|@tag\s+:skip|\bcollect_ignore\b|--deselect\b"
)
_ASSERT = re.compile(
    r"(?i)^\s*(?:await\s+)?(?:assert\b|self\.assert\w*\(|assert\w*[!(.]|expect\(|with\s+(?:pytest\.raises|self\.assertRaises)"
    r"|t\.(?:Error|Fatal)f?\(|require\.\w+\(|\w+\.should\b)"
)
_RUNS = re.compile(
    r"(?ix)^(?:\.github/(?:workflows|actions)/|\.gitlab-ci|\.circleci/|\.ci/|\.buildkite/|\.husky/|\.githooks/|\.devcontainer/)"
    r"|^(?:azure-pipelines|bitbucket-pipelines|\.travis|\.drone|\.woodpecker|appveyor)[^/]*\.ya?ml$"
    r"|(?:^|/)(?:Jenkinsfile|Makefile|GNUmakefile|CMakeLists\.txt|Dockerfile[^/]*|Containerfile|docker-compose[^/]*|Justfile"
    r"|Taskfile\.ya?ml|Rakefile|setup\.py|setup\.cfg|pyproject\.toml|package\.json|\.npmrc|\.pypirc|pip\.conf|tox\.ini"
    r"|noxfile\.py|conftest\.py|build\.rs|build\.gradle(?:\.kts)?|pom\.xml|mix\.exs|binding\.gyp|\.envrc|\.pre-commit-config\.ya?ml"
    r"|\.gitmodules|\.gitattributes|CODEOWNERS|sitecustomize\.py|usercustomize\.py|[^/]+\.pth)$"
    r"|(?:^|/)(?:hooks|\.claude|\.cursor|\.vscode|\.idea)/"
)


def find(facts: DiffFacts, patch: Patch | None) -> list[Finding]:
    """Everything found, in the order of the files, at most MAX_OF_A_KIND of each code.

    No patch, or a file of it that is cut short, is a finding itself.
    """
    read = {file.change.path: file for file in patch.files} if patch is not None else {}
    found: Counter[str] = Counter()
    kept = []
    for change in facts.files:
        for finding in _in_file(change, read.get(change.path)):
            found[finding.code] += 1
            if found[finding.code] <= MAX_OF_A_KIND:
                kept.append(finding)
    return kept


def _in_file(change: FileChange, file: FilePatch | None) -> Iterator[Finding]:
    yield from _about_path(change)
    if file is None or file.truncated:
        yield Finding(NOT_READ, change.path, "The change is too large to be read to its end.")
    if file is not None:
        lines = [line for hunk in file.hunks for line in hunk.lines]
        added = [(line.new, line.text) for line in lines if line.kind == "add"]
        removed = [line.text for line in lines if line.kind == "del"]
        for check in (_secrets, _hidden):
            yield from check(change.path, added)
        if is_test(change.path):
            yield from _weakened(change, added, removed)


def _about_path(change: FileChange) -> Iterator[Finding]:
    names = [name for name in (change.old_path, change.path) if name]
    if any(is_hidden(character) for character in change.path):
        yield Finding(HIDDEN_CHARACTER, change.path, "The name holds characters that cannot be seen or reorder others.")
    if any(_RUNS.search(name) for name in names) or (change.status == "A" and _hides_a_library(change.path)):
        yield Finding(
            RUNS_ELSEWHERE, change.path, "The file decides what runs when the project is built, tested or used."
        )
    was_test = is_test(change.old_path or change.path)
    if was_test and (change.status == "D" or (change.status == "R" and not is_test(change.path))):
        yield Finding(TEST_DELETED, change.path, "A test file is gone.")


def _hides_a_library(path: str) -> bool:
    """A module at the top with the name of one of Python's own is imported in its place, by test runners as well."""
    top, _, rest = path.partition("/")
    stem = top.removesuffix(".py")
    return stem in sys.stdlib_module_names and (top.endswith(".py") or rest == "__init__.py")


def is_test(path: str) -> bool:
    """Whether the path looks like a test or what tests share."""
    return _TEST_PATH.search(path) is not None


def tests_before(facts: DiffFacts) -> list[str]:
    """The test files of the base that the change alters, moves or takes away, by the names they have there."""
    return [
        change.old_path or change.path
        for change in facts.files
        if change.status != "A" and is_test(change.old_path or change.path)
    ]


def _secrets(path: str, added: Iterable[tuple[int | None, str]]) -> Iterator[Finding]:
    for number, text in added:
        what = secret_in(text)
        if what is not None:
            yield Finding(SECRET, path, f"The line holds what looks like {what}.", number)


def secret_in(text: str) -> str | None:
    """What kind of secret the line seems to hold, None when it seems to hold none."""
    line = text[:_MAX_LINE]
    for what, pattern in _SECRETS:
        if pattern.search(line):
            return what
    for value in _ASSIGNED.findall(line):
        if looks_random(value):
            return "a secret in clear"
    return None


def looks_random(value: str) -> bool:
    """Whether a value is more like a key than like a word: letters and digits mixed, few of them repeated."""
    if not (any(c.isdigit() for c in value) and any(c.isalpha() for c in value)):
        return False
    counts = Counter(value)
    entropy = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    # A short value cannot reach what a long one does; sixteen different characters make four bits.
    return entropy >= min(MIN_ENTROPY, 0.85 * math.log2(len(value)))


def _hidden(path: str, added: Iterable[tuple[int | None, str]]) -> Iterator[Finding]:
    for number, text in added:
        names = sorted({unicodedata.name(c, f"U+{ord(c):04X}") for c in text if is_hidden(c)})
        if names:
            yield Finding(
                HIDDEN_CHARACTER, path, f"The line holds what cannot be seen: {', '.join(names[:3])}.", number
            )


def is_hidden(character: str) -> bool:
    """Whether the character changes how others are shown, or is not shown itself; the tab and line ends are fine."""
    if character.isascii():
        return character < " " and character not in "\t\r\f"
    return unicodedata.category(character) in {"Cf", "Co", "Zl", "Zp"} or 0xE0000 <= ord(character) <= 0xE01EF


def _weakened(change: FileChange, added: list[tuple[int | None, str]], removed: list[str]) -> Iterator[Finding]:
    old_skips = sum(bool(_SKIP.search(text)) for text in removed)
    new_skips = [number for number, text in added if _SKIP.search(text)]
    if len(new_skips) > old_skips:
        yield Finding(TEST_SKIPPED, change.path, "A test is skipped or expected to fail from now on.", new_skips[0])
    gone = _asserts(removed) - _asserts(text for _, text in added)
    if change.status != "D" and gone > 0:
        yield Finding(ASSERT_REMOVED, change.path, f"The tests assert less than before, by {gone}.")


def _asserts(lines: Iterable[str]) -> int:
    return sum(bool(_ASSERT.match(line)) for line in lines)
