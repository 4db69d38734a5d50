"""Marks of a merge: what is one, and what only looks like it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from apps.insight import markers
from apps.insight.markers import Conflict, Mark
from apps.repos.trusted import GitFailed
from tests.apps.repos.workbench import Workbench

WHOLE = "<<<<<<< HEAD\none\n=======\ntwo\n>>>>>>> theirs\n"
FILES: Mapping[str, str] = {
    "whole.py": f"import os\n\n{WHOLE}",
    "windows.txt": WHOLE.replace("\n", "\r\n"),
    "diff3.c": "<<<<<<< ours\na\n||||||| base\nb\n=======\nc\n>>>>>>> theirs\n",
    "two.rb": f"{WHOLE}\n{WHOLE}",
    "after a rule.md": f"Title\n=======\n\n{WHOLE}",
    "sub/no newline at the end": WHOLE.rstrip("\n"),
    "line\nbreak.txt": WHOLE,
}
NONE: Mapping[str, str | bytes] = {
    "rules.md": "Title\n=======\n\nOther\n=======\n",
    "arrows.txt": "<<<<<<< \nonly a beginning\n",
    "backwards.txt": ">>>>>>> b\n=======\n<<<<<<< a\n",
    "no middle.txt": "<<<<<<< a\n>>>>>>> b\n",
    "indented.py": 'TEXT = """\n    <<<<<<< a\n    =======\n    >>>>>>> b\n"""\n',
    "inline.py": 'assert text == "<<<<<<< a\\n=======\\n>>>>>>> b\\n"\n',
    "too many.txt": "<<<<<<<< a\n========\n>>>>>>>> b\n",
    "too few.txt": "<<<<<< a\n======\n>>>>>> b\n",
    "ruled.txt": "<<<<<<< a\n======= and more\n>>>>>>> b\n",
    "binary.bin": b"\0<<<<<<< a\n=======\n>>>>>>> b\n",
    "empty": "",
}


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path / "repo")


def found(bench: Workbench, files: Mapping[str, str | bytes | None]) -> list[Conflict]:
    return markers.find(bench.path / ".git", bench.commit(dict(files)))


@pytest.mark.parametrize("name", FILES)
def test_a_whole_conflict_at_line_starts_is_found(bench: Workbench, name: str) -> None:
    (only,) = found(bench, {name: FILES[name], **NONE})

    assert name == only.path
    assert FILES[name].split("\n")[only.line - 1].startswith("<<<<<<< ")


@pytest.mark.parametrize("name", NONE)
def test_what_only_looks_like_one_is_none(bench: Workbench, name: str) -> None:
    assert [] == found(bench, {name: NONE[name]})


def test_a_test_that_quotes_a_whole_conflict_at_line_starts_counts(bench: Workbench) -> None:
    assert [Conflict("test_merge.py", 2)] == found(bench, {"test_merge.py": f'TEXT = """\\\n{WHOLE}"""\n'})


def test_an_empty_tree_has_none(bench: Workbench) -> None:
    assert [] == found(bench, {})


def test_attributes_of_the_repository_hide_nothing(bench: Workbench) -> None:
    assert ["a.txt"] == [one.path for one in found(bench, {"a.txt": WHOLE, ".gitattributes": "*.txt binary -diff\n"})]


def test_at_most_twenty_files_are_named_however_many_there_are(bench: Workbench) -> None:
    many = {f"{number:03}.txt": WHOLE * 2_000 for number in range(40)}

    assert 0 < len(found(bench, many)) <= markers.MOST_FILES
    assert markers.MOST_FILES == len(found(bench, dict.fromkeys(many, WHOLE)))


def test_a_commit_that_is_not_there_is_said_so(bench: Workbench) -> None:
    bench.commit({"a": "b"})
    with pytest.raises(GitFailed):
        markers.find(bench.path / ".git", "0" * 40)


@pytest.mark.parametrize(
    ("marks", "line"),
    [("<=>", 1), ("<<=>", 2), ("<=<=>", 3), ("==<=>", 3), ("><=>", 2), ("<=", 0), ("=>", 0), ("<>", 0), ("", 0)],
)
def test_the_first_whole_one_counts(marks: str, line: int) -> None:
    given = [Mark("a", number, mark * 7) for number, mark in enumerate(marks, start=1)]

    assert ([Conflict("a", line)] if line else []) == list(markers.conflicts(given))
