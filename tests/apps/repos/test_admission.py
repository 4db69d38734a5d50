from __future__ import annotations

import json

import pytest

from apps.repos.admission import (
    GITLINK,
    SYMLINK,
    Admission,
    BadAdmission,
    Entry,
    Grant,
    Update,
    is_git_directory,
    leaves_tree,
    refuse_count,
    refuse_entry,
    refuse_history,
    refuse_update,
    shown,
)

BRANCH = "refs/heads/agentcom/ada/41-fix"
SALVAGE = "refs/agentcom/salvage/41"
OLD, NEW, ZERO = "a" * 40, "b" * 40, "0" * 40
ADMISSION = Admission("ada", {BRANCH: Grant(base="c" * 40), SALVAGE: Grant()}, max_file_bytes=1000, max_files=2)


@pytest.mark.parametrize(
    ("ref", "new", "expected"),
    [
        (BRANCH, NEW, None),
        (SALVAGE, NEW, None),
        (BRANCH, ZERO, "deleted"),
        (SALVAGE, ZERO, "deleted"),
        ("refs/heads/main", NEW, "not yours"),
        ("refs/tags/v1", NEW, "not yours"),
        (BRANCH + "x", NEW, "not yours"),
        (BRANCH.upper(), NEW, "not yours"),
        ("refs/agentcom/salvage/42", NEW, "not yours"),
        ("refs/heads/\x1b[2J", NEW, "not yours"),
    ],
)
def test_only_granted_references_are_touched_and_none_is_deleted(ref, new, expected):
    reason = refuse_update(Update(ref, OLD, new), ADMISSION)

    assert (expected is None) == (reason is None)
    assert (expected or "") in (reason or "")
    assert (reason or "").isprintable()


@pytest.mark.parametrize(
    ("ref", "old", "facts", "expected"),
    [
        (BRANCH, ZERO, {}, None),
        (BRANCH, ZERO, {"forward": False}, None),
        (BRANCH, OLD, {}, None),
        (BRANCH, OLD, {"forward": False}, "only move forward"),
        (BRANCH, ZERO, {"on_base": False}, "not built on cccccccccccc"),
        (BRANCH, ZERO, {"is_commit": False}, "must point at a commit"),
        (BRANCH, ZERO, {"commits": 1001}, "more than 1000 commits"),
        (SALVAGE, OLD, {"forward": False, "on_base": False, "commits": 5000}, None),
        (SALVAGE, OLD, {"is_commit": False}, "must point at a commit"),
    ],
)
def test_history_is_new_or_forward_on_the_assigned_base_and_salvage_may_be_anything(ref, old, facts, expected):
    given = {"is_commit": True, "forward": True, "on_base": True, "commits": 1, **facts}

    reason = refuse_history(Update(ref, old, NEW), ADMISSION, **given)

    assert (expected is None) == (reason is None)
    assert (expected or "") in (reason or "")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (Entry("src/app.py", 0o100644, 1000), None),
        (Entry("src/app.py", 0o100755, 1), None),
        (Entry("src/app.py", 0o100644, 1001), "a file may have"),
        (Entry("vendored", GITLINK), "submodule"),
        (Entry("link", SYMLINK, 3, "a/b"), None),
        (Entry("link", SYMLINK, 3, "../b"), "leaves"),
        (Entry("link", SYMLINK, 9999, None), "leaves"),
        (Entry("a/.Git/config", 0o100644, 1), "git's own"),
    ],
)
def test_a_tree_holds_only_files_and_links_that_stay_inside(entry, expected):
    reason = refuse_entry(entry, ADMISSION)

    assert (expected is None) == (reason is None)
    assert (expected or "") in (reason or "")


def test_too_many_files_are_refused():
    assert refuse_count(2, ADMISSION) is None
    assert "more than 2 files" in (refuse_count(3, ADMISSION) or "")


@pytest.mark.parametrize(
    "path",
    [
        ".git", ".git/config", "a/.git/b", ".GIT", ".gIt", ".git.", ".git ", ".git . .", "git~1", "GIT~2",
        ".git::$INDEX_ALLOCATION", ".git\u200c", ".g\u200dit", "a\\.git\\config",
        ".GitModules", ".GITATTRIBUTES", ".gitmodules ", "\uff0egit",
    ],
)  # fmt: skip
def test_every_spelling_of_git_is_seen(path):
    assert is_git_directory(path)


@pytest.mark.parametrize(
    "path", [".gitignore", ".gitattributes", "src/.gitkeep", ".github/x", "git", "a.git", "digit", ".gitx"]
)
def test_ordinary_names_that_begin_alike_are_fine(path):
    assert not is_git_directory(path)


@pytest.mark.parametrize(
    ("path", "target", "leaves"),
    [
        ("link", "README.md", False),
        ("link", "./src/app.py", False),
        ("a/link", "../README.md", False),
        ("a/b/link", "../../README.md", False),
        ("a/link", "..", False),
        ("link", "..", True),
        ("link", "../x", True),
        ("a/link", "../../x", True),
        ("a/link", "b/../../x", True),
        ("a/link", "other/../x", True),
        ("link", "/etc/passwd", True),
        ("link", "\\etc", True),
        ("link", "C:\\x", True),
        ("a/link", "..\\..\\x", True),
        ("link", "", True),
        ("link", ".git/config", True),
        ("link", "a\0b", True),
    ],
)
def test_a_link_may_only_climb_at_its_beginning_and_not_out(path, target, leaves):
    assert leaves == leaves_tree(path, target)


def test_an_admission_survives_the_way_through_the_environment():
    assert ADMISSION == Admission.read(ADMISSION.text())


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "{", "{}", '{"agent": 1}', '{"agent": "a", "allow": []}', '{"agent": "a", "allow": {"r": 1}}',
        '{"agent": "a", "allow": {"r": {"base": 1}}}', '{"agent": "a", "max_files": -1}',
        '{"agent": "a", "max_files": true}',
        '{"agent": "a", "max_files": "9"}',
    ],
)  # fmt: skip
def test_facts_that_cannot_be_read_admit_nothing(text):
    with pytest.raises(BadAdmission):
        Admission.read(text)


def test_facts_that_are_missing_have_safe_defaults_and_new_ones_are_left_alone():
    read = Admission.read(json.dumps({"agent": "ada", "later": 1, "allow": {BRANCH: {"kind": "branch"}}}))

    assert {BRANCH: Grant()} == read.allow
    assert read.max_files > 0


def test_a_name_is_shown_in_one_short_line():
    assert r"a\nb\x1b\u202e" == shown("a\nb\x1b\u202e")
    assert r"\udcff" == shown("\udcff")
    assert 121 == len(shown("x" * 500))
