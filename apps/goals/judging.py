"""Whether a goal is reached, as a model judges it: what it is shown, and when its verdict is believed. Pure.

A verdict is believed only when it goes through every criterion and, for each that it says is met, points at something
that is really there: a file that was changed, or a check that was run.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from apps.goals.answers import Fault, named, read_object, storable, what_is_wrong
from apps.goals.references import Shelf, foreign_in, outside_in

MOST_GAPS = 8
_ITEMS = {"criteria": "criterion", "gaps": "gap"}
_LINE = re.compile(r"(?::\d+(?:-\d+)?|#L\d+(?:-L?\d+)?|\s*\(?lines? \d+(?:\s?-\s?\d+)?\)?)\Z", re.IGNORECASE)
_AND = re.compile(r"\s*[,;]\s*|\s+and\s+")


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that the goal's work changed, with its patch as far as it is known."""

    path: str
    added: int = 0
    deleted: int = 0
    patch: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A check that was run on the combined work: its name, how it ended, and the end of what it printed."""

    name: str
    status: str
    output: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """A slice of the goal, and what its agent said of its work."""

    title: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was really done for a goal: the changed files of the combined work, its checks, and the slices' reports."""

    files: tuple[Changed, ...]
    checks: tuple[Proof, ...] = ()
    slices: tuple[Done, ...] = ()

    @property
    def citable(self) -> frozenset[str]:
        """What a verdict may point at."""
        return frozenset(file.path for file in self.files) | frozenset(proof.name for proof in self.checks)


def check_name(type: str, target: str = "") -> str:  # noqa: A002 - what a check calls it
    """What a check is called in evidence, and cited by."""
    return " ".join(f"{type} {target}".split())[:100]


@dataclass(frozen=True, slots=True)
class Gap:
    """What is still missing; severity is `critical` or `minor`."""

    description: str
    severity: str = "minor"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judgement that can be believed. `criteria` has, for each in order, whether it is met and what shows it."""

    passed: bool
    reason: str
    criteria: tuple[tuple[bool, str], ...] = ()
    gaps: tuple[Gap, ...] = ()


# --- the form ---------------------------------------------------------------------------------------------------------


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _joined(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value


_STORABLE = AfterValidator(storable)
_Where = Annotated[str, BeforeValidator(_joined), StringConstraints(max_length=1_000, strip_whitespace=True), _STORABLE]
_Reason = Annotated[str, StringConstraints(min_length=1, max_length=4_000, strip_whitespace=True), _STORABLE]
_Missing = Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True), _STORABLE]


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Criterion(_Form):
    number: Annotated[int, Field(ge=0)] = 0
    met: bool
    where: _Where = ""


class _Gap(_Form):
    description: _Missing
    severity: Annotated[Literal["critical", "minor"], BeforeValidator(_lower)] = "minor"


class _Answer(_Form):
    criteria: Annotated[list[_Criterion], Field(max_length=100)]
    verdict: Annotated[Literal["pass", "fail"], BeforeValidator(_lower)]
    reason: _Reason
    gaps: Annotated[list[_Gap], Field(max_length=MOST_GAPS)] = []


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "criteria": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "number": {"type": "integer"},
                    "where": {"type": "string"},
                    "met": {"type": "boolean"},
                },
                "required": ["number", "where", "met"],
            },
        },
        "gaps": {
            "type": "array",
            "maxItems": MOST_GAPS,
            "items": {
                "type": "object",
                "properties": {
                    "description": {"type": "string"},
                    "severity": {"type": "string", "enum": ["critical", "minor"]},
                },
                "required": ["description", "severity"],
            },
        },
        "reason": {"type": "string"},
        "verdict": {"type": "string", "enum": ["pass", "fail"]},
    },
    "required": ["criteria", "gaps", "reason", "verdict"],
}
"""In this order the verdict comes last, when everything that it follows from has been said."""


# --- reading ----------------------------------------------------------------------------------------------------------


def read(text: str, *, criteria: int, citable: Collection[str], repo: str) -> Verdict:
    """The verdict in a model's answer about a goal with so many criteria, which may point at what is `citable`.

    A gap becomes work, so it may name no other repository than the one with the slug `repo`, and no place outside.
    Raises Fault: not_json, schema, verdict, criteria, where, gaps or foreign.
    """
    document = read_object(text, keys=("verdict", "criteria"))
    try:
        form = _Answer.model_validate(document)
    except ValidationError as error:
        raise Fault(_kind(error), what_is_wrong(error, names=_ITEMS)) from None
    found = _in_order(form.criteria, criteria)
    shown = tuple((one.met, _shown(number, one, citable)) for number, one in enumerate(found, start=1))
    gaps = tuple(Gap(gap.description, gap.severity) for gap in form.gaps)
    passed = form.verdict == "pass"
    _no_contradiction(passed, shown, gaps)
    _stay_here(gaps, repo, Shelf(citable))
    return Verdict(passed=passed, reason=form.reason, criteria=shown, gaps=gaps)


def _kind(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if fault["loc"] == ("gaps",) and fault["type"] == "too_long":
        return "gaps"
    return "verdict" if fault["loc"] == ("verdict",) else "schema"


def _in_order(given: list[_Criterion], count: int) -> list[_Criterion]:
    """The criteria from 1 to `count`; without any numbers they are taken in the order in which they stand."""
    if not any(one.number for one in given) and len(given) == count:
        return given
    known = {one.number: one for one in given}
    if len(known) != len(given):
        raise Fault("criteria", "A criterion is judged twice; each is judged once, by its number.")
    if left_out := [str(number) for number in range(1, count + 1) if number not in known]:
        raise Fault("criteria", f"These criteria are left out: {', '.join(left_out)}. There are {count}.")
    if unknown := [str(number) for number in known if not 1 <= number <= count]:
        raise Fault("criteria", f"There is no criterion {named(unknown[0])}; there are {count}.")
    return [known[number] for number in range(1, count + 1)]


def _shown(number: int, one: _Criterion, citable: Collection[str]) -> str:
    """What shows that the criterion is met. What is not met may point at nothing, or nowhere."""
    cited = _cited(one.where, citable)
    if not one.met:
        return ", ".join(path for path in cited or () if path)
    if not one.where:
        raise Fault("where", f"Criterion {number} is said to be met, but not where that can be seen.")
    if cited is None:
        raise Fault(
            "where", f"Criterion {number} points at {named(one.where)}: neither a changed file nor the name of a check."
        )
    return ", ".join(cited)


def _cited(where: str, citable: Collection[str]) -> list[str] | None:
    """Each thing that `where` names, if all of them are really there."""
    if known := _known(where, citable):
        return [known]
    found = [_known(part, citable) for part in _AND.split(" ".join(where.split())) if part]
    return found if found and all(found) else None


def _known(name: str, citable: Collection[str]) -> str:
    bare = " ".join(name.split()).rstrip(".").strip("`'\"* ")
    for candidate in (name, bare, _LINE.sub("", bare).strip("`'\"* ")):
        if candidate and candidate in citable:
            return candidate
    return ""


def _stay_here(gaps: tuple[Gap, ...], repo: str, shelf: Shelf) -> None:
    for number, gap in enumerate(gaps, start=1):
        if found := foreign_in(gap.description, repo=repo, shelf=shelf) or outside_in(gap.description):
            raise Fault("foreign", f"Gap {number} names {named(found)}: only the repository {repo} may be worked on.")


def _no_contradiction(passed: bool, criteria: tuple[tuple[bool, str], ...], gaps: tuple[Gap, ...]) -> None:
    unmet = [str(number) for number, (met, _) in enumerate(criteria, start=1) if not met]
    if passed and unmet:
        raise Fault("verdict", f"The verdict is pass, although these criteria are not met: {', '.join(unmet)}.")
    if passed and any(gap.severity == "critical" for gap in gaps):
        raise Fault("verdict", "The verdict is pass, although a gap is critical.")
    if not passed and not gaps:
        raise Fault("gaps", "The verdict is fail, but no gap says what is missing.")
