"""What a model is asked when the hub plans and judges, sized for its context. Pure; the same for the same input.

Our own words are steps with numbers, for models of eight billion parameters. Everything else is quoted as data. What
does not fit is left out by us, visibly: a server that has to cut a prompt cuts off the rules first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from apps.endpoints.sizes import LEAST_QUESTION, tokens
from apps.goals.answers import Fault
from apps.goals.judging import Evidence
from apps.goals.quoting import (
    MARK_LENGTH,
    Quoted,
    clipped,
    fenced,
    frame_tokens,
    harmless,
    mark_for,
    one_line,
    shares,
)
from apps.goals.relevance import Ground, listing
from apps.goals.wording import DECOMPOSE, DECOMPOSE_AT_LAST, JUDGE, JUDGE_AT_LAST, REPAIR, REPAIRS, SYSTEM

LEAST_BUDGET = LEAST_QUESTION
"""Tokens below which no prompt is made."""
_SPARE = 64
"""What a chat template puts around a prompt."""
_MOST_LISTED = 60
_LEAST_PATCH = 60
_HOLE = "m" * MARK_LENGTH


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is said to a model: the rules, and the question."""

    system: str
    prompt: str

    @property
    def tokens(self) -> int:
        """How many tokens it has at most."""
        return tokens(self.system) + tokens(self.prompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A goal in plain values. `checks` are names of what has to pass after every slice."""

    repo: str
    title: str
    description: str = ""
    success_criteria: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    file_hints: tuple[str, ...] = ()

    @property
    def criteria(self) -> tuple[str, ...]:
        """What is judged: the criteria, or the goal itself when it has none."""
        return self.success_criteria or (self.title,)

    @property
    def words(self) -> str:
        """All that was said of it, to look for in the repository."""
        return "\n".join((self.title, *self.success_criteria, self.description))


def decompose(aim: Aim, ground: Ground, *, budget_tokens: int) -> Prompt:
    """Ask for a plan, with what the repository holds, in at most so many tokens. Raises ValueError for too few."""
    return _plan(aim, ground, _Sheet(DECOMPOSE.format(repo=aim.repo), DECOMPOSE_AT_LAST, budget_tokens))


def repair(aim: Aim, ground: Ground, previous: str, fault: Fault, *, budget_tokens: int) -> Prompt:
    """Ask for a plan once more, with what was answered before and exactly what is wrong with it."""
    sheet = _Sheet(DECOMPOSE.format(repo=aim.repo), _again(fault) + DECOMPOSE_AT_LAST, budget_tokens)
    sheet.quote_fault(previous, fault)
    return _plan(aim, ground, sheet)


def judge(aim: Aim, evidence: Evidence, *, budget_tokens: int) -> Prompt:
    """Ask whether the goal is reached, by what was really done, in at most so many tokens."""
    return _judgement(aim, evidence, _Sheet(JUDGE, JUDGE_AT_LAST, budget_tokens))


def rejudge(aim: Aim, evidence: Evidence, previous: str, fault: Fault, *, budget_tokens: int) -> Prompt:
    """Ask for a verdict once more, with what was answered before and exactly what is wrong with it."""
    sheet = _Sheet(JUDGE, _again(fault) + JUDGE_AT_LAST, budget_tokens)
    sheet.quote_fault(previous, fault)
    return _judgement(aim, evidence, sheet)


def _again(fault: Fault) -> str:
    return f"{REPAIR} {REPAIRS.get(fault.kind, '')}".rstrip() + "\n\n"


# --- fitting ----------------------------------------------------------------------------------------------------------


@dataclass
class _Sheet:
    """A prompt in the making: our words at both ends, data between them, and how many tokens are left for it."""

    opening: str
    closing: str
    budget: int
    pieces: list[Quoted] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.budget < LEAST_BUDGET:
            raise ValueError(f"A prompt needs {LEAST_BUDGET} tokens; there are {self.budget}.")
        ours = sum(map(tokens, (SYSTEM.format(mark=_HOLE), self.opening, self.closing)))
        self.left = self.budget - ours - _SPARE

    def quote(self, label: str, text: str, most: int, *, least: int = 8) -> bool:
        """Put in as much of the text as `most` tokens and the room hold; whether any of it went in."""
        label = one_line(label, 160)
        room = min(most, self.left - frame_tokens(label))
        body = clipped(text, room) if room >= least else ""
        if not body.strip():
            return False
        self.pieces.append(Quoted(label, body))
        self.left -= frame_tokens(label) + tokens(body) + 1
        return True

    def quote_lines(self, label: str, lines: Sequence[str], most: int, more: str) -> None:
        """Put in as many lines as fit, and in how many more there are."""
        room = min(most, self.left - frame_tokens(label)) - tokens(f"{len(lines)} {more}") - 1
        kept: list[str] = []
        for line in map(one_line, lines):
            room -= tokens(line) + 1
            if room < 0:
                break
            kept.append(line)
        if len(kept) < len(lines):
            kept.append(f"[{len(lines) - len(kept)} {more}]")
        self.quote(label, "\n".join(kept), max(0, self.left))

    def quote_fault(self, previous: str, fault: Fault) -> None:
        self.quote("your previous answer", previous, self.left // 5)
        self.quote("what is wrong with it", fault.message, 400)

    def finished(self) -> Prompt:
        mark = mark_for([part for piece in self.pieces for part in (piece.label, piece.text)])
        body = "\n\n".join((self.opening, *(fenced(piece, mark) for piece in self.pieces), self.closing))
        return Prompt(system=SYSTEM.format(mark=mark), prompt=body)


def _quote_goal(aim: Aim, sheet: _Sheet, room: int) -> None:
    """The goal in half of the room at most for its criteria, each of them shown, and its description in the rest."""
    sheet.quote("the goal's title", aim.title, 120)
    wanted = [one_line(text, 1_000) for text in aim.criteria[:_MOST_LISTED]]
    each = shares([tokens(text) + 4 for text in wanted], room // 2)
    lines = [
        f"{n}. {clipped(text, most - 4, ending='…')}"
        for n, (text, most) in enumerate(zip(wanted, each, strict=True), 1)
    ]
    if more := len(aim.criteria) - len(wanted):
        lines.append(f"[{more} more criteria]")
    sheet.quote("the goal's criteria", "\n".join(lines), room // 2 + 8 * len(lines))
    if aim.checks:
        sheet.quote_lines("checks that have to pass after every slice", aim.checks, room // 6, "more checks")
    if aim.description.strip():
        sheet.quote("the goal's description", aim.description, room // 2)


# --- planning ---------------------------------------------------------------------------------------------------------


def _plan(aim: Aim, ground: Ground, sheet: _Sheet) -> Prompt:
    _quote_goal(aim, sheet, sheet.left // 3)
    if aim.file_hints:
        sheet.quote_lines("files that the goal names", aim.file_hints, sheet.left // 10, "more files")
    _quote_paths(ground, sheet, sheet.left * 2 // 5)
    left_out = 0
    for at, document in enumerate(ground.documents):
        even = max(sheet.left // max(1, len(ground.documents) - at), min(sheet.left // 2, 400))
        note = ", its beginning" if document.cut else ""
        left_out += not sheet.quote(f"file {document.path}{note}", document.text, even, least=40)
    if left_out:
        sheet.quote("note", f"The text of {left_out} more files that may matter did not fit.", 40)
    return sheet.finished()


def _quote_paths(ground: Ground, sheet: _Sheet, room: int) -> None:
    if not ground.paths:
        sheet.quote("files of the repository", "[none: the repository is empty]", 40)
        return
    lines = listing(ground, int(room * 2.5))
    shown = frozenset(lines) & frozenset(ground.paths)
    hidden = len(ground.paths) - len(shown)
    label = "all files of the repository" if not hidden else f"{len(shown)} of {len(ground.paths)} files"
    if ground.truncated:
        label += ", and there are more than were read"
    sheet.quote_lines(label, lines, room, "more lines of paths")


# --- judging ----------------------------------------------------------------------------------------------------------


def _judgement(aim: Aim, evidence: Evidence, sheet: _Sheet) -> Prompt:
    _quote_goal(aim, sheet, sheet.left // 3)
    changed = [f"{file.path} (+{file.added} -{file.deleted})" for file in evidence.files] or ["[none]"]
    sheet.quote_lines("changed files", changed, sheet.left // 5, "more files")
    checks = [f"{proof.name}: {proof.status}" for proof in evidence.checks] or ["[none was run]"]
    sheet.quote_lines("checks on the combined work", checks, sheet.left // 5, "more checks")
    for proof in [proof for proof in evidence.checks if proof.status != "pass" and proof.output.strip()][:3]:
        sheet.quote(f"end of the output of {proof.name}", proof.output[-2_000:], sheet.left // 10)
    if evidence.slices:
        said = [f"{done.title}: {done.summary}" for done in evidence.slices]
        sheet.quote_lines(
            "what the agents say of their work, which proves nothing", said, sheet.left // 6, "more reports"
        )
    _quote_patches({file.path: file.patch for file in evidence.files if file.patch.strip()}, sheet)
    return sheet.finished()


def _quote_patches(patches: Mapping[str, str], sheet: _Sheet) -> None:
    """Each patch gets an even share, what small ones leave goes to the others; as many as get a share worth reading."""
    room = sheet.left - 60
    count = min(len(patches), max(0, room // (_LEAST_PATCH + 40)))
    chosen = list(patches.items())[:count]
    frames = sum(frame_tokens(f"patch of {one_line(path, 140)}") + 1 for path, _ in chosen)
    wants = [tokens(harmless(patch[: 4 * room])) + 1 for _, patch in chosen]
    left_out = len(patches) - count
    for (path, patch), most in zip(chosen, shares(wants, max(0, room - frames)), strict=True):
        left_out += not sheet.quote(f"patch of {one_line(path, 140)}", patch, most)
    if left_out:
        sheet.quote("note", f"The patches of {left_out} more files did not fit.", 40)
