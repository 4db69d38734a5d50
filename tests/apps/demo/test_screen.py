"""What the demonstration looks like on a terminal."""

from __future__ import annotations

import io

import pytest

from apps.demo.screen import Line, Screen, clip, clock, layout, table

LINE = Line(67.9, "#3", "Double the quotes in a row", "matched with carry-the-one, pushed to it")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.99, "0:59"), (60, "1:00"), (754, "12:34")])
def test_the_clock_shows_minutes_and_seconds(seconds, shown):
    assert shown == clock(seconds)


@pytest.mark.parametrize(("text", "shown"), [("short", "short"), ("a  b\nc", "a b c"), ("much too long", "much too…")])
def test_a_text_is_clipped_to_one_line(text, shown):
    assert shown == clip(text, 9)


def test_a_line_has_time_subject_title_and_what_happened():
    assert ["  1:07  #3  Double the quotes in a row        ✓ matched with carry-the-one, pushed to it"] == layout(
        LINE, 100, "✓"
    )


def test_a_narrow_terminal_keeps_the_number_and_leaves_the_title_out():
    assert ["  1:07  #3    matched with carry-the-one,", "              pushed to it"] == layout(LINE, 42, "")


@pytest.mark.parametrize("width", [40, 60, 80, 90, 100, 200])
def test_no_line_is_wider_than_the_terminal(width):
    long = Line(1, "#12", "A title that is rather long, as titles go in this world", "word " * 60)

    assert all(len(text) <= width for text in layout(long, width, "!"))


def test_a_table_is_aligned_and_gives_way_in_its_first_column():
    rows = [("#1 A long title of a task", "ada", "1"), ("#2 Short", "bob", "12")]

    assert [
        "task               agent  tries",
        "-----------------  -----  -----",
        "#1 A long title …  ada    1",
        "#2 Short           bob    12",
    ] == table(("task", "agent", "tries"), rows, 31)


def test_colour_is_for_terminals_only(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, file = Terminal(), io.StringIO()
    Screen(terminal, width=80).say("well", "good")
    Screen(file, width=80).say("well", "good")

    assert "\x1b[32mwell\x1b[0m\n" == terminal.getvalue()
    assert "well\n" == file.getvalue()


def test_who_wants_no_colour_gets_none(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    Screen(terminal, width=80).say("well", "good")

    assert "well\n" == terminal.getvalue()


def test_a_terminal_without_ticks_gets_plain_signs():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    screen = Screen(stream, width=80)
    screen.verdict(True, "it held")
    screen.verdict(False, "it did not", "“why”")

    assert "  + it held\n  x it did not\n      ?why?\n" == raw.getvalue().decode("ascii")
