"""What is wrong with the hub, and how much: from signals to a report. Pure; times are in seconds.

Critical is what stops work. What only a person can end has no remedy, so that the hub does not try to heal it over and
over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LAPSED = 60.0
"""So long after its lease a sweep has long been due."""
OVERDUE, QUIET = 300.0, 600.0
"""An attempt is stuck when it is so much over its time and showed no step for so long, though its agent answers."""
UNSERVED = 900.0
"""So long a task waits with nobody there who could do it, before it counts."""
MANY = 3
ERRORS_PERCENT, ENOUGH_ATTEMPTS = 50, 5
DISK_LOW, DISK_FULL = 10.0, 3.0
"""Percent of the data directory's disk that is free."""
BACKLOG = 300.0
ENDPOINT_DOWN, BROKEN_MAIN = "endpoint-down:", "broken-main:"
SEEN_ITSELF = (ENDPOINT_DOWN, BROKEN_MAIN)
"""Alerts about what the report looks at itself; each trouble is in it once."""


class Category(StrEnum):
    """In the order in which remedies go."""

    STUCK = "stuck_tasks"
    LOST = "lost_agents"
    UNSERVED = "unserved_tasks"
    ENDPOINTS = "endpoints"
    REPOS = "repos"
    STORAGE = "storage"
    ERRORS = "error_rate"
    ALERTS = "alerts"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Held:
    """An open attempt. `lapsed`: since its lease ran out, negative before; `quiet`: since its agent showed a step."""

    attempt: int
    task: int
    title: str
    agent: str
    online: bool
    by_hand: bool = False
    silent: float = 0.0
    lapsed: float = -20.0
    running: float = 0.0
    limit: float = 600.0
    quiet: float = 0.0
    given_time: bool = False
    """It was given more time just now."""

    @property
    def is_stuck(self) -> bool:
        if self.given_time:
            return False
        overdue = self.running > self.limit + OVERDUE and self.quiet > QUIET and not self.by_hand
        return self.lapsed > LAPSED or overdue

    @property
    def is_lost(self) -> bool:
        """Its agent is away, and that is not how it works: whoever works by hand has no connection."""
        return not self.online and not self.by_hand


@dataclass(frozen=True, kw_only=True)
class Down:
    """An endpoint that does not answer. `needed`: something waits that nobody can do without it."""

    endpoint: int
    name: str
    why: str = ""
    needed: bool = False
    ours: bool = True


@dataclass(frozen=True, kw_only=True)
class Sick:
    """A repository with something wrong: what its default branch lacks, and whether goals are there for all of it.

    `kept_back`: why there is no goal, or not any more; of `given_up` of them it has ended, and a person has to decide.
    `unclear`: what nobody could say of it, as a sentence.
    """

    repo: int
    slug: str
    faults: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()
    given_up: int = 0
    goals: tuple[int, ...] = ()
    unclear: str = ""
    sync_error: str = ""
    paused: bool = False


@dataclass(frozen=True, kw_only=True)
class OpenAlert:
    key: str
    severity: str
    message: str
    acknowledged: bool = False


@dataclass(frozen=True, kw_only=True)
class Signals:
    """All that is looked at. `failed` names the sources that could not be read, and why."""

    held: tuple[Held, ...] = ()
    unserved: tuple[str, ...] = ()
    """Titles of tasks, the first few."""
    unserved_count: int = 0
    down: tuple[Down, ...] = ()
    succeeded: int = 0
    attempts: int = 0
    disk_free: float | None = None
    backlog: float = 0.0
    alerts: tuple[OpenAlert, ...] = ()
    sick: tuple[Sick, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Issue:
    """One trouble. `remedy` says what healing would do, empty when only a person can do something."""

    category: Category
    critical: bool
    subject: str
    detail: str
    remedy: str = ""

    @property
    def severity(self) -> str:
        return "critical" if self.critical else "warning"


@dataclass(frozen=True)
class HealthReport:
    """What was found, the critical first."""

    issues: tuple[Issue, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.issues

    @property
    def critical(self) -> int:
        return sum(issue.critical for issue in self.issues)

    @property
    def curable(self) -> int:
        """Critical ones that healing can do something about."""
        return sum(issue.critical and bool(issue.remedy) for issue in self.issues)


def assess(signals: Signals) -> HealthReport:
    """The report; the same signals give the same one."""
    found = [issue for look in _LOOKS for issue in look(signals)]
    order = list(Category)
    return HealthReport(tuple(sorted(found, key=lambda issue: (not issue.critical, order.index(issue.category)))))


def _stuck(signals: Signals) -> Iterator[Issue]:
    stuck = [held for held in signals.held if held.is_stuck]
    for held in stuck:
        why = (
            f"its lease ran out {_long(held.lapsed)} ago"
            if held.lapsed > LAPSED
            else f"has run for {_long(held.running)} and reported nothing for {_long(held.quiet)}"
        )
        remedy = "give it more time, then take it back" if held.online else "take it back"
        yield Issue(Category.STUCK, len(stuck) >= MANY, f"task/{held.task}", f"{held.agent}: {why}", remedy)


def _lost(signals: Signals) -> Iterator[Issue]:
    for held in signals.held:
        if held.is_lost and not held.is_stuck:
            left = "" if held.lapsed > 0 else f"; its lease runs for {_long(-held.lapsed)}"
            detail = f"silent for {_long(held.silent)} with task {held.task} in hand{left}"
            yield Issue(Category.LOST, False, f"agent/{held.agent}", detail, "take it back" if held.lapsed > 0 else "")


def _unserved(signals: Signals) -> Iterator[Issue]:
    if count := signals.unserved_count:
        named = "; ".join(signals.unserved)
        waited = "1 task has" if count == 1 else f"{count} tasks have"
        them = "it" if count == 1 else "them"
        detail = f"{waited} waited over {_long(UNSERVED)} and no connected agent can do {them}: {named}"
        yield Issue(Category.UNSERVED, count >= MANY, "queue", detail)


def _endpoints(signals: Signals) -> Iterator[Issue]:
    for down in signals.down:
        need = ", and work waits for it" if down.needed else ""
        detail = f"{down.name} does not answer{need}{f': {down.why}' if down.why else ''}"
        remedy = "restart it, send its tasks elsewhere" if down.ours or down.needed else ""
        remedy = f"look again, {remedy}" if down.ours else remedy
        yield Issue(Category.ENDPOINTS, down.needed, f"endpoint/{down.endpoint}", detail, remedy)


def _errors(signals: Signals) -> Iterator[Issue]:
    failed = signals.attempts - signals.succeeded
    if signals.attempts >= ENOUGH_ATTEMPTS and failed * 100 > signals.attempts * ERRORS_PERCENT:
        yield Issue(Category.ERRORS, False, "attempts", f"{failed} of {signals.attempts} did not succeed in an hour")


def _storage(signals: Signals) -> Iterator[Issue]:
    free = signals.disk_free
    if free is not None and free < DISK_LOW:
        remedy = "delete expired records"
        yield Issue(Category.STORAGE, free < DISK_FULL, "disk", f"{free:.1f} % of the disk is free", remedy)
    if signals.backlog > BACKLOG:
        yield Issue(Category.STORAGE, False, "jobs", f"a job has waited for {_long(signals.backlog)}")


def _repos(signals: Signals) -> Iterator[Issue]:
    for sick in signals.sick:
        if sick.faults:
            yield _broken(sick)
        if sick.unclear:
            yield Issue(Category.REPOS, False, f"repo/{sick.slug}", sick.unclear)
        if sick.sync_error:
            yield Issue(Category.REPOS, False, f"repo/{sick.slug}", f"not in step with upstream: {sick.sync_error}")


def _broken(sick: Sick) -> Issue:
    """Critical until goals are there for what is wrong, or were turned away: then it is for people to go on."""
    numbers = ", ".join(map(str, sick.goals))
    goals = f"; goal{'s' * (len(sick.goals) > 1)} {numbers} {'are' if len(sick.goals) > 1 else 'is'} to mend it"
    why_not = f"; not being mended: {'; '.join(sick.kept_back)}" if sick.kept_back else ""
    detail = f"the default branch is broken: {', '.join(sick.faults)}{goals if numbers else ''}{why_not}"
    untouched = len(sick.faults) > len(sick.goals) + len(sick.kept_back)
    curable = not sick.paused and len(sick.faults) > len(sick.goals) + sick.given_up
    remedy = "hand in one goal for each fault" if curable else ""
    return Issue(Category.REPOS, untouched and not sick.paused, f"repo/{sick.slug}", detail, remedy)


def _alerts(signals: Signals) -> Iterator[Issue]:
    for alert in signals.alerts:
        if alert.severity == "critical" and not alert.key.startswith(SEEN_ITSELF):
            yield Issue(Category.ALERTS, not alert.acknowledged, f"alert/{alert.key}", alert.message)


def _unread(signals: Signals) -> Iterator[Issue]:
    for source, why in signals.failed.items():
        yield Issue(Category.UNKNOWN, source == "database", source, f"could not be read: {why}")


_LOOKS = (_stuck, _lost, _unserved, _endpoints, _errors, _storage, _repos, _alerts, _unread)


def by_category(issues: Iterable[Issue]) -> dict[Category, list[Issue]]:
    """The same, sorted into the order of remedies."""
    found: dict[Category, list[Issue]] = {category: [] for category in Category}
    for issue in issues:
        found[issue.category].append(issue)
    return found


def _long(seconds: float) -> str:
    """A length for people: 45 s, 12 min, 3 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3600:.0f} h"
