"""Keeping a talk within a model's context: what is masked, when, and what never is."""

from __future__ import annotations

from sidecar.agent.context import Context, characters
from sidecar.agent.talk import Call, Observed, RawCall, Reply, Request, Said, Told, Turn, Usage
from sidecar.agent.tools.specs import SPECS

TASK = Told(text="Mend app.py.")


def talk(context, observations, *, size):
    """The task, and so many calls with an observation of `size` characters each."""
    turns: list[Turn] = [TASK]
    for number in range(observations):
        call = Call(name="read_file", arguments={"path": f"{number}.py"}, id=f"call_{number}")
        turns.append(Said(reply=Reply(text="I look."), calls=(call,)))
        context.brief(len(turns), f"[read {number}.py]")
        turns.append(Observed(call=call, text=f"{number} ".ljust(size, "x")))
    return turns


def asked(turns, tools=()):
    return Request(system="Work.", turns=turns, tools=tools, max_tokens=1_000)


def masked(request):
    return [len(turn.text) < 20 for turn in request.turns if isinstance(turn, Observed)]


def test_nothing_is_masked_while_there_is_room():
    context = Context(16_384, 4_096)
    turns = talk(context, 10, size=1_000)

    fitted = context.fit(asked(turns))

    assert turns == fitted.turns
    assert context.fits(fitted)


def test_a_filling_context_loses_old_observations_and_never_the_last_four():
    context = Context(16_384, 4_096)

    fitted = context.fit(asked(talk(context, 8, size=4_000)))

    assert [True] * 4 + [False] * 4 == masked(fitted)
    assert "[read 0.py]" == next(turn.text for turn in fitted.turns if isinstance(turn, Observed))
    assert context.fits(fitted)


def test_a_small_context_is_kept_emptier():
    large, small = Context(16_384, 4_096), Context(8_192, 1_024)
    size = 1_500  # six of them are half of the small one's room, and a quarter of the large one's

    assert not any(masked(large.fit(asked(talk(large, 6, size=size)))))
    assert [True, True, False, False, False, False] == masked(small.fit(asked(talk(small, 6, size=size))))


def test_the_task_and_all_that_was_said_stay_as_they_are():
    context = Context(16_384, 4_096)
    turns = talk(context, 12, size=4_000)

    fitted = context.fit(asked(turns))

    kept = [turn for turn in turns if not isinstance(turn, Observed)]
    assert kept == [turn for turn in fitted.turns if not isinstance(turn, Observed)]
    assert [turn.call for turn in turns if isinstance(turn, Observed)] == [
        turn.call for turn in fitted.turns if isinstance(turn, Observed)
    ]


def test_what_is_masked_stays_so_and_the_beginning_of_the_talk_changes_only_when_more_is():
    context = Context(16_384, 4_096)
    turns = talk(context, 30, size=2_000)
    changes = 0
    before: list[Turn] = []
    for end in range(3, len(turns) + 1, 2):
        now = list(context.fit(asked(turns[:end])).turns)
        changes += before != now[: len(before)]
        assert [True] * sum(masked(asked(now))) == masked(asked(now))[: sum(masked(asked(now)))]  # the oldest first
        before = now

    assert 0 < changes < 10  # not with every step: then no prefix cache would ever hold


def test_a_request_that_the_server_found_too_long_keeps_only_the_last_observation():
    context = Context(16_384, 4_096)
    turns = talk(context, 5, size=100)

    assert not any(masked(context.fit(asked(turns))))
    assert [True] * 4 + [False] == masked(context.fit(asked(turns), less=True))
    assert [True] * 4 + [False] == masked(context.fit(asked(turns)))


def test_when_all_is_masked_that_can_be_it_says_that_it_does_not_fit():
    context = Context(4_096, 1_024)

    fitted = context.fit(asked(talk(context, 3, size=20_000)), less=True)

    assert [True, True, False] == masked(fitted)
    assert not context.fits(fitted)


def test_a_measured_prompt_says_how_long_a_token_is():
    context = Context(16_384, 4_096)
    request = asked([Told(text="x" * 9_000)], SPECS)
    guess = context.tokens(request)

    context.learn(request, Usage(input=1_000, cache_read=4_000))

    assert guess < 5_000 == context.tokens(request)


def test_what_was_estimated_or_is_absurd_teaches_nothing_wild():
    context = Context(16_384, 4_096)
    request = asked([Told(text="x" * 9_000)])
    guess = context.tokens(request)

    context.learn(request, Usage(input=1, measured=False))
    context.learn(request, Usage(input=20))

    assert guess == context.tokens(request)

    context.learn(request, Usage(input=201))

    assert round(characters(request) / 6) == context.tokens(request)

    context.learn(request, Usage(input=1_000_000))

    assert round(characters(request) / 1.5) == context.tokens(request)


def test_tools_words_and_calls_all_count():
    call = Call(name="write_file", arguments={"path": "a", "content": "x" * 500})
    bare = characters(asked([TASK]))

    assert characters(asked([TASK], SPECS)) > bare + 900
    assert characters(asked([TASK, Said(reply=Reply(text=""), calls=(call,))])) > bare + 500
    assert characters(asked([TASK, Said(reply=Reply(text="y" * 300, calls=(RawCall(name="a", arguments={}),)))])) > (
        bare + 300
    )
