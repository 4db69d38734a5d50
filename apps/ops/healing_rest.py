"""Remedies for endpoints, repositories and the disk. What was tried in vain is tried again later and later."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from django.utils.module_loading import import_string

from apps.endpoints import actions, restarting
from apps.endpoints import jobs as endpoints
from apps.endpoints.health import Health
from apps.endpoints.models import Endpoint
from apps.events.refused import Refused
from apps.goals import gate
from apps.insight import fixing
from apps.insight.models import Checkup
from apps.ops import signals
from apps.ops.assessment import DISK_LOW, Category, Down, Signals
from apps.ops.models import Healing, Remedy
from apps.ops.steps import Done, Step, tried
from apps.tasks import fallback

LOOK, RESTART, BYPASS, MEND, FORGET = (
    "look again", "have it restarted", "send its tasks elsewhere", "hand in a goal", "delete expired records",
)  # fmt: skip
WAITS = tuple(timedelta(seconds=seconds) for seconds in (0, 15, 45, 135, 300))
"""Before the first, second, … look at an endpoint that does not answer; the last one counts for all that follow."""
HOUR = timedelta(hours=1)
AGAIN = {RESTART: timedelta(minutes=15), BYPASS: timedelta(minutes=5), MEND: HOUR, FORGET: HOUR}
IN_VAIN = (Healing.NOTHING, Healing.FAILED)
"""A goal that was handed in is no reason to wait: the same fault without it is a new one, at another head."""
MOST = 10
"""Endpoints of one round that machines are asked to restart."""
PRUNES = ("apps.ops.jobs.prune", "apps.tasks.jobs.prune", "apps.agents.jobs.prune", "apps.insight.jobs.prune")


def endpoints_down(seen: Signals, now: datetime) -> Iterator[Step]:
    """Look again; when it still does not answer, have it restarted where its machine can; then let work pass it by."""
    due = [down for down in seen.down if down.ours and _look_is_due(down, now)]
    look = _Look([down.endpoint for down in due])
    for down in due:
        yield _about(down, LOOK, partial(look.at, down))
    for down in seen.down[:MOST]:
        if _may_restart(down) and not tried(now, AGAIN[RESTART], about=down.endpoint, action=RESTART):
            yield _about(down, RESTART, partial(_restart, down))
    still = [down for down in seen.down if down.needed and _is_down(down)]
    if still and not tried(now, AGAIN[BYPASS], subject="queue", action=BYPASS):
        before = {"down": [down.name for down in still]}
        yield Step(category=Category.ENDPOINTS, subject="queue", action=BYPASS, before=before, do=_bypass)


def _about(down: Down, action: str, do: Callable[[], Done]) -> Step:
    before = {"name": down.name, "health": "down", "why": down.why}
    subject = f"endpoint/{down.endpoint}"
    return Step(category=Category.ENDPOINTS, subject=subject, about=down.endpoint, action=action, before=before, do=do)


def _look_is_due(down: Down, now: datetime) -> bool:
    looks = Remedy.objects.filter(about=down.endpoint, action=LOOK, outcome=Healing.FAILED, at__gt=now - HOUR)
    last = looks.order_by("-at").values_list("at", flat=True).first()
    return last is None or now - last >= WAITS[min(looks.count(), len(WAITS) - 1)]


class _Look:
    """The first step looks at all endpoints at once, so that those that are silent keep the worker once, not each."""

    def __init__(self, endpoints: list[int]) -> None:
        self._left = endpoints

    def at(self, down: Down) -> Done:
        """What came of it for one."""
        left, self._left = self._left, []
        if left:
            endpoints.look(*left)
        if not _is_down(down):
            return Done(Healing.DONE, {"health": "up"}, f"{down.name} answers.")
        return Done(Healing.FAILED, {"health": "down"}, f"{down.name} still does not answer.")


def _may_restart(down: Down) -> bool:
    """One that somebody needs or an operator added, that still is down, and that some machine has a command for."""
    rows = list(Endpoint.objects.filter(pk=down.endpoint, health=Health.DOWN)) if down.ours or down.needed else []
    return bool(rows and restarting.able(rows)[down.endpoint])


def _restart(down: Down) -> Done:
    try:
        actions.ask_restart(Endpoint.objects.get(pk=down.endpoint), by="healing")
    except Refused as refused:  # removed, or its machine has no command for it any more
        return Done(Healing.NOTHING, detail=refused.message)
    return Done(Healing.DONE, {"asked": True}, f"A machine was asked to restart {down.name}.")


def _is_down(down: Down) -> bool:
    return Endpoint.objects.filter(pk=down.endpoint, health=Health.DOWN).exists()


def _bypass() -> Done:
    moved = fallback.bypass()
    if not moved:
        return Done(Healing.NOTHING, {"tasks": 0}, "Nothing that waits could go another way.")
    return Done(Healing.DONE, {"tasks": moved}, f"{moved} tasks may have another grade of model meanwhile.")


def repos(_: Signals, now: datetime) -> Iterator[Step]:
    """One goal for each fault of a default branch that none is there for."""
    for checkup in fixing.broken():
        for fault in fixing.unmended(checkup):
            about = fixing.fingerprint(checkup.repo, fault)
            if not tried(now, AGAIN[MEND], subject=about, action=MEND, outcome__in=IN_VAIN):
                before = {"repo": checkup.repo.slug, "commit": checkup.commit, "fault": fault["name"]}
                yield Step(
                    category=Category.REPOS,
                    subject=about,
                    action=MEND,
                    before=before,
                    do=partial(_mend, checkup, dict(fault)),
                )


def _mend(checkup: Checkup, fault: dict[str, object]) -> Done:
    if gate.is_closed():
        return Done(Healing.NOTHING, detail="The hub is paused, and makes itself no work.")
    done = fixing.mend(checkup, fault)
    if done.goal is None:
        return Done(Healing.NOTHING, detail=done.why_not)
    if not done.new:
        return Done(Healing.NOTHING, {"goal": done.goal}, f"Goal {done.goal} is about it already.")
    return Done(Healing.DONE, {"goal": done.goal}, f"Goal {done.goal} is to mend it.")


def storage(seen: Signals, now: datetime) -> Iterator[Step]:
    """What is past its time is forgotten now and not tonight. Nothing else is ever deleted."""
    free = seen.disk_free
    if free is not None and free < DISK_LOW and not tried(now, AGAIN[FORGET], subject="disk", action=FORGET):
        before = {"free_percent": round(free, 1)}
        yield Step(category=Category.STORAGE, subject="disk", action=FORGET, before=before, do=partial(_forget, now))


def _forget(now: datetime) -> Done:
    for path in PRUNES:
        import_string(path)()
    free = signals.read(now).disk_free
    return Done(Healing.DONE, {"free_percent": round(free, 1) if free is not None else None})
