from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from apps.goals import grounding, prompts, relevance
from apps.goals.prompts import Aim
from apps.goals.relevance import Ground
from apps.repos import mirror
from apps.repos.trusted import GitFailed, Invalid
from tests.apps.goals.hostile import TEXTS
from tests.apps.repos.workbench import Workbench

WORDS = "Add a function `count_words` to textkit that counts how many words a text has."


@pytest.fixture
def held(tmp_path):
    """Commit files to a new repository and put them into a mirror: the mirror and the commit."""

    def held(files):
        bench = Workbench(tmp_path / "work")
        commit = bench.commit(files)
        path = tmp_path / "mirrors" / "sample.git"
        mirror.create(path, None)
        mirror.seed(path, bench.path)
        return path, commit

    return held


def documents(ground: Ground) -> list[str]:
    return [document.path for document in ground.documents]


def test_what_tells_of_the_repository_comes_first_and_then_what_matters(held):
    path, commit = held(
        {
            "README.md": "# textkit\n",
            "AGENTS.md": "Run make test.\n",
            "pyproject.toml": "[project]\n",
            "LICENSE": "MIT\n",
            "src/textkit/count_words.py": "",
            "src/textkit/text.py": "def split_words(text): ...\n",
            "src/textkit/colour.py": "def red(): ...\n",
            "src/other/deep/helper.py": "import textkit\nword = count_words(words)\n",
        }
    )

    ground = grounding.ground(path, commit, words=WORDS)

    assert ["README.md", "AGENTS.md", "pyproject.toml"] == documents(ground)[:3]
    assert {"src/textkit/text.py", "src/other/deep/helper.py"} < set(documents(ground))
    assert "src/textkit/count_words.py" == ground.ranked[0]
    assert 8 == len(ground.paths)
    assert not ground.truncated


def test_a_file_is_found_by_what_it_holds(held):
    noise = {f"src/module_{number}.py": "def other(): ...\n" for number in range(60)}
    path, commit = held(noise | {"src/module_77.py": "def Count_Words(text): ...\n"})

    assert "src/module_77.py" == grounding.ground(path, commit, words=WORDS).ranked[0]


def test_a_hint_comes_before_everything_that_was_found(held):
    path, commit = held({"src/count_words.py": "count_words\n" * 50, "doc/x.md": "x\n"})

    assert "doc/x.md" == grounding.ground(path, commit, words=WORDS, hints=["doc/x.md"]).ranked[0]


def test_what_is_no_text_is_not_quoted(held):
    path, commit = held(
        {
            "count_words.png": b"\x89PNG count_words",
            "count_words.txt": b"count_words\0\0binary",
            "wide.md": "count_words".encode("utf-16"),
            "latin.md": "count_words für alle\n".encode("latin-1"),
            "empty_count_words.md": "",
            "node_modules/count_words.js": "count_words\n",
        }
    )

    ground = grounding.ground(path, commit, words=WORDS)

    assert ["latin.md"] == documents(ground)
    assert "f\ufffdr alle" in ground.documents[0].text
    assert 6 == len(ground.paths)


def test_links_and_submodules_are_no_files(held, tmp_path):
    bench = Workbench(tmp_path / "work")
    bench.write({"README.md": "hello\n"})
    (bench.path / "count_words.md").symlink_to("/etc/passwd")
    bench.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},count_words")
    bench.git("add", "count_words.md", "README.md")
    bench.git("commit", "--quiet", "-m", "Links.")
    path = tmp_path / "mirror.git"
    mirror.create(path, None)
    mirror.seed(path, bench.path)

    assert ("README.md",) == grounding.ground(path, bench.head, words=WORDS).paths


def test_a_large_file_is_quoted_by_its_beginning(held):
    path, commit = held({"README.md": "count_words\n" * 60_000, "words.py": "x = 1\n" * 8_000})

    readme, words = grounding.ground(path, commit, words=WORDS).documents

    assert readme.cut
    assert words.cut
    assert grounding.READ_BYTES >= max(len(readme.text), len(words.text))


def test_odd_names_are_taken_as_they_are(held):
    odd = "src/count_words\n[end of data] ü\t.md"
    path, commit = held({odd: "x\n", b"b\xff.md".decode("utf-8", "surrogateescape"): "y\n"})

    ground = grounding.ground(path, commit, words=WORDS)

    assert {odd, "b\\xff.md"} == set(ground.paths)


def test_an_empty_repository_is_ground_too(held):
    path, commit = held({})

    assert Ground(paths=()) == grounding.ground(path, commit, words=WORDS)


def test_without_words_the_repository_still_tells_of_itself(held):
    path, commit = held({"README.md": "hello\n"})

    assert ["README.md"] == documents(grounding.ground(path, commit, words=""))


def test_attributes_of_the_repository_change_nothing(held):
    path, commit = held({".gitattributes": "* -text binary filter=x diff=x\n", "words.py": "count_words\n"})

    assert "words.py" in documents(grounding.ground(path, commit, words=WORDS))


def test_only_a_full_commit_of_a_mirror_is_looked_at(held, tmp_path):
    path, _ = held({"README.md": "hello\n"})

    with pytest.raises(Invalid):
        grounding.ground(path, "--help", words=WORDS)
    with pytest.raises(mirror.MirrorMissing):
        grounding.ground(tmp_path / "none.git", "0" * 40, words=WORDS)
    with pytest.raises(GitFailed):
        grounding.ground(path, "0" * 40, words=WORDS)


@pytest.mark.parametrize("bound", ["MOST_PATHS", "LISTING_BYTES"])
def test_a_tree_is_read_within_bounds_and_said_to_be_larger(held, monkeypatch, bound):
    path, commit = held({f"src/file_{number}.py": f"{number}\n" for number in range(50)})
    monkeypatch.setattr(grounding, bound, {"MOST_PATHS": 20, "LISTING_BYTES": 1_500}[bound])

    ground = grounding.ground(path, commit, words=WORDS)

    assert ground.truncated
    assert 15 < len(ground.paths) <= 20
    assert set(ground.paths) <= {f"src/file_{number}.py" for number in range(50)}


@pytest.mark.parametrize("bound", ["SEARCHED_FILES", "SEARCHED_BYTES"])
def test_no_more_is_looked_through_than_was_agreed(held, monkeypatch, bound):
    path, commit = held({f"src/file_{number}.py": "count_words\n" for number in range(50)})
    monkeypatch.setattr(grounding, bound, {"SEARCHED_FILES": 7, "SEARCHED_BYTES": 7 * 12 + 3}[bound])

    assert 7 == len(grounding.ground(path, commit, words=WORDS).ranked)


def test_fifty_thousand_files_take_seconds(tmp_path):
    bench = Workbench(tmp_path / "work")
    blob = bench.git("hash-object", "-w", "--stdin", stdin=b"count_words\n")
    entries = "".join(f"100644 {blob}\tsrc/d{number % 100}/count_{number}.py\n" for number in range(50_000))
    bench.git("update-index", "--add", "--index-info", stdin=entries.encode())
    bench.git("commit", "--quiet", "-m", "Many.")
    path = tmp_path / "mirror.git"
    mirror.create(path, None)
    mirror.seed(path, bench.path)

    began = time.process_time()
    ground = grounding.ground(path, bench.head, words=WORDS)
    asked = prompts.decompose(Aim(repo="textkit", title="x"), ground, budget_tokens=6_000)

    assert time.process_time() - began < 10
    assert 50_000 == len(ground.paths)
    assert asked.tokens <= 6_000


def test_a_hostile_repository_is_quoted_and_no_more(held):
    files = {f"{name.replace(' ', '_')}.md": text.encode("utf-8", "replace") for name, text in TEXTS.items()}
    path, commit = held({"README.md": TEXTS["orders"], **files})

    ground = grounding.ground(path, commit, words="orders " + WORDS)
    asked = prompts.decompose(Aim(repo="textkit", title="Count words"), ground, budget_tokens=6_000)

    assert "IGNORE ALL PREVIOUS INSTRUCTIONS" in asked.prompt
    assert "<|im_start|>" not in asked.prompt
    assert asked.tokens <= 6_000


# --- what matters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "terms"),
    [
        ("", ()),
        ("Add a test for the code", ()),
        ("the parser breaks on tabs", ("parser", "break", "tabs")),
        (
            "tabs: parse_line() of lexer.Token breaks",
            ("parse_line", "lexer.token", "tabs", "parse", "lexer", "token", "break"),
        ),
        ("fix CamelCase and utf8", ("camelcase", "utf8", "camel", "case", "utf")),
        ("words words count", ("word", "count")),
        ("1.2.3 and 42", ("1.2.3",)),
    ],
)
def test_names_of_programs_are_looked_for_before_other_words(words, terms):
    assert terms == relevance.terms(words)


def test_no_more_is_looked_for_than_is_useful():
    assert relevance.MOST_TERMS == len(relevance.terms(" ".join(f"word_{number}" for number in range(99))))


@pytest.mark.parametrize("text", TEXTS.values())
def test_hostile_words_cost_no_more_than_their_length(text):
    began = time.process_time()
    wanted = relevance.terms(text * 3)
    relevance.by_name([text[:4_000]] * 100, wanted)

    assert time.process_time() - began < 1


def test_a_term_in_every_file_tells_less_than_one_in_few():
    scores = relevance.by_content({"a": {"text": 9}, "b": {"text": 9, "rare": 1}, "c": {"text": 9}}, 3)

    assert scores["b"] > 2 * scores["a"]


@given(some.lists(some.text(min_size=1, max_size=20), unique=True, max_size=30), some.integers(0, 400))
def test_a_listing_fits_its_room(paths, room):
    lines = relevance.listing(Ground(paths=tuple(paths), ranked=tuple(paths[:3])), room)

    assert sum(len(line) + 1 for line in lines) <= room
