"""Which place of a text is meant, and when nobody can say."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sidecar.agent.tools.matching import Ambiguous, NoMatch, replaced

CLASS = """class Cart:
    def add(self, item):
        self.items.append(item)
        return self

    def total(self):
        return sum(item.price for item in self.items)
"""

FOUND = {
    "a part of a line": ("a = 1\nb = 2\n", "1", "3", "a = 3\nb = 2\n", "exactly"),
    "whole lines": ("a\nb\nc\n", "b\n", "x\ny\n", "a\nx\ny\nc\n", "exactly"),
    "a deletion": ("a\nb\nc\n", "b\n", "", "a\nc\n", "exactly"),
    "an empty text": ("", "", "a\n", "a\n", "exactly"),
    "trailing space in the text": ("a  \nb\t\nc\n", "a\nb", "x", "x\nc\n", "without trailing space"),
    "trailing space in old": ("a\nb\nc\n", "a \nb ", "x", "x\nc\n", "without trailing space"),
    "the last line without a newline": ("a \nb", "a\nb\n", "x\n", "x", "without trailing space"),
    "lines to delete": ("a \nb\nc\n", "a\nb", "", "c\n", "without trailing space"),
    "indented less than the text": (
        CLASS,
        "def total(self):\n    return sum(item.price for item in self.items)\n",
        "def total(self):\n    prices = [item.price for item in self.items]\n    return sum(prices)\n",
        CLASS.replace(
            "        return sum(item.price for item in self.items)\n",
            "        prices = [item.price for item in self.items]\n        return sum(prices)\n",
        ),
        "by another indentation",
    ),
    "indented more than the text": (
        "def f():\n    if x:\n        return 1\n",
        "        if x:\n            return 1\n",
        "        if y:\n            return 2\n",
        "def f():\n    if y:\n        return 2\n",
        "by another indentation",
    ),
    "a blank line within keeps its emptiness": (
        "  if x:\n    a()\n\n    b()\n",
        "if x:\n  a()\n\n  b()",
        "if y:\n  a()\n\n  b()",
        "  if y:\n    a()\n\n    b()\n",
        "by another indentation",
    ),
    "a slip in one of several lines": (
        CLASS,
        "    def total(self):\n        return sum(items.price for item in self.items)\n",
        "    def total(self):\n        return 0\n",
        CLASS.replace("sum(item.price for item in self.items)", "0"),
        "as nearly the same",
    ),
    "a slip and another indentation": (
        CLASS,
        "def total(self):\n    return sum(items.price for item in self.items)\n",
        "def total(self):\n    return 0\n",
        CLASS.replace("sum(item.price for item in self.items)", "0"),
        "as nearly the same",
    ),
}


@pytest.mark.parametrize(("text", "old", "new", "expected", "how"), FOUND.values(), ids=FOUND)
def test_one_place_is_found_as_strictly_as_can_be(text, old, new, expected, how):
    edit = replaced(text, old, new)

    assert (expected, how) == (edit.text, edit.how)


def test_it_says_which_lines_are_new():
    edit = replaced("a\nb\nc\n", "b\n", "x\ny\n")

    assert (2, 3, "") == (edit.first, edit.last, edit.was)


def test_of_a_place_that_was_only_similar_it_says_what_stood_there():
    edit = replaced(
        CLASS, "    def total(self) :\n        return sum(item.price for item in self.items)\n", "    pass\n"
    )

    assert "    def total(self):\n        return sum(item.price for item in self.items)" == edit.was


MANY = {
    "the same line twice": ("a\nb\na\n", "a\n", [1, 3]),
    "overlapping itself": ("aaa", "aa", [1, 1]),
    "trailing space at both": ("a \nb\nc\na\t\nb\n", "a\nb", [1, 4]),
    "two indentations": ("  if x:\n    y()\nz\n    if x:\n      y()\n", "if x:\n  y()", [1, 4]),
    "two that are alike": (
        "value = compute_the_total(first_basket)\n\nvalue = compute_the_total(first_baskets)\n",
        "value = compute_the_totals(first_basket)",
        [1, 3],
    ),
}


@pytest.mark.parametrize(("text", "old", "lines"), MANY.values(), ids=MANY)
def test_of_several_places_none_is_chosen(text, old, lines):
    with pytest.raises(Ambiguous) as many:
        replaced(text, old, "x")

    assert lines == many.value.lines


def test_more_places_than_anybody_looks_at_are_still_too_many():
    with pytest.raises(Ambiguous):
        replaced("  x = (\n\ty\n" * 200 + "  x = (\n  y\n", "x = (\ny\n", "z")


NOT_THERE = {
    "nothing like it": ("a\nb\n", "something else entirely", (0, 0)),
    "nothing at all": ("a\nb\n", "\n\n\n", (0, 0)),
    "an empty old": ("a\n", "", (0, 0)),
    "one line is another altogether": (
        "}\n" + CLASS,
        "x\nclass Cart:\n    def add(self, item):\n        self.items.append(item)\n",
        (1, 9),
    ),
    "a blank line is none in the text": ("x\n" + CLASS, "\nclass Cart:\n    def add(self, it):\n", (1, 9)),
    "indented unevenly": (
        "def f():\n    a_long_call(1)\n    b_long_call(2)\n",
        "a_long_call(1)\n  b_long_call(2)\n",
        (1, 4),
    ),
}


@pytest.mark.parametrize(("text", "old", "near"), NOT_THERE.values(), ids=NOT_THERE)
def test_what_is_not_there_is_not_replaced(text, old, near):
    with pytest.raises(NoMatch) as miss:
        replaced(text, old, "new")

    assert near == (miss.value.first, miss.value.last)


def test_a_miss_points_at_the_twelve_lines_that_share_most():
    text = "".join(f"line {number}\n" for number in range(100)) + CLASS

    with pytest.raises(NoMatch) as miss:
        replaced(text, "    def total(self):\n        return 0\n    # and nothing more than that\n", "new")

    assert (97, 108) == (miss.value.first, miss.value.last)


@pytest.mark.parametrize(
    ("text", "old"),
    [
        ("".join(f"{'ab' * 140}{n}\n" for n in range(3_000)), "ba" * 141 + "\nnothing"),
        ("a\n" * 500_000, "a\n" * 250_000 + "b\n"),
        ("a" * 1_000_000, "a" * 500_000 + "b"),
        (" a\n" * 300_000, "a\nb\n" * 100),
    ],
    ids=["lines that are hard to compare", "lines that repeat", "one long line", "shifted lines that repeat"],
)
def test_texts_made_to_take_long_are_given_up(text, old):
    with pytest.raises(NoMatch):
        replaced(text, old, "new")


words = st.text(alphabet="ab \t\n", max_size=40)


@given(words, words.filter(bool), words, words)
def test_an_exact_and_unique_place_is_replaced_and_nothing_else(before, old, after, new):
    text = before + old + after
    first = text.find(old)
    assume(text.find(old, first + 1) < 0)

    assert text.replace(old, new, 1) == replaced(text, old, new).text


@given(words, words, words)
def test_whatever_is_asked_lines_outside_the_place_stay(text, old, new):
    try:
        edit = replaced(text, old, new)
    except (Ambiguous, NoMatch):
        return
    kept = text.split("\n")[: edit.first - 1]

    assert kept == edit.text.split("\n")[: edit.first - 1]
