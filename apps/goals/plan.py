"""A plan: the slices that a goal is cut into, and whether an answer of a model is one that can be carried out. Pure.

Nothing of an answer is believed: it is read by a schema, its slices may wait for each other only without a circle, and
whatever it names must be in the repository, or be declared as new.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from apps.goals import order
from apps.goals.answers import Fault, named, read_object, storable, what_is_wrong
from apps.goals.planned_files import grounded
from apps.goals.references import LONGEST_PATH, Shelf, foreign_in

MOST_SLICES = 8
MOST_CHECKS = 6
MOST_CHECKS_IN_ALL = 30
"""Different ones: with those of the goal (repos/checks.py) they are repeated by one task in the end, which has 50."""
MOST_CRITERIA = 10
MOST_FILES = 20
LONGEST_CHECK = 3_600.0
"""Seconds that one check of a slice may take."""
TIERS = ("trivial", "standard", "complex")
CHECKS = ("file_exists", "command_succeeds", "tests_pass", "diff_contains", "no_secrets", "git_clean")
_NEEDS_TARGET = {"file_exists": "a path", "command_succeeds": "a command", "diff_contains": "a text"}
_NO_TARGET = frozenset(("no_secrets", "git_clean"))
_REPO_FIELDS = ("repo", "repository", "repos")
_ELSEWHERE_FIELDS = (
    "url", "clone", "clone_url", "remote", "origin", "upstream", "branch", "base", "ref", "commit", "repo_url",
)  # fmt: skip
_ITEMS = {"slices": "slice", "checks": "check", "success_criteria": "criterion", "after": "after", "files": "file"}


@dataclass(frozen=True, slots=True)
class PlannedCheck:
    """One mechanical proof of a slice, as a task takes it."""

    type: str
    target: str = ""
    description: str = ""
    timeout_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """One piece of a plan. `files` exist or are made by a slice before it; `after` are numbers of slices, from 1."""

    title: str
    description: str
    success_criteria: tuple[str, ...]
    checks: tuple[PlannedCheck, ...]
    files: tuple[str, ...] = ()
    new_files: tuple[str, ...] = ()
    after: tuple[int, ...] = ()
    tier: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything in it that was written freely."""
        said = [text for check in self.checks for text in (check.target, check.description)]
        return (self.title, self.description, *self.success_criteria, *said)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, or in `impossible` why the planner thinks that it cannot be."""

    slices: tuple[PlannedSlice, ...] = ()
    impossible: str = ""


# --- the form ---------------------------------------------------------------------------------------------------------


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is needed")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) else value


def _tier(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) and value.strip().lower() in TIERS else ""


_STORABLE = AfterValidator(storable)
_Title = Annotated[str, StringConstraints(min_length=1, max_length=200), BeforeValidator(_one_line), _STORABLE]
_Description = Annotated[str, StringConstraints(min_length=1, max_length=10_000, strip_whitespace=True), _STORABLE]
_Criterion = Annotated[str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True), _STORABLE]
_Target = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True), _STORABLE]
_Note = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True), _STORABLE]
_Why = Annotated[str, StringConstraints(max_length=2_000, strip_whitespace=True), _STORABLE]
_Path = Annotated[str, StringConstraints(max_length=LONGEST_PATH, strip_whitespace=True)]
_Paths = Annotated[list[_Path], BeforeValidator(_listed), Field(max_length=MOST_FILES)]
_Number = Annotated[int, BeforeValidator(_no_truth)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Check(_Form):
    type: Literal["file_exists", "command_succeeds", "tests_pass", "diff_contains", "no_secrets", "git_clean"]
    target: _Target = ""
    description: _Note = ""
    timeout_seconds: Annotated[float, BeforeValidator(_no_truth), Field(ge=1, le=LONGEST_CHECK)] = 120.0


class _Slice(_Form):
    title: _Title
    description: _Description
    success_criteria: Annotated[
        list[_Criterion], BeforeValidator(_listed), Field(min_length=1, max_length=MOST_CRITERIA)
    ]
    checks: Annotated[list[_Check], Field(min_length=1, max_length=MOST_CHECKS)]
    files: _Paths = []
    new_files: _Paths = []
    after: Annotated[list[_Number], Field(max_length=50)] = []
    tier: Annotated[str, BeforeValidator(_tier)] = ""


class _Document(_Form):
    slices: Annotated[list[_Slice], Field(max_length=MOST_SLICES)] = []
    impossible: _Why = ""


def _strings(most: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}, "maxItems": most}


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "impossible": {"type": "string"},
        "slices": {
            "type": "array",
            "maxItems": MOST_SLICES,
            "items": {
                "type": "object",
                "properties": {
                    "title": {"type": "string"},
                    "description": {"type": "string"},
                    "success_criteria": _strings(MOST_CRITERIA) | {"minItems": 1},
                    "files": _strings(MOST_FILES),
                    "new_files": _strings(MOST_FILES),
                    "checks": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_CHECKS,
                        "items": {
                            "type": "object",
                            "properties": {
                                "type": {"type": "string", "enum": list(CHECKS)},
                                "target": {"type": "string"},
                            },
                            "required": ["type", "target"],
                        },
                    },
                    "after": {"type": "array", "items": {"type": "integer"}, "maxItems": MOST_SLICES},
                    "tier": {"type": "string", "enum": list(TIERS)},
                },
                "required": [
                    "title", "description", "success_criteria", "files", "new_files", "checks", "after", "tier",
                ],
            },
        },
    },
    "required": ["slices"],
}  # fmt: skip
"""What a server that can keep a model to a schema is given. Lengths are not in it: they make such grammars explode."""


# --- reading ----------------------------------------------------------------------------------------------------------


def read(text: str, *, tree: Collection[str], repo: str) -> Plan:
    """The plan in a model's answer for the repository with the slug `repo` and the files `tree`.

    Raises Fault: not_json, schema, count, check, dag, path or foreign.
    """
    answer = read_object(text, keys=("slices", "impossible"))
    _no_fields_elsewhere(answer, repo)
    plan = from_document(answer)
    if plan.impossible:
        return plan
    different = {(check.type, check.target) for piece in plan.slices for check in piece.checks}
    if len(different) > MOST_CHECKS_IN_ALL:
        raise Fault(
            "check",
            f"The slices have {len(different)} different checks in all; at most {MOST_CHECKS_IN_ALL} can be run.",
        )
    shelf = Shelf(tree)
    _stay_here(plan, repo, shelf)
    return Plan(slices=grounded(plan.slices, shelf))


def from_document(document: Mapping[str, Any]) -> Plan:
    """The plan that was written down by `document`. Raises Fault when it is none; paths are not looked at."""
    try:
        form = _Document.model_validate(document)
    except ValidationError as error:
        raise Fault(_kind(error), what_is_wrong(error, names=_ITEMS)) from None
    if form.impossible and form.slices:
        raise Fault("schema", 'Either "impossible" says why there is no plan, or there are slices; not both.')
    if not form.impossible and not form.slices:
        raise Fault("count", f"The plan has no slices; 1 to {MOST_SLICES} are needed.")
    slices = tuple(_slice(number, given) for number, given in enumerate(form.slices, start=1))
    order.check({number: piece.after for number, piece in enumerate(slices, start=1)})
    return Plan(slices=slices, impossible=form.impossible)


def document(plan: Plan) -> dict[str, Any]:
    """The plan as plain values for JSON, as `from_document` takes them."""
    return {"slices": [_plain(piece) for piece in plan.slices], "impossible": plan.impossible}


def _plain(piece: PlannedSlice) -> dict[str, Any]:
    return {
        "title": piece.title,
        "description": piece.description,
        "success_criteria": list(piece.success_criteria),
        "checks": [asdict(check) for check in piece.checks],
        "files": list(piece.files),
        "new_files": list(piece.new_files),
        "after": list(piece.after),
        "tier": piece.tier,
    }


def _kind(error: ValidationError) -> str:
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        if fault["loc"] == ("slices",) and fault["type"] == "too_long":
            return "count"
        if "checks" in fault["loc"]:
            return "check"
    return "schema"


def _slice(number: int, given: _Slice) -> PlannedSlice:
    return PlannedSlice(
        title=given.title,
        description=given.description,
        success_criteria=tuple(given.success_criteria),
        checks=tuple(_check(number, at, check) for at, check in enumerate(given.checks, start=1)),
        files=tuple(dict.fromkeys(path.removeprefix("./") for path in given.files)),
        new_files=tuple(dict.fromkeys(path.removeprefix("./") for path in given.new_files)),
        after=tuple(sorted(set(given.after))),
        tier=given.tier,
    )


def _check(number: int, at: int, given: _Check) -> PlannedCheck:
    wanted = _NEEDS_TARGET.get(given.type)
    if wanted and not given.target:
        raise Fault("check", f"Check {at} of slice {number} is {given.type} without {wanted} as its target.")
    target = "" if given.type in _NO_TARGET else given.target
    if given.type == "tests_pass" and target == "auto":
        target = ""
    return PlannedCheck(given.type, target, given.description, given.timeout_seconds)


# --- this repository only ---------------------------------------------------------------------------------------------


def _no_fields_elsewhere(answer: Mapping[str, Any], repo: str) -> None:
    slices = answer.get("slices")
    pieces: Sequence[Any] = slices[: MOST_SLICES + 1] if isinstance(slices, list) else []
    for number, piece in enumerate([answer, *pieces]):
        if not isinstance(piece, Mapping):
            continue
        where = f"Slice {number}" if number else "The plan"
        for name in _REPO_FIELDS:
            if piece.get(name) not in (None, "", repo, [repo], [], {}):
                raise Fault("foreign", f'{where} has "{name}": all work is in the repository {repo}.')
        for name in _ELSEWHERE_FIELDS:
            if piece.get(name):
                raise Fault("foreign", f'{where} has "{name}": where work is done is not for the plan to say.')


def _stay_here(plan: Plan, repo: str, shelf: Shelf) -> None:
    for number, piece in enumerate(plan.slices, start=1):
        for text in piece.texts:
            if found := foreign_in(text, repo=repo, shelf=shelf):
                raise Fault(
                    "foreign", f"Slice {number} names {named(found)}: only the repository {repo} may be worked on."
                )
