"""What a usage costs under the price of its day. Whole micro-USD, rounded half up once for each call. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from apps.events.refused import Invalid, Refused

CLASSES = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
MILLION = 1_000_000
MOST_TOKENS = 1_000_000_000
"""Of one class in one call; more is a mistake or a lie."""
LONGEST_MODEL = 240
"""Characters of a model's id, with the executor's name before it."""
LONGEST_MS = 7 * 24 * 3600 * 1000
"""A week, in milliseconds: no call takes longer, and any number of such durations can be added up."""
MOST_RATE = 10**12
"""Micro-USD for a million tokens: a dollar for each token. Any number of calls at it can be added up."""
ANY = "*"
STALE_DAYS = 90


class Unpriced(Refused):
    """There is no price for {model}; an operator has to enter it, or declare the model free."""

    def __init__(self, model: str) -> None:
        super().__init__("price_unknown", model=model)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens by class; `input` are those neither read from a cache nor written to one. Raises Invalid for nonsense."""

    input: int = 0
    output: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    cache_read: int = 0

    def __post_init__(self) -> None:
        for name in CLASSES:
            count = getattr(self, name)
            if type(count) is not int or not 0 <= count <= MOST_TOKENS:
                raise Invalid("usage", f"{name} is a whole number of tokens from 0 to {MOST_TOKENS}.")

    @property
    def prompt(self) -> int:
        """All that the model had to read."""
        return self.tokens - self.output

    @property
    def tokens(self) -> int:
        """All tokens of all classes."""
        return sum(getattr(self, name) for name in CLASSES)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The most that a call may use: tokens of the prompt, and the limit of its output.

    Unless the prompt was `counted` by the provider itself, its band is unclear, and the dearest one is assumed.
    """

    prompt: int
    output: int
    counted: bool = False

    def __post_init__(self) -> None:
        self.usage  # noqa: B018  the same numbers are nonsense here

    @property
    def usage(self) -> Usage:
        """The estimate as if it had been used."""
        return Usage(input=self.prompt, output=self.output)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One price: micro-USD per million tokens of each class, for prompts of more than `prompt_over` tokens.

    A `model` that ends in `*` holds for every model that begins like it and has no price of its own.
    """

    id: int
    model: str
    effective_from: date
    prompt_over: int
    input: int
    output: int
    cache_write_5m: int
    cache_write_1h: int
    cache_read: int


def price_for(rows: Iterable[Row], model: str, on: date) -> tuple[Row, ...]:
    """The bands of the newest price of `model` in effect on that day, the lowest first; Unpriced when there is none.

    The model's own price goes before a pattern, and a longer pattern before a shorter one.
    """
    effective = [row for row in rows if row.effective_from <= on and fits(row.model, model)]
    if not effective:
        raise Unpriced(model)
    newest = max(effective, key=lambda row: (row.model == model, len(row.model), row.effective_from))
    return bands_of(effective, newest)


def bands_of(rows: Iterable[Row], one: Row) -> tuple[Row, ...]:
    """All bands of the price that `one` belongs to, the lowest first; Unpriced when no prompt is short enough."""
    same = [row for row in rows if (row.model, row.effective_from) == (one.model, one.effective_from)]
    bands = tuple(sorted(same, key=lambda row: row.prompt_over))
    if bands[0].prompt_over:
        raise Unpriced(one.model)
    return bands


def band(bands: Sequence[Row], prompt: int) -> Row:
    """The one that a prompt of so many tokens falls in; a band begins one token above its `prompt_over`."""
    return [row for row in bands if prompt > row.prompt_over or row is bands[0]][-1]


def is_free(bands: Iterable[Row]) -> bool:
    """Whether no call can cost any money."""
    return not any(getattr(row, name) for row in bands for name in CLASSES)


def cost(row: Row, usage: Usage) -> int:
    """Micro-USD for one call."""
    return _rounded(_sum(row, usage))


def most(bands: Sequence[Row], estimate: Estimate) -> tuple[int, Row]:
    """The most that a call can cost, in micro-USD, and the band that says so: the prompt at its dearest class."""
    return worst([band(bands, estimate.prompt)] if estimate.counted else bands, estimate.usage)


def worst(bands: Sequence[Row], usage: Usage) -> tuple[int, Row]:
    """The most that a usage which is not certain can have cost, in micro-USD, and the band that says so.

    `input` may have been of any class of prompt tokens; of the others it is known which they are.
    """
    priced = [(_rounded(_sum(row, usage) + usage.input * (_dearest(row) - row.input)), row) for row in bands]
    return max(priced, key=lambda pair: pair[0])


def fits(pattern: str, model: str) -> bool:
    """Whether the price of `pattern` is one of `model`."""
    return pattern == model or (pattern.endswith(ANY) and model.startswith(pattern.removesuffix(ANY)))


def dollars(micro: int) -> str:
    """Micro-USD for people: two to six decimals, none of them rounded away."""
    whole, rest = divmod(abs(micro), MILLION)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micro < 0 else ''}${whole:,}.{decimals}"


def milliseconds(said: int) -> int:
    """How long a call took, of what somebody says about it."""
    return max(0, min(said, LONGEST_MS))


def is_stale(verified_on: date | None, today: date) -> bool:
    """Whether nobody has looked at the provider's price list for too long."""
    return verified_on is None or (today - verified_on).days > STALE_DAYS


def _sum(row: Row, usage: Usage) -> int:
    return sum(getattr(usage, name) * getattr(row, name) for name in CLASSES)


def _dearest(row: Row) -> int:
    return max(row.input, row.cache_write_5m, row.cache_write_1h, row.cache_read)


def _rounded(millionths: int) -> int:
    return (millionths + MILLION // 2) // MILLION
