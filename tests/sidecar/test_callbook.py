"""The book of calls survives whatever happens to the process that keeps it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.callbook import AGAIN_SECONDS, AT_ONCE, CallBook
from sidecar.wire.nouns import ModelCall

ROOT = Path(__file__).resolve().parents[2]


def call(name: str, **more) -> ModelCall:
    return ModelCall(call=name, model="m", at=1, tokens={"input": 100, "output": 50}, **more)


def begun(book: CallBook, *names: str, attempt: int = 7, paid: bool = True) -> None:
    for name in names:
        book.begin(3, attempt, call(name, certain=False), paid=paid)


def due(book: CallBook, now: float = 0.0) -> list[tuple[int, str, bool]]:
    return [(frame.attempt, one.call, one.certain) for frame in book.due(now) for one in frame.calls]


def files(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "calls").iterdir())


def test_a_call_is_owed_from_its_end_until_it_is_settled(tmp_path):
    book = CallBook(tmp_path)
    begun(book, "a", "b")
    while_open = due(book)
    book.end(7, call("a"))
    first, at_once, later = due(book), due(book, AGAIN_SECONDS - 1), due(book, AGAIN_SECONDS)
    book.settled(7, ["a", "unknown"])

    assert ([], [(7, "a", True)], [], [(7, "a", True)]) == (while_open, first, at_once, later)
    assert not book.owes
    assert ["7.jsonl"] == files(tmp_path)


def test_when_nothing_is_open_or_owed_nothing_is_kept(tmp_path):
    book = CallBook(tmp_path)
    begun(book, "a", "b")
    book.end(7, call("a"))
    book.void(7, "b")
    book.settled(7, ["a"])

    assert [] == files(tmp_path)
    assert [] == due(CallBook(tmp_path), 99)


def test_a_later_process_owes_what_this_one_did_and_takes_open_calls_for_the_worst(tmp_path):
    book = CallBook(tmp_path)
    begun(book, "ended", "open", "void", "settled")
    begun(book, "other", attempt=8)
    book.end(7, call("ended"))
    book.end(7, call("settled"))
    book.void(7, "void")
    book.settled(7, ["settled"])
    later = CallBook(tmp_path)

    assert [(7, "ended", True), (7, "open", False), (8, "other", False)] == due(later)
    later.settled(7, ["ended", "open"])
    later.settled(8, ["other"])
    assert [] == files(tmp_path)


def test_a_line_that_a_crash_cut_costs_only_itself(tmp_path):
    book = CallBook(tmp_path)
    begun(book, "a")
    book.end(7, call("a"))
    with (tmp_path / "calls" / "7.jsonl").open("a") as file:
        file.write('{"state": "begun", "task": 3, "ca')

    assert [(7, "a", True)] == due(CallBook(tmp_path))


def test_what_is_written_after_a_line_that_was_cut_is_not_lost_with_it(tmp_path):
    book = CallBook(tmp_path)
    begun(book, "a")
    with (tmp_path / "calls" / "7.jsonl").open("a") as file:
        file.write('{"state": "begun", "task": 3, "ca')
    begun(book, "b")

    assert [(7, "a", False), (7, "b", False)] == due(CallBook(tmp_path))


@pytest.mark.parametrize("name", ["7 (copy).jsonl", "notes.jsonl", "-1.jsonl", ".jsonl"])
def test_a_file_that_is_none_of_its_own_is_left_alone(tmp_path, name):
    begun(CallBook(tmp_path), "a")
    (tmp_path / "calls" / name).write_text("{}")

    assert [(7, "a", False)] == due(CallBook(tmp_path))
    assert name in files(tmp_path)


def test_the_name_of_a_new_file_is_on_the_disk_before_money_is_spent(tmp_path, monkeypatch):
    settled: list[Path] = []
    monkeypatch.setattr("sidecar.callbook.atomic.settle", settled.append)
    book = CallBook(tmp_path)
    begun(book, "a", "b")
    begun(book, "free", attempt=8, paid=False)

    assert [tmp_path / "calls"] == settled


def test_many_calls_go_in_several_frames(tmp_path):
    book = CallBook(tmp_path)
    names = [f"c{number}" for number in range(AT_ONCE + 5)]
    begun(book, *names, paid=False)
    for name in names:
        book.end(7, call(name))
    first, second = due(book), due(book)

    assert (AT_ONCE, 5) == (len(first), len(second))


PROGRAM = """
import os, signal, sys
from pathlib import Path
from sidecar.callbook import CallBook
from sidecar.wire.nouns import ModelCall
book, gap = CallBook(Path(sys.argv[1])), sys.argv[2]
call = ModelCall(call="a", model="m", at=1, tokens={"input": 100}, certain=False)
def here(name):
    if name == gap:
        os.kill(os.getpid(), signal.SIGKILL)
here("before")
book.begin(3, 7, call, paid=True)
here("after the call was begun")
book.end(7, call.model_copy(update={"tokens": {"input": 60}, "certain": True}))
here("after its end")
book.settled(7, ["a"])
here("after it was settled")
"""


@pytest.mark.parametrize(
    ("gap", "left"),
    [
        ("before", []),
        ("after the call was begun", [(100, False)]),
        ("after its end", [(60, True)]),
        ("after it was settled", []),
    ],
)
def test_killed_in_every_gap_the_truth_or_the_worst_is_left(tmp_path, gap, left):
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), gap], cwd=ROOT, check=False)

    found = [(one.tokens["input"], one.certain) for frame in CallBook(tmp_path).due(0) for one in frame.calls]

    assert -9 == done.returncode
    assert left == found
