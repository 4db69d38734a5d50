from __future__ import annotations

import pytest

from apps.repos import merge as merging
from apps.repos import mirror, trusted
from apps.repos.diff import Unrelated
from apps.repos.merge import AlreadyMerged, BranchMissing, BranchMoved, Conflict, Identity, NothingToMerge, PatchMissing
from apps.repos.trusted import Invalid, git
from tests.apps.repos.workbench import Workbench

ADA = Identity("gcu-ada", "gcu-ada@agents.example.org")
OPERATOR = Identity("Olga Operator", "olga@example.org")


def merge(bare, head, *, method="merge", onto=None, branch="main"):
    return merging.merge(
        bare, branch, head, method=method, message="Fix: the title\n\nBody.", author=ADA, committer=OPERATOR, onto=onto
    )


@pytest.fixture
def topic(bench: Workbench, give):
    """A change on a branch of the mirror; the main branch stays checked out."""

    def topic(files, name="topic", start="main"):
        bench.branch(name, start)
        bench.commit(files)
        sha = give(name)
        bench.git("checkout", "--quiet", "main")
        return sha

    return topic


def line(bench: Workbench, number: int, text: str) -> dict[str, str]:
    lines = (bench.path / "src/app.py").read_text().splitlines()
    lines[number] = text
    return {"src/app.py": "\n".join(lines) + "\n"}


def test_a_merge_commit_has_both_parents_and_says_who(bare, bench, topic):
    base, head = bench.head, topic({"new.py": "a\n"})

    merged = merge(bare, head)

    assert merged.commit == mirror.head(bare, "main")
    (commit,) = mirror.log(bare, merged.commit, limit=1)
    assert ((base, head), "gcu-ada", "Fix: the title") == (commit.parents, commit.author, commit.subject)
    assert b"Olga Operator" in git(bare, "log", "-1", "--format=%cn", merged.commit)
    assert merged.tree == mirror.tree_of(bare, merged.commit)


def test_a_squash_is_one_commit_with_the_same_tree(bare, bench, topic):
    base = bench.head
    topic({"new.py": "a\n"})
    head = topic({"new.py": "b\n"}, start="topic")

    merged = merge(bare, head, method="squash")

    assert [(base,)] == [commit.parents for commit in mirror.log(bare, merged.commit, since=base)]
    assert b"b\n" == mirror.read(bare, merged.commit, "new.py")


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_a_moved_base_keeps_both_sides_even_in_one_file(bare, bench, topic, give, method):
    head = topic(line(bench, 30, "theirs"))
    bench.commit(line(bench, 25, "ours"))
    give("main")

    merged = merge(bare, head, method=method)

    content = mirror.read(bare, merged.commit, "src/app.py")
    assert content is not None
    assert b"ours" in content
    assert b"theirs" in content


def test_a_change_follows_a_file_that_the_base_has_renamed(bare, bench, topic, give):
    head = topic(line(bench, 30, "theirs"))
    text = (bench.path / "src/app.py").read_text()
    bench.commit({"src/app.py": None, "src/main.py": text})
    give("main")

    merged = merge(bare, head)

    assert b"theirs" in (mirror.read(bare, merged.commit, "src/main.py") or b"")


def test_a_part_that_the_base_has_done_already_is_no_obstacle(bare, bench, topic, give):
    head = topic({**line(bench, 10, "same"), "new.py": "a\n", "both.py": "b\n"})
    bench.commit({**line(bench, 10, "same"), "both.py": "b\n"})
    give("main")

    merged = merge(bare, head)

    assert b"a\n" == mirror.read(bare, merged.commit, "new.py")


def test_a_conflict_names_its_files_and_moves_nothing(bare, bench, topic, give):
    head = topic({**line(bench, 10, "theirs"), 'we"ird\nname': "theirs"})
    bench.commit({**line(bench, 10, "ours"), 'we"ird\nname': "ours"})
    main = give("main")

    tried = merging.candidate(bare, "main", head)
    with pytest.raises(Conflict) as refused:
        merge(bare, head)

    assert {"src/app.py", 'we"ird\nname'} == set(tried.conflicts) == set(refused.value.files)
    assert main == mirror.head(bare, "main")
    assert "2 files" in refused.value.message


def test_the_candidate_is_what_the_merge_then_is(bare, bench, topic):
    head = topic({"new.py": "a\n"})

    tried = merging.candidate(bare, "main", head)

    assert (bench.head, head, ()) == (tried.base, tried.head, tried.conflicts)
    assert tried.tree == merge(bare, head).tree


def test_what_is_merged_is_not_merged_again(bare, bench, topic):
    head = topic({"new.py": "a\n"})
    merge(bare, head)

    with pytest.raises(AlreadyMerged):
        merge(bare, head)
    with pytest.raises(AlreadyMerged):
        merge(bare, bench.head)


def test_a_merge_that_would_change_nothing_is_refused(bare, bench, topic, give):
    head = topic({"new.py": "a\n"})
    bench.commit({"new.py": "a\n"}, "The same by somebody else.")
    give("main")

    with pytest.raises(NothingToMerge):
        merge(bare, head)


def test_a_branch_that_moved_since_the_check_is_not_merged_into(bare, bench, topic, give):
    checked = bench.head
    head = topic({"new.py": "a\n"})
    bench.commit({"other.py": "b\n"})
    main = give("main")

    with pytest.raises(BranchMoved):
        merge(bare, head, onto=checked)

    assert main == mirror.head(bare, "main")


def test_of_two_merges_prepared_on_one_base_one_lands(bare, bench, topic):
    def prepared(head):
        return merging.prepare(bare, "main", head, method="merge", message="m", author=ADA, committer=OPERATOR)

    first, second = prepared(topic({"a": "1"}, "a")), prepared(topic({"b": "1"}, "b"))
    merging.land(bare, first)

    with pytest.raises(BranchMoved):
        merging.land(bare, second)
    merging.land(bare, first)

    assert first.commit == mirror.head(bare, "main")


def test_a_tree_that_does_not_hold_the_reviewed_patch_is_not_landed(bare, bench, topic, monkeypatch):
    head = topic({"new.py": "a\n", "more.py": "b\n"})
    right = merging.candidate(bare, "main", head)
    wrong_trees = [
        topic({"new.py": "a\n"}, "less"),
        topic({"new.py": "a\n", "more.py": "b\n", "evil.py": "c\n"}, "more"),
        topic({"new.py": "a\n", "more.py": "changed\n"}, "other"),
        topic({"new.py": "a\n", "more.py": "b\n", "README.md": None}, "deleting"),
    ]

    for wrong in wrong_trees:
        tree = mirror.tree_of(bare, wrong)
        monkeypatch.setattr(
            merging, "candidate", lambda *_, tree=tree, **__: merging.Candidate(right.base, head, tree)
        )  # fmt: skip
        with pytest.raises(PatchMissing):
            merge(bare, head)

    assert bench.head == mirror.head(bare, "main")


def test_merge_drivers_of_the_repository_are_not_heard(bare, bench, topic, give):
    bench.commit({".gitattributes": "* merge=union\n"})
    give("main")
    head = topic(line(bench, 10, "theirs"))
    bench.commit(line(bench, 10, "ours"))
    give("main")

    with pytest.raises(Conflict):
        merge(bare, head)


def test_unrelated_work_and_missing_branches_are_named(bare, bench, topic, give):
    head = topic({"new.py": "a\n"})
    bench.git("checkout", "--quiet", "--orphan", "alone")
    alone = give("alone", bench.commit({"x": "y"}))

    with pytest.raises(Unrelated):
        merge(bare, alone)
    with pytest.raises(BranchMissing):
        merge(bare, head, branch="nowhere")
    with pytest.raises(Invalid):
        merge(bare, "topic")


def test_an_old_git_is_told_apart(bare, bench, topic, monkeypatch):
    head = topic({"new.py": "a\n"})
    merging._require_merge_tree.cache_clear()
    monkeypatch.setattr(trusted, "version", lambda: (2, 34, 1))

    with pytest.raises(merging.Unsupported) as refused:
        merge(bare, head)

    assert "2.34.1" in refused.value.message


@pytest.mark.parametrize(("name", "email"), [("", "a@b"), ("a", " "), ("a <x>", "a@b"), ("a\nb", "a@b"), ("a", "a@b>")])
def test_an_identity_that_git_would_bend_is_refused(name, email):
    with pytest.raises(Invalid):
        Identity(name, email)
