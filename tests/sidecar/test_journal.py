"""What is on disk after each step, and after damage."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sidecar.journal import Journal, RootLock, RootTaken
from sidecar.wire import messages
from sidecar.wire.nouns import Error
from tests.sidecar.hub import assignment


def report(attempt=1):
    return messages.TaskFailed(task=1, attempt=attempt, error=Error(code="command_failed", message="no"))


def test_an_entry_goes_from_accepted_to_running_to_reported_and_away(tmp_path):
    journal = Journal(tmp_path)
    states = []
    for step in (
        lambda: journal.keep(assignment()),
        lambda: journal.started(assignment()),
        lambda: journal.report(report()),
    ):
        step()
        states += [entry.state for entry in Journal(tmp_path).load()]
    reported = journal.load()[0].report
    journal.forget(1)

    assert ["accepted", "running", "reported"] == states
    assert report() == reported
    assert [] == journal.load()


def test_an_assignment_is_read_back_whole(tmp_path):
    frame = assignment("echo 'ü\u2028'", attempt=12)
    Journal(tmp_path).keep(frame)

    assert [frame] == [entry.assign for entry in Journal(tmp_path).load()]


def test_entries_are_read_in_the_order_of_their_attempts(tmp_path):
    journal = Journal(tmp_path)
    for attempt in (10, 9, 100):
        journal.report(report(attempt))

    assert [9, 10, 100] == [entry.attempt for entry in journal.load()]


def test_entries_are_for_their_owner_only(tmp_path):
    Journal(tmp_path).report(report())

    assert 0o600 == (tmp_path / "journal" / "1.json").stat().st_mode & 0o777
    assert 0o700 == (tmp_path / "journal").stat().st_mode & 0o777


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"state":"reported","task":1,"attempt":1}', b"\xff\x00"])
def test_a_damaged_entry_is_moved_aside_and_the_others_are_read(tmp_path, damage):
    journal = Journal(tmp_path)
    journal.report(report(2))
    (tmp_path / "journal" / "1.json").write_bytes(damage)

    assert [2] == [entry.attempt for entry in journal.load()]
    (aside,) = (tmp_path / "journal").glob("1.json.damaged-*")
    assert damage == aside.read_bytes()


def test_a_file_that_was_half_written_when_the_process_died_is_cleared_away(tmp_path):
    journal = Journal(tmp_path)
    journal.report(report())
    (tmp_path / "journal" / ".1.json.99.new").write_text('{"sta')

    assert [1] == [entry.attempt for entry in journal.load()]
    assert ["1.json"] == [path.name for path in (tmp_path / "journal").iterdir()]


def test_forgetting_twice_is_fine(tmp_path):
    journal = Journal(tmp_path)
    journal.forget(1)

    assert [] == journal.load()


def test_a_root_has_one_sidecar_and_names_it(tmp_path):
    first = RootLock(tmp_path)

    with pytest.raises(RootTaken, match=str(os.getpid())):
        RootLock(tmp_path)
    assert os.getpid() == RootLock.holder(tmp_path)

    first.release()
    assert RootLock.holder(tmp_path) is None
    RootLock(tmp_path).release()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    code = "import sys, os; from pathlib import Path; from sidecar.journal import RootLock; "
    code += "lock = RootLock(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)

    RootLock(tmp_path).release()
