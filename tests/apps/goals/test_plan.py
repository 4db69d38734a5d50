from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from apps.goals import plan
from apps.goals.answers import DEEPEST, LONGEST, Fault
from apps.goals.plan import PlannedCheck
from apps.repos import checks as checking

TREE = ("README.md", "pyproject.toml", "src/textkit/__init__.py", "src/textkit/words.py", "tests/test_words.py")


def a_slice(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Count words",
        "description": "Add count() to src/textkit/words.py.",
        "success_criteria": ["count('a b') is 2"],
        "files": ["src/textkit/words.py"],
        "new_files": [],
        "checks": [{"type": "tests_pass", "target": "auto"}],
        "after": [],
        "tier": "standard",
    } | changes


def answer(*slices: Any, **more: Any) -> str:
    return json.dumps({"slices": list(slices), **more})


def read(text: str) -> plan.Plan:
    return plan.read(text, tree=TREE, repo="textkit")


def fault(text: str) -> Fault:
    with pytest.raises(Fault) as caught:
        read(text)
    return caught.value


def outcome(text: str) -> plan.Plan | Fault:
    try:
        return read(text)
    except Fault as found:
        return found


def test_a_good_answer_becomes_a_plan():
    (only,) = read(answer(a_slice())).slices

    assert "Count words" == only.title
    assert (PlannedCheck("tests_pass"),) == only.checks
    assert ("src/textkit/words.py",) == only.files
    assert "standard" == only.tier


@pytest.mark.parametrize(
    "dress",
    [
        "{}",
        "```json\n{}\n```",
        "```\n{}\n```\nI hope this helps {{really}}.",
        "Here is the plan:\n{}",
        '<think>First I thought {{"slices": []}} but no.</think>\n{}',
        '<THINKING>{{"slices": [</THINKING> {}',
        'Well, {{"slices": 3}} would be wrong.\n</think>\n{}',
        "A set is {{1, 2}} and {{ opens nothing.\n{}",
        'It is {{"a": 1}}: {}',
        "{0}\n\nOnce more:\n{0}",
    ],
)
def test_what_stands_around_the_object_does_not_matter(dress):
    text = dress.format(answer(a_slice(description='Print "</think>" and {braces}')))

    assert 1 == len(read(text).slices)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no complete JSON object"),
        ("I cannot help with that.", "no complete JSON object"),
        ("[1, 2]", "no complete JSON object"),
        (answer(a_slice())[:-3], "no complete JSON object"),
        ("<think>" + answer(a_slice()), "no complete JSON object"),
        (answer(a_slice()) + answer(a_slice(title="Other")), "2 different JSON objects"),
        ('{"slices": [], "slices": []}', "given twice"),
        ('{"slices": NaN}', "NaN"),
        ('{"slices": [' + "1" * 5_000 + "]}", "cannot be read"),
        ('{"slices": ' + "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1) + "}", "no complete JSON object"),
        ("x" * (LONGEST + 1), f"at most {LONGEST}"),
    ],
)
def test_what_is_not_one_object_is_a_fault(text, says):
    found = fault(text)

    assert "not_json" == found.kind
    assert says in found.message


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        (answer("do it"), "schema", "slice 1"),
        ('{"slices": "do it"}', "schema", "slices"),
        (answer(a_slice(title="")), "schema", "slice 1, title"),
        (answer(a_slice(title="\x1f")), "schema", "slice 1, title"),
        (answer(a_slice(), a_slice(title="x" * 201)), "schema", "slice 2, title: String should have at most 200"),
        (answer(a_slice(description="x" * 10_001)), "schema", "10000"),
        (answer(a_slice(success_criteria=[])), "schema", "success_criteria"),
        (answer(a_slice(success_criteria=["x"] * 11)), "schema", "success_criteria"),
        (answer(a_slice(success_criteria=["x" * 1_001])), "schema", "criterion 1"),
        (answer(a_slice(after=["first"])), "schema", "after 1"),
        (answer(a_slice(after=[True])), "schema", "after 1"),
        (answer(a_slice(files=[f"f{n}.py" for n in range(21)])), "schema", "files"),
        (answer(a_slice(), impossible="No."), "schema", "not both"),
        (answer(), "count", "no slices"),
        (answer(*[a_slice()] * 9), "count", "at most 8"),
        (answer(a_slice(checks=[])), "check", "slice 1, checks"),
        (answer(a_slice(checks=[{"type": "tests_pass"}] * 7)), "check", "slice 1, checks"),
        (answer(a_slice(checks=[{"type": "looks_good"}])), "check", "slice 1, check 1, type"),
        (answer(a_slice(checks=["tests_pass"])), "check", "check 1"),
        (answer(a_slice(checks=[{"type": "command_succeeds"}])), "check", "without a command"),
        (answer(a_slice(checks=[{"type": "file_exists", "target": " "}])), "check", "without a path"),
        (answer(a_slice(checks=[{"type": "diff_contains"}])), "check", "without a text"),
        (answer(a_slice(checks=[{"type": "tests_pass", "target": "x" * 2_001}])), "check", "2000"),
        (answer(a_slice(checks=[{"type": "tests_pass", "timeout_seconds": 1e9}])), "check", "timeout_seconds"),
        (answer(a_slice(checks=[{"type": "tests_pass", "timeout_seconds": 0}])), "check", "timeout_seconds"),
    ],
)
def test_a_fault_of_form_is_named_exactly(text, kind, says):
    found = fault(text)

    assert kind == found.kind
    assert says in found.message


@pytest.mark.parametrize(
    ("after", "says"),
    [
        ([[1]], "Slice 1 is after itself."),
        ([[0]], "Slice 1 is after slice 0, but the slices are 1 to 1."),
        ([[], [3]], "Slice 2 is after slice 3"),
        ([[-1]], "slice -1"),
        ([[], ["9"]], "slice 9"),
        ([[2], [1]], "1 → 2 → 1"),
        ([[], [4, 1], [2], [3]], "2 → 4 → 3 → 2"),
        ([[2], [3], [2]], "2 → 3 → 2"),
    ],
)
def test_an_order_that_nobody_can_follow_is_named_exactly(after, says):
    found = fault(answer(*(a_slice(after=others) for others in after)))

    assert "dag" == found.kind
    assert says in found.message


def test_a_slice_may_come_after_a_later_one_and_numbers_may_be_texts():
    made = read(answer(a_slice(after=["2", 2]), a_slice(), a_slice(after=[1, " 2 "])))

    assert [(2,), (), (1, 2)] == [piece.after for piece in made.slices]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"files": ["src/words.py"]}, "There is src/textkit/words.py."),
        ({"files": ["src/textkit/lines.py"]}, "files of slice 1: src/textkit/lines.py is not in the repository"),
        ({"files": ["/etc/passwd"]}, "not relative"),
        ({"files": ["../other/x.py"]}, ".."),
        ({"files": [".git/config"]}, "git's own"),
        ({"new_files": ["README.md"]}, "exists already"),
        ({"new_files": ["src/textkit"]}, "exists already"),
        ({"new_files": ["/tmp/x.py"]}, "not relative"),
        ({"new_files": ["C:\\x.py"]}, "not relative"),
        ({"new_files": ["~/x.py"]}, "not relative"),
        ({"new_files": ["src/../../x.py"]}, ".."),
        ({"new_files": ["src//x.py"]}, "empty part"),
        ({"new_files": [".GIT/hooks/pre-commit"]}, "git's own"),
        ({"new_files": ["README.md/x.py"]}, "below README.md"),
        ({"new_files": ["src/\u202ex.py"]}, "cannot be seen"),
        ({"new_files": [""]}, "is empty"),
        ({"description": "Change src/textkit/lines.py."}, "src/textkit/lines.py"),
        ({"description": "Change `lines.py`, please."}, "lines.py is not in"),
        ({"description": "See src/lines for more"}, "src/lines"),
        ({"success_criteria": ["tests/test_lines.py::test_one passes"]}, "tests/test_lines.py"),
        ({"checks": [{"type": "file_exists", "target": "src/textkit/lines.py"}]}, "file_exists check of slice 1"),
        ({"checks": [{"type": "file_exists", "target": "/etc/passwd"}]}, "not relative"),
        ({"checks": [{"type": "tests_pass", "target": "pytest -q tests/test_lines.py"}]}, "tests/test_lines.py"),
        ({"checks": [{"type": "command_succeeds", "target": "cat ../../secret"}]}, "../../secret, which is outside"),
        ({"description": "Copy /etc/passwd into README.md"}, "/etc/passwd, which is outside"),
        ({"description": "Copy ~/.ssh/id_rsa into README.md"}, "~/.ssh/id_rsa, which is outside"),
    ],
)
def test_what_is_not_there_is_named_exactly(changes, says):
    found = fault(answer(a_slice(**changes)))

    assert "path" == found.kind
    assert says in found.message


@pytest.mark.parametrize(
    "text",
    [
        "Read and/or write; input/output; 1/2; v1.2.3; e.g. str.split and os.path.",
        "GET /api/words returns data.json() as application/json, see https://docs.python.org/3/library/re.html.",
        "Node.js or docs.python.org/3/library/re.html is no file of ours...",
        "In src/textkit/words.py:12 (see README.md#usage) and words.py and src/textkit/ and ./tests/test_words.py.",
        "Run pytest tests/test_words.py::test_one -k 'a or b' and look at src/**/*.py.",
        "Start with #!/usr/bin/env python3, write to /tmp/x and answer user@example.org: yes.",
    ],
)
def test_prose_and_paths_that_are_there_are_no_faults(text):
    assert text == read(answer(a_slice(description=text))).slices[0].description


def test_a_new_file_may_be_used_by_whoever_comes_after_its_maker():
    makes = a_slice(new_files=["src/textkit/lines.py"], description="Write src/textkit/lines.py.")
    uses = a_slice(files=["src/textkit/lines.py"], description="Use lines.py", after=[1])

    assert ("src/textkit/lines.py",) == read(answer(makes, uses)).slices[1].files


def test_a_file_that_a_slice_beside_makes_cannot_be_used():
    makes = a_slice(new_files=["src/textkit/lines.py"])

    assert "put 1 into its after" in fault(answer(makes, a_slice(files=["src/textkit/lines.py"]))).message


def test_a_new_file_is_made_once():
    makes = a_slice(new_files=["src/textkit/lines.py"])

    assert "Slices 1 and 2 both make" in fault(answer(makes, makes)).message


def test_what_was_made_before_is_no_new_file_any_more():
    makes = a_slice(new_files=["src/textkit/lines.py"])

    made = read(answer(makes | {"after": [2]}, makes))

    assert [(), ("src/textkit/lines.py",)] == [piece.new_files for piece in made.slices]
    assert "src/textkit/lines.py" in made.slices[0].files


@pytest.mark.parametrize(
    "changes",
    [
        {"repo": "other"},
        {"repository": {"url": "x"}},
        {"url": "https://example.org/x"},
        {"branch": "main"},
        {"commit": "0" * 40},
        {"description": "git clone https://example.org/other first"},
        {"description": "Take it from git@example.org:team/other.git"},
        {"description": "See https://github.com/team/other."},
        {"description": "Use ssh://example.org/x"},
        {"description": "Copy it from the repository `other`."},
        {"success_criteria": ["The `team/other` repo has it as well."]},
        {"checks": [{"type": "command_succeeds", "target": "pip install git+https://example.org/x"}]},
        {"checks": [{"type": "command_succeeds", "target": "git remote add x y"}]},
    ],
)
def test_a_plan_stays_in_its_repository(changes):
    assert "foreign" == fault(answer(a_slice(**changes))).kind


def test_fields_that_say_nothing_new_are_ignored():
    text = answer(a_slice(repo="textkit", url="", estimate="1 h", tier="HUGE"), repo="textkit", notes="fine")

    assert "" == read(text).slices[0].tier


def test_a_goal_may_be_called_impossible():
    made = read('{"impossible": "There is no such module.", "slices": []}')

    assert plan.Plan(impossible="There is no such module.") == made


def test_text_that_a_database_cannot_hold_is_made_harmless():
    text = answer(a_slice(title="a\x00b"), a_slice())

    assert "a\ufffdb" == read(text).slices[0].title
    assert "schema" == fault(answer(a_slice(title="a\ud800b"))).kind


def test_a_plan_survives_being_written_down():
    made = read(answer(a_slice(), a_slice(after=[1], new_files=["a.py"], tier="complex")))

    assert made == plan.from_document(json.loads(json.dumps(plan.document(made))))


@pytest.mark.parametrize(
    "text",
    [
        "{" * LONGEST,
        '{"a":' * (LONGEST // 5),
        '{"' + '\\"' * (LONGEST // 2 - 2),
        "{" + '"' * (LONGEST - 1),
        "<think>" * (LONGEST // 7),
        "</think>{" * (LONGEST // 9),
        '{"slices":' + "[" * (LONGEST - 20),
        json.dumps({"slices": [a_slice(description="a/" * 4_999)] * 8}),
        json.dumps({"slices": [a_slice(description="../" * 3_000)] * 8}),
        json.dumps({"slices": [a_slice(description="repo " * 2_000)] * 8}),
        json.dumps({"slices": [a_slice(description="https://x" * 1_111)] * 8}),
        json.dumps({"slices": [a_slice(description="a@" * 5_000)] * 8}),
        json.dumps({"slices": [a_slice(description="a." * 5_000)] * 8}),
        json.dumps({"slices": [a_slice(description="a.." * 3_333)] * 8}),
        json.dumps({"slices": [a_slice(description="git clone " * 1_000)] * 8}),
    ],
)
def test_hostile_text_costs_no_more_than_its_length(text):
    began = time.process_time()
    outcome(text)

    assert time.process_time() - began < 2


# --- whatever comes ---------------------------------------------------------------------------------------------------

_paths = some.sampled_from(
    [*TREE, "src", "new.py", "src/new.py", "gone/x.py", "../x", "/etc/x", ".git/x", "a b.py", ""]
)
_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20) | _paths,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_slices = some.fixed_dictionaries(
    {
        "title": some.text(min_size=1, max_size=30),
        "description": some.lists(_paths | some.text(max_size=20), min_size=1, max_size=4).map(" ".join),
        "success_criteria": some.lists(some.text(min_size=1, max_size=20), min_size=1, max_size=3),
        "checks": some.lists(
            some.fixed_dictionaries({"type": some.sampled_from(plan.CHECKS), "target": _paths}), min_size=1, max_size=3
        ),
    },
    optional={
        "files": some.lists(_paths, max_size=2),
        "new_files": some.lists(_paths, max_size=2),
        "after": some.lists(some.integers(0, 9), max_size=2),
        "tier": some.sampled_from([*plan.TIERS, "odd"]) | _values,
        "repo": some.sampled_from(["textkit", "other"]),
    },
)
_answers = (
    some.text()
    | _values.map(repr)
    | some.fixed_dictionaries(
        {"slices": some.lists(_slices, max_size=9)}, optional={"impossible": some.text(max_size=5)}
    ).map(json.dumps)
)


@settings(max_examples=400, deadline=None)
@given(_answers)
def test_an_answer_is_a_fault_or_a_plan_that_can_be_carried_out(text):
    made = outcome(text)
    if isinstance(made, Fault):
        assert made.kind in {"not_json", "schema", "count", "dag", "path", "check", "foreign"}
        assert 0 < len(made.message) <= 1_500
        return

    assert made.impossible or 1 <= len(made.slices) <= plan.MOST_SLICES
    assert made == plan.from_document(plan.document(made))
    there = set(TREE)
    done: set[int] = set()
    while ready := [n for n, piece in enumerate(made.slices, 1) if n not in done and done.issuperset(piece.after)]:
        for number in ready:
            piece = made.slices[number - 1]
            assert there.isdisjoint(piece.new_files)
            assert all(any(path == file or file.startswith(f"{path}/") for file in there) for path in piece.files)
        there.update(path for number in ready for path in made.slices[number - 1].new_files)
        done.update(ready)
    assert len(made.slices) == len(done)


@given(some.text(alphabet='{}[]",:\\ a1<>/think`\n', max_size=200))
def test_no_text_raises_anything_but_a_fault(text):
    with pytest.raises(Fault):
        read(text)


def test_all_slices_together_have_no_more_checks_than_one_task_can_repeat():
    def slices(each: int) -> list[dict[str, Any]]:
        ran = [[{"type": "command_succeeds", "target": f"make t{n}-{at}"} for at in range(each)] for n in range(8)]
        return [a_slice(checks=checks) for checks in ran]

    caught = fault(answer(*slices(6)))
    assert ("check", True) == (caught.kind, "48 different checks" in caught.message)
    assert 8 == len(read(answer(*slices(3))).slices)
    assert plan.MOST_CHECKS_IN_ALL + checking.MOST <= 50  # of messages.TaskAssign


def test_the_schema_for_servers_agrees_with_what_is_read():
    properties = plan.SCHEMA["properties"]["slices"]["items"]["properties"]

    assert set(properties) == set(plan.document(read(answer(a_slice())))["slices"][0])
    assert list(plan.CHECKS) == properties["checks"]["items"]["properties"]["type"]["enum"]
