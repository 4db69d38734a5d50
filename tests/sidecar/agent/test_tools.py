"""The seven tools, as a model meets them."""

import asyncio
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.agent.talk import Call
from sidecar.agent.tools.box import Box
from sidecar.agent.tools.clipping import clip, fitted, json_length, plain
from sidecar.executors.base import Sandbox
from sidecar.sandbox import Policy

SANDBOX = Sandbox(policy=Policy(sandbox="off"))
ROOM = 6_000


@pytest.fixture
def tree(tmp_path):
    place = tmp_path / "attempts" / "1" / "tree"
    (place / "src").mkdir(parents=True)
    (place / "app.py").write_text("def add(a, b):\n    return a - b\n")
    (place / "src" / "long.txt").write_text("".join(f"line {number}\n" for number in range(1, 301)))
    return place


@pytest.fixture
def box(tree):
    return Box(tree, SANDBOX, deadline=lambda: 60.0)


async def use(box, name, **arguments):
    seen = await box.use(Call(name=name, arguments=arguments))
    assert json_length(seen.data) <= ROOM
    assert seen.ok or "error" in seen.data
    assert len(seen.brief) < 250
    assert "\n" not in seen.brief
    return seen


# --- what a model is told of them -------------------------------------------------------------------------------------


def test_the_schemas_are_short(box):
    told = [
        {"type": "function", "function": {"name": s.name, "description": s.description, "parameters": s.parameters}}
        for s in box.specs
    ]

    assert len(json.dumps(told, separators=(",", ":"))) <= 1_650


def test_names_are_distinct_and_every_tool_needs_something(box):
    names = [spec.name for spec in box.specs]

    assert all("_" in name for name in names)
    assert not [(a, b) for a in names for b in names if a != b and a in b]
    assert all(spec.required for spec in box.specs)
    assert {"write_file", "edit_file", "run_command"} == {spec.name for spec in box.specs if spec.changes}


MISFITS = [
    ("open_file", {"path": "app.py"}, "There is no tool 'open_file'"),
    ("read_file", {}, "read_file needs path"),
    ("read_file", {"path": 3}, "path must be of type string"),
    ("read_file", {"path": "app.py", "start": True}, "start must be of type integer"),
    ("read_file", {"path": "app.py", "lines": 3}, "no argument lines"),
    ("write_file", {"path": "x", "content": "\ud800"}, "lone surrogate"),
    ("read_file", {"path": "\udcff"}, "lone surrogate"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), MISFITS)
async def test_a_call_that_fits_no_tool_is_told_so(box, name, arguments, said):
    seen = await use(box, name, **arguments)

    assert not seen.ok
    assert said in seen.data["error"]


async def test_finishing_hands_the_summary_on(box):
    seen = await use(box, "finish_task", summary=" Fixed the sign. ")

    assert ("Fixed the sign.", True) == (seen.finished, seen.ok)
    assert (await use(box, "read_file", path="app.py")).finished is None


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_a_short_file_is_read_whole_with_numbers(box):
    seen = await use(box, "read_file", path="app.py")

    expected = {
        "path": "app.py",
        "total_lines": 2,
        "start": 1,
        "end": 2,
        "text": "1\tdef add(a, b):\n2\t    return a - b",
    }
    assert expected == seen.data
    assert "[read app.py 1-2, 0.0 kB]" == seen.brief


async def test_of_a_long_file_a_window_is_shown_and_where_to_go_on(box):
    first = (await use(box, "read_file", path="src/long.txt")).data
    second = (await use(box, "read_file", path="src/long.txt", start=first["continue_at"], count=500)).data
    last = (await use(box, "read_file", path="src/long.txt", start=290)).data

    assert (1, 100, 101, 300) == (first["start"], first["end"], first["continue_at"], first["total_lines"])
    assert (101, 220) == (second["start"], second["end"])
    assert ("300\tline 300", False) == (last["text"].split("\n")[-1], "continue_at" in last)


async def test_a_line_beyond_the_end_is_an_error(box):
    assert "has 2 lines" in (await use(box, "read_file", path="app.py", start=3)).data["error"]


async def test_an_empty_file_has_no_lines(box, tree):
    (tree / "empty").touch()

    assert {"path": "empty", "total_lines": 0, "start": 1, "end": 0, "text": ""} == (
        await use(box, "read_file", path="empty")
    ).data


async def test_wide_lines_make_a_shorter_window_not_a_gap(box, tree):
    (tree / "wide").write_text("".join(f"{number}{'x' * 300}\n" for number in range(100)))

    data = (await use(box, "read_file", path="wide")).data

    assert data["end"] < 20
    assert data["end"] + 1 == data["continue_at"]
    assert "left out" not in data["text"]


async def test_one_endless_line_is_cut(box, tree):
    (tree / "min.js").write_text("x" * 100_000)

    assert "[... 99500 characters left out ...]" in (await use(box, "read_file", path="min.js")).data["text"]


@pytest.mark.parametrize(
    ("content", "said"), [(b"\x7fELF\0\0", "binary"), (b"x" * (5 * 2**20 + 1), "too large")], ids=["binary", "huge"]
)
async def test_what_is_no_text_is_refused_kindly(box, tree, content, said):
    (tree / "thing").write_bytes(content)

    assert said in (await use(box, "read_file", path="thing")).data["error"]


async def test_text_that_is_no_utf_8_is_shown_as_far_as_it_goes(box, tree):
    (tree / "latin").write_bytes(b"caf\xe9\n")

    assert "1\tcaf\ufffd" == (await use(box, "read_file", path="latin")).data["text"]


async def test_a_small_tree_is_listed_two_levels_deep(box, tree):
    (tree / "link").symlink_to("app.py")

    seen = await use(box, "list_directory", path=".")

    assert ["src/", "app.py (32 bytes)", "src/long.txt (2592 bytes)", "link (link)"] == seen.data["entries"]


async def test_a_large_directory_is_listed_in_part_with_the_count_of_the_rest(box, tree):
    (tree / "z").mkdir()
    for number in range(300):
        (tree / f"{number:03}").touch()

    data = (await use(box, "list_directory", path=str(tree))).data

    assert ["src/", "z/", "000 (0 bytes)"] == data["entries"][:3]
    assert 303 == len(data["entries"]) + data["more"]
    assert len(data["entries"]) <= 200


async def test_a_name_that_is_no_text_is_listed_and_not_fatal(box, tree):
    (tree / "sub").mkdir()
    (tree / "sub" / os.fsdecode(b"\xff.txt")).touch()

    assert ["\\udcff.txt (0 bytes)"] == (await use(box, "list_directory", path="sub")).data["entries"]


@pytest.mark.parametrize("name", ["read_file", "list_directory"])
@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "nothing", "app.py/x", "a\0b"])
async def test_reading_elsewhere_is_refused(box, name, path):
    assert not (await use(box, name, path=path)).ok


# --- writing ----------------------------------------------------------------------------------------------------------


async def test_a_file_is_written_with_its_directories(box, tree):
    seen = await use(box, "write_file", path="./new/mod.py", content="x = 1\n")

    assert {"path": "./new/mod.py", "created": True, "lines": 1, "bytes": 6} == seen.data
    assert {"new/mod.py"} == seen.changed
    assert "x = 1\n" == (tree / "new/mod.py").read_text()


async def test_the_same_again_changes_nothing(box, tree):
    seen = await use(box, "write_file", path="app.py", content=(tree / "app.py").read_text())

    assert (True, frozenset()) == (seen.ok, seen.changed)


async def test_a_long_file_is_edited_not_repeated(box, tree):
    seen = await use(box, "write_file", path="src/long.txt", content="short\n")

    assert "edit_file" in seen.data["error"]
    assert 300 == (tree / "src/long.txt").read_text().count("\n")
    assert (await use(Box(tree, SANDBOX, deadline=lambda: 60.0, whole_file_lines=400), "write_file",
                      path="src/long.txt", content="short\n")).ok  # fmt: skip


async def test_a_file_written_whole_keeps_its_line_endings_and_mark(box, tree):
    (tree / "win.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r\n")

    await use(box, "write_file", path="win.txt", content="a\nc\n")

    assert b"\xef\xbb\xbfa\r\nc\r\n" == (tree / "win.txt").read_bytes()


BREAKING = [
    ("app.py", "def add(a, b)\n    return a + b\n", "line 1: "),
    ("app.py", "return 1\n", "outside function"),
    ("conf.json", '{"a": 1,}', "line 1: "),
    ("conf.toml", "a = 1\nb = \n", "line 2: "),
]


@pytest.mark.parametrize(("path", "content", "said"), BREAKING)
async def test_a_file_that_was_in_order_is_not_broken(box, tree, path, content, said):
    (tree / "conf.json").write_text('{"a": 1}')
    (tree / "conf.toml").write_text("a = 1\n")
    before = (tree / path).read_text()

    seen = await use(box, "write_file", path=path, content=content)

    assert (False, frozenset(), before) == (seen.ok, seen.changed, (tree / path).read_text())
    assert said in seen.data["error"]
    assert "as it was" in seen.data["error"]


@pytest.mark.parametrize("before", [None, "def (:\n"], ids=["a new file", "a file that was broken before"])
async def test_what_was_not_in_order_may_be_written_with_a_warning(box, tree, before):
    if before is not None:
        (tree / "bad.py").write_text(before)

    seen = await use(box, "write_file", path="bad.py", content="def f(:\n")

    assert (True, {"bad.py"}) == (seen.ok, seen.changed)
    assert "not valid. line 1: " in seen.data["syntax"]
    assert "def f(:\n" == (tree / "bad.py").read_text()


HARD = {
    "brackets": "(" * 100_000,
    "signs": "-" * 200_000 + "1",
    "dots": "a" + ".a" * 100_000,
    "sum": "+".join("1" * 90_000),
}


@pytest.mark.parametrize("content", HARD.values(), ids=HARD)
async def test_source_made_to_break_a_parser_breaks_nothing_of_ours(box, tree, content):
    seen = await use(box, "write_file", path="hard.py", content=content)

    assert seen.ok
    assert content == (tree / "hard.py").read_text()


async def test_parsing_runs_nothing(box, tree):
    await use(box, "write_file", path="evil.py", content="open('ran', 'w')\nraise SystemExit(3)\n")
    await use(box, "write_file", path="json.py", content="open('ran', 'w')\n")
    await use(box, "write_file", path="later.py", content="x = 1\n")

    assert not (tree / "ran").exists()


# --- editing ----------------------------------------------------------------------------------------------------------


async def test_an_edit_lands_and_shows_its_surroundings(box, tree):
    seen = await use(box, "edit_file", path="src/long.txt", old="line 150\n", new="changed\nand more\n")

    assert ("exactly", 150, {"src/long.txt"}) == (seen.data["matched"], seen.data["line"], seen.changed)
    assert ["144\tline 144", "157\tline 156"] == seen.data["text"].split("\n")[
        :: len(seen.data["text"].split("\n")) - 1
    ]
    assert "150\tchanged\n151\tand more\n152\tline 151" in seen.data["text"]
    assert "line 149\nchanged\nand more\nline 151\n" in (tree / "src/long.txt").read_text()


async def test_an_edit_that_breaks_the_file_does_not_land(box, tree):
    seen = await use(box, "edit_file", path="app.py", old="return a - b", new="return (a + b")

    assert (False, 2) == (seen.ok, seen.data["line"])
    assert "2\t    return (a + b" in seen.data["text"]
    assert "    return a - b\n" in (tree / "app.py").read_text()


async def test_a_place_that_was_only_similar_is_shown_as_it_was(box, tree):
    old, new = "def add(a,b):\n    return a - b\n", "def add(a, b):\n    return a + b\n"

    seen = await use(box, "edit_file", path="app.py", old=old, new=new)

    assert ("as nearly the same", "def add(a, b):\n    return a - b") == (seen.data["matched"], seen.data["was"])
    assert new == (tree / "app.py").read_text()


REFUSED = [
    ({"old": "line", "new": "x"}, "more than once in src/long.txt, at lines 1, 2, 3"),
    ({"old": "line 7\n", "new": "line 7\n"}, "the same"),
    ({"old": "", "new": "x"}, "old is empty"),
    ({"old": "nowhere to be seen", "new": "x"}, "does not occur"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
async def test_an_edit_without_one_place_is_refused(box, tree, arguments, said):
    before = (tree / "src/long.txt").read_text()

    seen = await use(box, "edit_file", path="src/long.txt", **arguments)

    assert said in seen.data["error"]
    assert before == (tree / "src/long.txt").read_text()


async def test_a_miss_shows_the_closest_twelve_lines(box):
    seen = await use(box, "edit_file", path="src/long.txt", old="line 200\nline 299 is not next\n", new="x")

    assert 12 == len(seen.data["closest"].split("\n"))
    assert "200\tline 200" in seen.data["closest"]


async def test_an_empty_or_missing_file_is_filled_by_an_edit_of_nothing(box, tree):
    (tree / "empty.py").touch()

    assert (await use(box, "edit_file", path="empty.py", old="", new="x = 1\n")).ok
    assert (await use(box, "edit_file", path="fresh.py", old="", new="y = 1\n")).ok
    assert "no gone.py to edit" in (await use(box, "edit_file", path="gone.py", old="a", new="b")).data["error"]
    assert ("x = 1\n", "y = 1\n") == ((tree / "empty.py").read_text(), (tree / "fresh.py").read_text())


KEPT = {
    "Windows line endings": (b"a\r\nb\r\nc\r\n", "a\nb\n", "a\nx\ny\n", b"a\r\nx\r\ny\r\nc\r\n"),
    "mixed line endings": (b"a\r\nb\nc\n", "c\n", "d\n", b"a\r\nb\nd\n"),
    "a byte order mark": (b"\xef\xbb\xbfa\nb\n", "a\n", "x\n", b"\xef\xbb\xbfx\nb\n"),
    "bytes that are no UTF-8": (b"caf\xe9\nb\n", "b\n", "c\n", b"caf\xe9\nc\n"),
    "the newline at the end": (b"a\nb\n", "b\n", "c", b"a\nc\n"),
    "no newline at the end": (b"a\nb", "b", "c", b"a\nc"),
    "old with the other line endings": (b"a\nb\n", "a\r\nb\r\n", "x\r\n", b"x\n"),
}


@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT)
async def test_an_edit_keeps(box, tree, case):
    before, old, new, after = case
    (tree / "file.txt").write_bytes(before)

    assert (await use(box, "edit_file", path="file.txt", old=old, new=new)).ok
    assert after == (tree / "file.txt").read_bytes()


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", ".git/config", "src", "a\0b", "app.py/x"])
async def test_changing_elsewhere_is_refused(box, tree, path):
    assert not (await use(box, "write_file", path=path, content="x")).ok
    assert not (await use(box, "edit_file", path=path, old="", new="x")).ok
    assert {"src", "app.py"} == {place.name for place in tree.iterdir()}


async def test_a_slow_search_for_a_place_does_not_stop_the_event_loop(box, tree):
    (tree / "hard.txt").write_text("".join(f"{'ab' * 140}{number}\n" for number in range(1_000)))
    editing = asyncio.create_task(use(box, "edit_file", path="hard.txt", old="ba" * 141, new="x"))
    turns = 0
    while not editing.done():
        turns += 1
        await asyncio.sleep(0)

    assert turns > 10
    assert not editing.result().ok


# --- sizes ------------------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.text(max_size=3_000) | st.integers(),
    lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.text(max_size=5), anything, max_size=5), st.integers(min_value=100, max_value=3_000))
def test_whatever_is_to_be_told_fits(data, most):
    assert json_length(fitted(data, most)) <= most


def test_what_is_cut_twice_counts_all_that_is_gone():
    said = fitted({"output": clip("x" * 10_000, 5_000)}, 1_000)["output"]
    gone = int(said.split("[... ")[1].split(" ")[0])

    assert 10_000 == gone + said.count("x")


def test_short_data_stays_as_it_is():
    assert {"a": "b" * 900, "c": {"d": [1]}} == fitted({"a": "b" * 900, "c": {"d": [1]}}, 1_000)


def test_output_is_what_a_terminal_would_show():
    assert "red\ndone 100%\nplain\ttab" == plain(
        "\x1b[31mred\x1b[0m\ndone 10%\rdone 100%\r\n\x1b]0;title\x07plain\ttab\x00\x08"
    )
