from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from apps.events.documents import DEEPEST, MOST_BYTES, UNWRITABLE, Unreadable, read, schema, schemas, write
from apps.goals import documents
from apps.goals.course import State
from apps.goals.documents import GOAL, PLAN
from apps.goals.lifecycle import GoalStatus
from apps.goals.models import Dependency, Source
from apps.goals.plan import TIERS
from apps.repos.checks import TYPES
from apps.tasks.models import Lane
from tests.apps.goals import planning

SMALLEST = b'<goal repo="textkit"><title>Read dates</title></goal>'
EVIL = "evil<&>\"'\r\n\t]]>  \u2028 🐍 "


def text(most: int, least: int = 0) -> Any:
    """What a database can hold and XML can write."""
    alphabet = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.text(alphabet, min_size=least, max_size=most).filter(lambda given: not UNWRITABLE.search(given))


def moments() -> Any:
    return st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # the time zone is given


def optional(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields)


NUMBER = st.integers(1, 2**63 - 1)
CHECKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["tests_pass", "command_succeeds", "no_secrets"])},
        optional={"target": text(20, 1), "description": text(20, 1), "timeout_seconds": st.floats(0.1, 604_800)},
    ),
    min_size=1,
    max_size=3,
)
HINTS = st.lists(st.fixed_dictionaries({"path": text(20, 1)}, optional={"reason": text(20, 1)}), min_size=1, max_size=3)
LINES = st.lists(text(30), min_size=1, max_size=4)
WORDED = {"description": text(200, 1), "success_criteria": LINES, "checks": CHECKS, "file_hints": HINTS}
GOALS = st.fixed_dictionaries(
    {"repo": text(64, 1), "title": text(200, 1)},
    optional={
        **WORDED,
        "priority": st.sampled_from(["urgent", "high", "normal", "low"]),
        "needs_approval": st.booleans(),
        "id": NUMBER,
        "status": st.sampled_from(list(map(str, GoalStatus))),
        "source": st.sampled_from(list(map(str, Source))),
        "submitted_by": text(30, 1),
        "created_at": moments(),
        "finished_at": moments(),
        "tags": LINES,
        "depends_on": st.lists(st.fixed_dictionaries({"id": NUMBER}), min_size=1, max_size=3),
    },
)
SLICES = st.fixed_dictionaries(
    {"number": st.integers(1, 32_767), "title": text(200, 1)},
    optional={
        **WORDED,
        "round": st.integers(0, 2),
        "tier": st.sampled_from(TIERS),
        "state": st.sampled_from(list(map(str, State))),
        "task": NUMBER,
        "tries": st.integers(0, 9),
        "merged_commit": st.from_regex(r"\A([0-9a-f]{40}|[0-9a-f]{64})\Z"),
        "after": st.lists(st.fixed_dictionaries({"number": st.integers(1, 8)}), min_size=1, max_size=3),
    },
)
PLANS = st.fixed_dictionaries(
    {"goal": NUMBER, "repo": text(64, 1)},
    optional={
        "branch": text(40, 1),
        "model": text(40, 1),
        "made_at": moments(),
        "slices": st.lists(SLICES, min_size=1, max_size=4),
    },
)


@given(GOALS)
def test_a_goal_comes_back_as_it_was_written(goal):
    assert goal == read(write(goal, GOAL), GOAL)


@given(PLANS)
def test_a_plan_comes_back_as_it_was_written(plan):
    assert plan == read(write(plan, PLAN), PLAN)


@given(st.text(max_size=200))
def test_what_xml_cannot_write_becomes_a_sign_that_something_was_there(title):
    shown = UNWRITABLE.sub("\ufffd", f"x{title}"[:200])

    assert shown == read(write({"repo": "r", "title": f"x{title}"[:200]}, GOAL), GOAL)["title"]


def test_every_schema_is_one_and_says_what_its_documents_are_for():
    for name, file in schemas().items():
        if name != "parts.xsd":
            schema(name.removesuffix(".xsd"))
        assert "documentation" in file.read_text()


def test_an_empty_value_is_left_out():
    written = write({"repo": "r", "title": "t", "description": "", "tags": [], "id": None}, GOAL)

    assert b'<goal repo="r">' in written
    assert b"tags" not in written
    assert b"description" not in written


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "line 1: no element found."),
        (b"goal", "line 1: syntax error."),
        (b"<goal>", "no element found"),
        (b"<goal/>" * 2, "junk after document element"),
        (b"\xff\xfe<\x00g\x00/\x00>\x00", "it is not in UTF-8."),
        ("<goal><title>é</title></goal>".encode("latin-1"), "it is not in UTF-8."),
        (b'<?xml version="1.0" encoding="latin-1"?>' + SMALLEST, "it has to be XML 1.0 in UTF-8."),
        (b'<?xml version="1.1"?>' + SMALLEST, "XML"),
        (b"<plan goal='1' repo='r'/>", "its root is plan."),
        (b'<x:goal xmlns:x="urn:x" repo="r"><title>t</title></x:goal>', "its root is x:goal."),
        (b'<goal repo="r"><title>t</title><x:tags/></goal>', "line 1: Namespace prefix x on tags is not defined."),
        (b'<goal repo="r" x:reward="1"><title>t</title></goal>', "Namespace prefix x for reward"),
        (b'<goal repo="r" xmlns:x=""><title>t</title></goal>', "line 1: xmlns:x"),
        (b'<goal repo="r"><title>t</title><' + b"x" * 60_000 + b"/></goal>", "line 1: Name too long: NCName."),
        (b'<goal repo="r" ' + b"x" * 60_000 + b'="1"><title>t</title></goal>', "line 1: "),
        (b'<goal repo="r"><title>t</title><?' + b"x" * 60_000 + b"?></goal>", "line 1: "),
        (b'<goal xmlns="urn:x" repo="r"><title>t</title></goal>', "No matching global declaration"),
        (b'<goal repo="r"/>', "title"),
        (b"<goal><title>t</title></goal>", "repo"),
        (b'<goal repo="r"><title/></goal>', "title"),
        (b'<goal repo="r"><title>t</title><title>u</title></goal>', "title"),
        (b'<goal repo="r"><title>t</title><reward>1</reward></goal>', "reward"),
        (b'<goal repo="r" reward="1"><title>t</title></goal>', "reward"),
        (b'<goal repo="r" priority="now"><title>t</title></goal>', "priority"),
        (b'<goal repo="r"><title>t<b>u</b></title></goal>', "title"),
        (b'<goal repo="r">words<title>t</title></goal>', "goal"),
        (b'<goal repo="r"><title>t</title><tags><tag>1</tag>, <tag>2</tag></tags></goal>', "tags"),
        (b'<goal repo="r"><title>' + b"t" * 201 + b"</title></goal>", "title"),
        (b'<goal repo="r"><title>t</title><checks><check type="rm"/></checks></goal>', "type"),
        (b'<goal repo="r"><title>t</title><depends-on><goal id="0"/></depends-on></goal>', "id"),
        (b'<goal repo="r" created-at="-0044-03-15T12:00:00Z"><title>t</title></goal>', "is not a moment"),
        (b'<goal repo="r" submitted-by="' + b"x" * 10_001 + b'"><title>t</title></goal>', "an attribute has more"),
        (b'<goal repo="r"><title>&nbsp;</title></goal>', "undefined entity"),
        (b'<goal repo="r"><title>&#0;</title></goal>', "invalid character"),
        (b'<goal repo="r"><title>\x01</title></goal>', "not well-formed"),
        (b"<goal>" + b"<goal>" * DEEPEST + b"</goal>" * DEEPEST + b"</goal>", "levels"),
        (b"<goal>" + b"<a/>" * 20_001 + b"</goal>", "elements"),
        (b"<goal>" + b" " * MOST_BYTES + b"</goal>", "bytes"),
    ],
)
def test_what_is_not_a_goal_is_refused_with_the_reason(document, why):
    with pytest.raises(Unreadable) as refused:
        read(document, GOAL)

    assert why in refused.value.message
    assert 400 == refused.value.status


SLICE_OK = b'<plan goal="1" repo="r"><slices><slice number="1"><title>t</title></slice></slices></plan>'


def of_slice(attributes: str, inside: str = "<title>t</title>") -> bytes:
    return f'<plan goal="1" repo="r"><slices><slice {attributes}>{inside}</slice></slices></plan>'.encode()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"<plan>", "no element found"),
        (b'<goal repo="r"><title>t</title></goal>', "its root is goal."),
        (b"<!DOCTYPE plan>" + SLICE_OK, "a document type is not allowed."),
        (b'<plan repo="r"/>', "goal"),
        (b'<plan goal="1"/>', "repo"),
        (b'<plan goal="0" repo="r"/>', "goal"),
        (b'<plan goal="1" repo=""/>', "repo"),
        (b'<plan goal="1" repo="r" made-at="soon"/>', "made-at"),
        (b'<plan goal="1" repo="r"><slice number="1"/></plan>', "slice"),
        (b'<plan goal="1" repo="r"><slices>words</slices></plan>', "slices"),
        (SLICE_OK.replace(b"</slices>", b"</slices><slices/>"), "slices"),
        (of_slice(""), "number"),
        (of_slice('number="0"'), "number"),
        (of_slice('number="32768"'), "number"),
        (of_slice('number="1"', ""), "title"),
        (of_slice('number="1" round="-1"'), "round"),
        (of_slice('number="1" tier="gigantic"'), "tier"),
        (of_slice('number="1" tier=""'), "tier"),
        (of_slice('number="1" state="asleep"'), "state"),
        (of_slice('number="1" state="Merged"'), "state"),
        (of_slice('number="1" task="x"'), "task"),
        (of_slice('number="1" tries="-1"'), "tries"),
        (of_slice('number="1" merged-commit="HEAD"'), "merged-commit"),
        (of_slice(f'number="1" merged-commit="{"A" * 40}"'), "merged-commit"),
        (of_slice(f'number="1" merged-commit="{"a" * 41}"'), "merged-commit"),
        (of_slice('number="1" owner="ada"'), "owner"),
        (of_slice('number="1"', "<title>t</title><after><slice/></after>"), "number"),
        (of_slice('number="1"', '<title>t</title><checks><check type="pray"/></checks>'), "type"),
        (of_slice('number="1"', "<title>t</title><x:after/>"), "Namespace prefix x"),
    ],
)
def test_what_is_not_a_plan_is_refused_with_the_reason(document, why):
    assert 1 == len(read(SLICE_OK, PLAN)["slices"])
    with pytest.raises(Unreadable) as refused:
        read(document, PLAN)

    assert why in refused.value.message


BOMB = b"".join(
    [
        b'<!DOCTYPE goal [<!ENTITY a0 "ha">',
        *(b'<!ENTITY a%d "%s">' % (at, b"&a%d;" % (at - 1) * 10) for at in range(1, 10)),
        b']><goal repo="r"><title>&a9;</title></goal>',
    ]
)


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE goal [<!ENTITY x SYSTEM "file:///etc/passwd">]><goal repo="r"><title>&x;</title></goal>',
        b'<!DOCTYPE goal SYSTEM "http://127.0.0.1:9/goal.dtd"><goal repo="r"><title>t</title></goal>',
        b'<!DOCTYPE goal [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]><goal repo="r"><title>t</title></goal>',
        b"<!DOCTYPE goal>" + SMALLEST,
        BOMB,
    ],
    ids=["a file as an entity", "a document type from elsewhere", "a parameter entity", "a bare type", "a bomb"],
)
def test_a_document_type_is_refused_before_anything_is_expanded_or_fetched(document):
    with pytest.raises(Unreadable, match="a document type is not allowed"):
        read(document, GOAL)


def test_an_inclusion_is_not_followed():
    document = b"""<goal repo="r" xmlns:xi="http://www.w3.org/2001/XInclude">
      <title>t</title><description><xi:include href="file:///etc/passwd" parse="text"/></description></goal>"""

    with pytest.raises(Unreadable):
        read(document, GOAL)


def test_a_schema_that_the_document_names_is_not_used():
    document = b"""<goal repo="r" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
      xsi:noNamespaceSchemaLocation="http://127.0.0.1:9/any.xsd"><title>t</title></goal>"""

    assert {"repo": "r", "title": "t"} == read(document, GOAL)


def test_comments_and_instructions_are_passed_over():
    document = b'<goal repo="r"><!-- a --><?b c?><title>one<!-- two -->, three</title></goal>'

    assert "one, three" == read(document, GOAL)["title"]


def test_a_mark_of_byte_order_and_a_declaration_are_fine():
    document = b'\xef\xbb\xbf<?xml version="1.0" encoding="UTF-8" standalone="yes"?>' + SMALLEST

    assert "Read dates" == read(document, GOAL)["title"]


def test_a_goal_of_the_backlog_as_a_document_says_all_that_was_asked(db):
    first = planning.goal("First")
    made = planning.goal(
        EVIL,
        description=EVIL,
        success_criteria=[EVIL, "two"],
        checks=[{"type": "tests_pass", "target": "auto", "description": "", "timeout_seconds": 120.0}],
        file_hints=[{"path": "a.py", "reason": EVIL}],
        tags=["dates"],
        needs_approval=True,
        submitted_by="ada",
    )
    Dependency.objects.create(goal=made, prerequisite=first)

    document = documents.of_goal(made)
    found = read(document, GOAL)

    assert EVIL == found["title"] == found["description"] == found["success_criteria"][0]
    assert [{"id": first.pk}] == found["depends_on"]
    assert made.pk == found["id"]
    assert {
        "title": EVIL,
        "description": EVIL,
        "repo": "textkit",
        "priority": "normal",
        "needs_approval": True,
        "success_criteria": [EVIL, "two"],
        "verification_steps": [{"type": "tests_pass", "target": "auto", "timeout_seconds": 120.0}],
        "file_hints": [{"path": "a.py", "reason": EVIL}],
        "tags": ["dates"],
        "depends_on": [first.pk],
    } == documents.wanted(document)


def test_a_plan_as_a_document_says_how_far_each_slice_is(db):
    made = planning.goal(status=GoalStatus.EXECUTING, branch="agentcom/goal/1-read-dates")
    one, two, _ = planning.plan(made, {1: [], 2: [1], 3: [1, 2]})
    planning.merged(one)
    planning.handed_in(two)

    found = read(documents.of_plan(made), PLAN)

    assert ["merged", "running", "waiting"] == [each["state"] for each in found["slices"]]
    assert [{"number": 1}, {"number": 2}] == found["slices"][2]["after"]
    assert two.task_id == found["slices"][1]["task"]


def test_a_goal_without_a_plan_has_a_plan_without_slices(db):
    made = planning.goal()

    assert {"goal": made.pk, "repo": "textkit"} == read(documents.of_plan(made), PLAN)


def enumerated(file: str, name: str) -> list[str]:
    """The words that a type of the schema, or an attribute with a type of its own, may be."""
    space = {"xs": "http://www.w3.org/2001/XMLSchema"}
    found = etree.parse(str(schemas()[file])).iterfind(f".//*[@name='{name}']//xs:enumeration", namespaces=space)
    return [str(word.get("value")) for word in found]


def test_a_document_knows_exactly_the_words_that_the_code_knows():
    assert sorted(TIERS) == sorted(enumerated("plan.xsd", "tier"))
    assert sorted(map(str, State)) == sorted(enumerated("plan.xsd", "slice-state"))
    assert sorted(map(str, GoalStatus)) == sorted(enumerated("goal.xsd", "status"))
    assert sorted(map(str, Source)) == sorted(enumerated("goal.xsd", "source"))
    assert sorted(lane.label.lower() for lane in Lane) == sorted(enumerated("goal.xsd", "priority"))
    assert sorted(TYPES) == sorted(enumerated("parts.xsd", "check-type"))
