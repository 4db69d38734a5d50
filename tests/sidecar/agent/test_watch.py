"""Going round in circles: what is noticed, and what honest work does not set off."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.agent.talk import Call
from sidecar.agent.watch import Watch


def read(path="app.py", text="1\tx = 1"):
    return Call(name="read_file", arguments={"path": path}), {"path": path, "text": text}


def ran(command="make test", output="", seconds=0.1):
    return Call(name="run_command", arguments={"command": command}), {"output": output, "seconds": seconds}


def edited(path="app.py", **verify):
    data: dict[str, Any] = {"path": path, "verify": verify}
    return Call(name="edit_file", arguments={"path": path, "old": "a", "new": "b"}), data


def told(steps, *, changed=False, failure=""):
    """What the watch says to each of `steps`."""
    watch = Watch()
    return [watch.note(call, data, changed=changed, failure=failure) for call, data in steps]


def test_the_same_call_with_the_same_result_is_noticed_the_third_time():
    said = told([ran(), read(), ran(), read("b.py"), ran()])

    assert ["", "", "", ""] == said[:4]
    assert "this very call 3 times" in said[4]


def test_the_same_call_with_another_result_is_progress():
    assert not any(told([ran(output=str(number)) for number in range(9)]))


def test_how_long_it_took_does_not_make_it_another_result():
    assert told([ran(seconds=seconds) for seconds in (0.1, 0.2, 1.3)])[-1]
    assert told([edited(seconds=seconds, output="ok") for seconds in (0.1, 0.2, 1.3)], changed=True)[-1]


def test_the_order_of_arguments_does_not_make_it_another_call():
    first = Call(name="search_files", arguments={"pattern": "x", "path": "."})
    second = Call(name="search_files", arguments={"path": ".", "pattern": "x"})

    assert told([(call, {"matches": []}) for call in (first, second, first)])[-1]


def test_back_and_forth_is_noticed_though_the_results_differ():
    steps = [ran(command, output=str(number)) for number, command in enumerate(["a", "b"] * 3)]

    said = told(steps)

    assert not any(said[:5])
    assert "back and forth between two calls" in said[5]


def test_two_calls_in_turn_with_a_third_between_are_no_back_and_forth():
    steps = [
        ran(command, output=str(number)) for number, command in enumerate(["a", "b", "a", "b", "a", "c", "a", "b"])
    ]

    assert not any(told(steps))


def test_reading_again_what_was_read_is_noticed_the_sixth_time():
    paths = [f"{number}.py" for number in range(6)]
    said = told([read(path) for path in paths * 2])

    assert not any(said[:11])
    assert "You read again" in said[11]


def test_reading_new_places_is_how_one_finds_the_way():
    assert not any(told([read(f"{number}.py") for number in range(30)]))


def test_after_a_change_everything_is_worth_reading_again():
    watch = Watch()
    paths = [f"{number}.py" for number in range(6)]
    for version in range(4):
        for path in paths:
            call, data = read(path, text=str(version))
            assert not watch.note(call, data, changed=False)
        call, data = edited(paths[version])
        assert not watch.note(call, data, changed=True)


def test_what_was_read_again_before_a_change_does_not_count_after_it():
    watch = Watch()
    rereading = [read(f"{number}.py") for number in range(5)] * 2

    before = [watch.note(*step, changed=False) for step in rereading]
    changed = watch.note(*edited(), changed=True)
    after = [watch.note(call, {**data, "text": "new"}, changed=False) for call, data in rereading]

    assert not any([*before, changed, *after])


@pytest.mark.parametrize("kind", ["command", "edit"])
def test_the_same_failure_is_noticed_the_fourth_time_whatever_was_tried(kind):
    steps = [ran(f"try {number}") if kind == "command" else edited(f"{number}.py") for number in range(4)]

    said = told(steps, changed=kind == "edit", failure="AssertionError: # != #")

    assert not any(said[:3])
    assert "failed four times" in said[3]


def test_different_failures_are_progress():
    watch = Watch()

    assert not any(watch.note(*ran(f"try {number}"), changed=False, failure=f"{number % 3}") for number in range(9))


def test_after_its_advice_it_begins_anew():
    said = told([ran()] * 6)

    assert [False, False, True, False, False, True] == [bool(advice) for advice in said]


def test_results_of_any_shape_are_taken():
    odd = {"bytes": b"\xff", "none": None, "nested": {"seconds": {1, 2}}, "half": "\ud800"}

    assert told([(Call(name="run_command", arguments={}), odd)] * 3)[-1]
