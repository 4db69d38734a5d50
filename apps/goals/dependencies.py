"""Goals that wait for goals: of one repository, never in a circle, until the work is on the default branch."""

from __future__ import annotations

from collections.abc import Iterable

from apps.events import waits
from apps.events.refused import Invalid
from apps.goals.models import Dependency, Goal

_ADVISORY_LOCK = 4_242_002
MOST = 20


def tie(goal: Goal, prerequisites: Iterable[int]) -> None:
    """Make `goal` wait for them. Raises Invalid for unknown ones, those of another repository, or a circle.

    Call inside a transaction.
    """
    wanted = sorted(set(prerequisites))
    if not wanted:
        return
    if len(wanted) > MOST:
        raise Invalid("depends_on", f"At most {MOST} goals.")
    one_at_a_time()
    found = {one.pk: one for one in Goal.objects.filter(pk__in=wanted)}
    for pk in wanted:
        if pk not in found:
            raise Invalid("depends_on", f"There is no goal {pk}.")
        if found[pk].repo_id != goal.repo_id:
            raise Invalid("depends_on", f"Goal {pk} is of another repository.")
        if pk == goal.pk or waits.reaches(pk, goal.pk, _before):
            raise Invalid("depends_on", f"Goal {pk} waits for goal {goal.pk} already; that would be a circle.")
    Dependency.objects.bulk_create([Dependency(goal=goal, prerequisite_id=pk) for pk in wanted])


def replace(goal: Goal, prerequisites: Iterable[int]) -> bool:
    """Let it wait for these and no others; False when it did already. Call inside a transaction."""
    wanted = set(prerequisites)
    before = set(Dependency.objects.filter(goal=goal).values_list("prerequisite", flat=True))
    Dependency.objects.filter(goal=goal, prerequisite__in=before - wanted).delete()
    tie(goal, wanted - before)
    return wanted != before


def missing(goal: Goal) -> list[int]:
    """The goals whose work it still waits for."""
    rows = Dependency.objects.filter(goal=goal, prerequisite__landed_at__isnull=True)
    return list(rows.order_by("prerequisite").values_list("prerequisite", flat=True))


def one_at_a_time() -> None:
    """Until this transaction ends nobody else ties goals, or counts those of the hub's own."""
    waits.one_at_a_time(_ADVISORY_LOCK)


def _before(goals: Iterable[int]) -> Iterable[int]:
    return Dependency.objects.filter(goal__in=goals).values_list("prerequisite", flat=True)
