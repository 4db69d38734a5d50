"""How demanding a task is guessed to be: whole words, and a tag wins."""

from __future__ import annotations

import pytest

from apps.tasks.complexity import Tier, classify

T = Tier


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("Fix typo in the readme", T.TRIVIAL),
        ("Bump version to 2", T.TRIVIAL),
        ("format the code", T.TRIVIAL),
        ("Show more information on the platform page", T.STANDARD),
        ("The formatter loses a line", T.STANDARD),
        ("reformatting is slow", T.STANDARD),
        ("Splint the linter", T.STANDARD),
        ("Renamed files are shown twice", T.STANDARD),
        ("Refactor the parser", T.COMPLEX),
        ("Write a migration", T.COMPLEX),
        ("SECURITY: check the token", T.COMPLEX),
        ("insecurity of prerefactored code", T.STANDARD),
        ("Rename the module and redesign its interface", T.COMPLEX),
        ("Do it", T.STANDARD),
        ("", T.UNKNOWN),
        (" \n ", T.UNKNOWN),
    ],
)
def test_telling_words_are_whole_words(text: str, tier: Tier) -> None:
    assert tier is classify(text).tier


@pytest.mark.parametrize("tag", list(Tier))
def test_a_tag_wins_over_every_word(tag: Tier) -> None:
    guess = classify("Refactor, fix typo, migrate", tag=tag.value)

    assert (tag, 1.0, True) == (guess.tier, guess.confidence, guess.explicit)


def test_many_files_or_checks_are_never_trivial() -> None:
    assert T.TRIVIAL is not classify("fix typo", files=4).tier
    assert T.TRIVIAL is not classify("fix typo", checks=4).tier
    assert T.COMPLEX is classify("word " * 60, files=5, checks=1).tier


@pytest.mark.parametrize("text", ["fix typo", "refactor " + "word " * 80, "anything", ""])
def test_a_guess_says_why_and_how_sure_it_is(text: str) -> None:
    guess = classify(text, files=5, checks=5)

    assert 0 <= guess.confidence <= 1
    assert guess.reason


def test_an_unknown_tag_is_an_error() -> None:
    with pytest.raises(ValueError, match="huge"):
        classify("anything", tag="huge")
