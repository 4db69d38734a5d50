from __future__ import annotations

import pytest

from apps.repos import diff
from apps.repos.diff import FileChange
from tests.apps.repos.workbench import Workbench


@pytest.fixture
def change(bench: Workbench, bare, give):
    """Commit files on a topic branch and hand it to the mirror: (base, head)."""

    def change(files, **_):
        base = bench.git("rev-parse", "main")
        bench.branch("topic")
        bench.commit(files)
        return base, give("topic")

    return change


def only(found):
    (file,) = found.files
    return file


def test_added_modified_and_deleted_files_are_counted_by_line(bare, change):
    base, head = change({"new.py": "a\nb\n", "README.md": "hello\nworld\n", "src/app.py": None})

    facts = diff.facts(bare, base, head)

    assert [("README.md", "M", 1, 0), ("new.py", "A", 2, 0), ("src/app.py", "D", 0, 40)] == [
        (file.path, file.status, file.added, file.deleted) for file in facts.files
    ]
    assert (3, 40, 43, 1) == (facts.added, facts.deleted, facts.lines, facts.new_files)


def test_a_rename_names_both_paths(bare, bench, change):
    text = (bench.path / "src/app.py").read_text()

    base, head = change({"src/app.py": None, "src/main.py": text + "more\n"})

    file = only(diff.facts(bare, base, head))
    assert ("R", "src/app.py", "src/main.py", 1, 0) == (file.status, file.old_path, file.path, file.added, file.deleted)
    assert "src/app.py → src/main.py" == file.shown


def test_binaries_modes_links_and_submodules_are_told(bare, bench, change, give):
    base, _ = change({"logo.png": b"\x89PNG\0\1\2"})
    (bench.path / "README.md").chmod(0o755)
    (bench.path / "src/app.py").unlink()
    (bench.path / "src/app.py").symlink_to("../README.md")
    bench.commit({})
    bench.commit_entry("160000", bench.head, "vendored")

    files = {file.path: file for file in diff.facts(bare, base, give("topic")).files}

    assert files["logo.png"].binary
    assert files["README.md"].mode_changed
    assert ("T", True) == (files["src/app.py"].status, files["src/app.py"].symlink)
    assert files["vendored"].gitlink


def test_the_difference_is_measured_from_where_the_histories_parted(bare, bench, change, give):
    _, head = change({"new.py": "a\n"})
    bench.git("checkout", "--quiet", "main")
    bench.commit({"elsewhere.py": "b\n"})
    moved = give("main2")

    assert "new.py" == only(diff.facts(bare, moved, head)).path


def test_unrelated_histories_have_no_difference(bare, bench, give):
    base = bench.head
    bench.git("checkout", "--quiet", "--orphan", "alone")
    bench.commit({"x": "y"})

    with pytest.raises(diff.Unrelated):
        diff.facts(bare, base, give("alone"))


NAMES = [
    'quo"te',
    "new\nline",
    "tab\there",
    "ü",
    "a b",
    "-dash",
    "diff --git a b",
    "\u202egnp.exe",
    "back\\slash",
    "=x",
    ":x",
]


def test_strange_names_are_kept_apart_and_shown_safely(bare, change):
    base, head = change({name: f"{number}\n" for number, name in enumerate(NAMES)})

    patch = diff.patch(bare, base, head)

    assert set(NAMES) == {file.change.path for file in patch.files}
    for file in patch.files:
        assert [str(NAMES.index(file.change.path))] == [line.text for line in file.hunks[0].lines]
        assert file.change.shown.replace("\t", "").isprintable()


def test_a_name_that_is_not_text_is_written_out(bare, bench, give):
    base = bench.head
    commit = bench.git(
        "commit-tree",
        bench.git("mktree", "-z", stdin=b"100644 blob " + bench.blob(b"x").encode() + b"\t\xff\xfe\0"),
        "-p",
        base,
        "-m",
        "x",
    )

    assert r"\xff\xfe" in {file.path for file in diff.facts(bare, base, give("topic", commit)).files}


def test_a_patch_has_typed_lines_with_numbers_on_both_sides(bare, bench, change):
    lines = (bench.path / "src/app.py").read_text().splitlines()
    lines[9] = "changed"
    lines.insert(30, "inserted")

    base, head = change({"src/app.py": "\n".join(lines) + "\n"})

    first, second = diff.patch(bare, base, head, context=1).files[0].hunks
    assert [("context", 9, 9), ("del", 10, None), ("add", None, 10), ("context", 11, 11)] == [
        (line.kind, line.old, line.new) for line in first.lines
    ]
    assert ("add", None, 31, "inserted") == (
        second.lines[1].kind, second.lines[1].old, second.lines[1].new, second.lines[1].text
    )  # fmt: skip


def test_lines_that_look_like_a_patch_are_content(bare, change):
    content = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"

    base, head = change({"fake.txt": content, "z.txt": "z\n"})

    fake, z = diff.patch(bare, base, head).files
    assert content.splitlines() == [line.text for line in fake.hunks[0].lines]
    assert ["z"] == [line.text for line in z.hunks[0].lines]


def test_attributes_of_the_repository_hide_nothing(bare, bench, change):
    base, head = change({".gitattributes": "* -diff\n*.py binary\n", "src/app.py": "other\n"})

    files = {file.change.path: file for file in diff.patch(bare, base, head).files}

    assert not files["src/app.py"].change.binary
    assert files["src/app.py"].hunks


def test_a_file_that_became_a_link_does_not_shift_the_files_after_it(bare, bench, give):
    base = bench.head
    bench.branch("topic")
    (bench.path / "README.md").unlink()
    (bench.path / "README.md").symlink_to("src/app.py")
    bench.commit({"zzz": "last\n"})

    patch = diff.patch(bare, base, give("topic"))

    assert ["last"] == [line.text for line in patch.files[-1].hunks[0].lines]
    assert {"hello", "src/app.py"} <= {line.text for hunk in patch.files[0].hunks for line in hunk.lines}


def test_a_missing_newline_at_the_end_is_a_note(bare, change):
    base, head = change({"a": "no newline"})

    assert ["add", "note"] == [line.kind for line in diff.patch(bare, base, head).files[0].hunks[0].lines]


def test_one_huge_file_leaves_room_for_the_others_and_says_it_is_cut(bare, change):
    base, head = change({"a.txt": "x" * 50 + "\n", "b.txt": "line\n" * 5000, "c.txt": "y\n"})

    patch = diff.patch(bare, base, head, max_bytes=8000)

    assert [False, True, False] == [file.truncated for file in patch.files]
    assert patch.truncated
    assert ["y"] == [line.text for line in patch.files[2].hunks[0].lines]


def test_what_comes_after_the_limit_is_marked_and_never_taken_for_unchanged(bare, change):
    base, head = change({f"f{n}.txt": "line\n" * 400 for n in range(9)})

    patch = diff.patch(bare, base, head, max_bytes=6000)

    assert 9 == len(patch.files)
    assert patch.files[-1].truncated
    assert [] == patch.files[-1].hunks


def test_a_long_line_and_characters_that_deceive_are_safe_to_show():
    assert "a\\u202eb\\x1b[2J\t" == diff.visible("a\u202eb\x1b[2J\t")
    assert "plain ü ✓" == diff.visible("plain ü ✓")
    assert len(diff.Line("add", "x" * 100_000).shown) < 3000


def test_equal_patches_on_different_bases_have_equal_ids_and_others_do_not(bare, bench, change, give):
    base, head = change({"src/app.py": (bench.path / "src/app.py").read_text().replace("line 20\n", "new\n")})
    bench.git("checkout", "--quiet", "main")
    moved_base = bench.commit({"src/app.py": "top\n" + (bench.path / "src/app.py").read_text()})
    bench.git("cherry-pick", head)
    moved = give("moved")
    other = give("other", bench.commit({"src/app.py": "x\n"}))

    assert diff.patch_id(bare, base, head) == diff.patch_id(bare, moved_base, moved)
    assert diff.patch_id(bare, base, head) != diff.patch_id(bare, moved_base, other)


def test_whitespace_counts_in_a_patch_id(bare, bench, change, give):
    base, head = change({"x.py": "if a:\n    b\n"})
    bench.git("checkout", "--quiet", "main")
    other = give("other", bench.commit({"x.py": "if a:\n        b\n"}))

    assert diff.patch_id(bare, base, head) != diff.patch_id(bare, base, other)


def test_a_change_shows_its_own_name():
    assert "a\\nb" == FileChange("a\nb", "A").shown
