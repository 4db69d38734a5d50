"""How values are shown: colours of statuses, times, durations, sizes, object ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.dashboard import counting, spending
from apps.dashboard.summing import Spent
from apps.goals import reading
from apps.goals.models import Goal
from apps.ledger import pricing
from apps.ops.models import Alert
from apps.tasks.models import Lane, Task
from apps.tasks.verdict import name_of

register = template.Library()

TONES: Mapping[str, str] = {
    "completed": "good",
    "succeeded": "good",
    "merged": "good",
    "passed": "good",
    "pass": "good",
    "approved": "good",
    "idle": "good",
    "assigned": "busy",
    "working": "busy",
    "open": "busy",
    "pending": "busy",
    "blocked": "warn",
    "unverified": "warn",
    "reclaimed": "warn",
    "stale": "warn",
    "changes_requested": "warn",
    "decomposing": "busy",
    "executing": "busy",
    "verifying": "busy",
    "running": "busy",
    "improving": "busy",
    "contemplating": "busy",
    "healing": "warn",
    "resting": "hollow",
    "planned": "busy",
    "nothing to do": "hollow",
    "done": "busy",
    "merging": "busy",
    "complete": "good",
    "landed": "good",
    "needs_review": "warn",
    "sent_back": "warn",
    "conflict": "warn",
    "red": "bad",
    "lost": "bad",
    "dead": "bad",
    "failed": "bad",
    "fail": "bad",
    "error": "bad",
    "timeout": "bad",
    "queued": "",
    "waiting": "hollow",
    "offline": "hollow",
}
WORDS: Mapping[str, str] = {
    "dead": "dead letter",
    "pass": "passed",
    "fail": "failed",
    "done": "to be merged",
    "red": "checks failed",
}
RISK_TONES: Mapping[int, str] = {1: "good", 2: "warn", 3: "bad"}
RISK_WORDS: Mapping[int, str] = {1: "low", 2: "medium", 3: "high"}
SANDBOX_WORDS: Mapping[str, str] = {
    "bubblewrap": "sandboxed",
    "off": "sandbox switched off",
    "none": "no sandbox: refuses work",
}


@register.filter
def tone(status: str) -> str:
    """The colour class of a status."""
    return TONES.get(str(status), "")


@register.filter
def words(status: str) -> str:
    """A status as people read it."""
    return WORDS.get(str(status), str(status).replace("_", " "))


@register.filter
def tokens(by_class: Mapping[str, int]) -> str:
    """Tokens by class in a few words: read, written, and how much of what was read came from a cache."""
    cached = by_class.get("cache_read", 0)
    read = cached + sum(by_class.get(name, 0) for name in ("input", "cache_write_5m", "cache_write_1h"))
    from_cache = f" ({cached:,} cached)" if cached else ""
    return f"{read:,} tokens in{from_cache}, {by_class.get('output', 0):,} out"


@register.filter
def json_lines(text: str) -> str:
    """JSON as people read it: a line for each field, texts with their own lines. What is cut stays as it is."""
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    if not isinstance(fields, dict):
        return text
    return _by_line(fields)


def _by_line(fields: Mapping[str, object], indent: str = "") -> str:
    return "\n".join(f"{indent}{name}: {_plainly(value, indent + '  ')}" for name, value in fields.items())


def _plainly(value: object, indent: str) -> str:
    if isinstance(value, dict):
        return f"\n{_by_line(value, indent)}"
    if isinstance(value, str):
        return f"\n{value}" if "\n" in value else value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "".join(f"\n{one}" for one in value)
    return json.dumps(value, ensure_ascii=False)


@register.simple_tag
def pill(status: str) -> SafeString:
    """A status in its colour, with a dot, so that colour is not all that tells."""
    return format_html('<span class="pill {}"><span class="dot"></span>{}</span>', tone(status), words(status))


@register.simple_tag
def dot(status: str) -> SafeString:
    """A coloured dot whose meaning is also there for those who cannot see it."""
    beat = " pulse" if status in ("working", "assigned", "executing", "decomposing", "verifying") else ""
    shown = words(status)
    return format_html(
        '<span class="dot {}{}" title="{}"></span><span class="unseen">{}</span>', tone(status), beat, shown, shown
    )


@register.simple_tag
def risk(level: int) -> SafeString:
    """The pill of a risk tier."""
    return format_html('<span class="pill {}">risk {} · {}</span>', RISK_TONES[level], level, RISK_WORDS[level])


@register.simple_tag
def ago(moment: datetime | None) -> SafeString | str:
    """How long it is since `moment`, kept up to date by the page; the exact time on hover."""
    if moment is None:
        return "-"
    text = spell((timezone.now() - moment).total_seconds())
    exact = moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    return format_html('<time data-ago datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, text)


def spell(seconds: float) -> str:
    """`4 min ago`, `in 2 h`, `just now`."""
    size = abs(seconds)
    if size < 10:
        return "just now"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    unit, length = next(pair for pair in units if size >= pair[1])
    text = f"{int(size // length)} {unit}"
    return f"in {text}" if seconds < 0 else f"{text} ago"


@register.filter
def ms(value: Any) -> str:
    """Milliseconds as `0.4 s`, `12 s`, `3 min 5 s`."""
    seconds = float(value or 0) / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


@register.simple_tag
def lasted(start: datetime | None, end: datetime | None) -> str:
    """The time between two moments, or until now."""
    if start is None:
        return "-"
    return ms(((end or timezone.now()) - start).total_seconds() * 1000)


@register.filter
def clock(at_ms: Any) -> str:
    """A step's place in time: `2:07`."""
    seconds = int(at_ms or 0) // 1000
    return f"{seconds // 60}:{seconds % 60:02d}"


@register.filter
def short(oid: str) -> str:
    """The first characters of an object id."""
    return str(oid)[:10]


@register.filter
def lane(value: int) -> str:
    """A lane's name."""
    return str(Lane(value).label).lower()


@register.filter
def last_of(reports: list[Any] | None) -> Any:
    """The last of a list, or None."""
    return reports[-1] if reports else None


@register.filter
def check_name(check: Mapping[str, Any]) -> str:
    """What a check is about."""
    return name_of(check)


@register.filter
def passed(trials: list[Mapping[str, Any]]) -> str:
    """How a model did in its trial, in a few words."""
    wrong = [str(trial.get("name", "")) for trial in trials if not trial.get("ok")]
    failed = f" (not: {', '.join(wrong)})" if wrong else ""
    return f"{len(trials) - len(wrong)} of {len(trials)} right{failed}"


@register.filter
def confinement(level: str) -> str:
    """How an agent's commands are confined."""
    return SANDBOX_WORDS.get(level, level)


@register.filter
def gigabytes(size: Any) -> str:
    """Bytes as `31 GB`."""
    return f"{round(int(size or 0) / 1024**3)} GB"


@register.simple_tag(takes_context=True)
def section(context: Mapping[str, Any]) -> str:
    """Which entry of the navigation this page belongs to."""
    return str(context["request"].path).split("/")[1] or "overview"


@register.simple_tag
def waiting_for_you() -> dict[str, counting.Count]:
    """The counts beside the navigation."""
    return {
        "goals": counting.capped(reading.needing_people(Goal.objects.all()), 99),
        "alerts": counting.capped(Alert.objects.open().filter(acknowledged_at__isnull=True), 99),
        "pulls": counting.capped(counting.waiting_pulls(), 99),
        "dead": counting.capped(counting.dead_letter(), 99),
    }


@register.filter
def dollars(micro: Any) -> str:
    """Micro-USD as money, none of it rounded away."""
    return pricing.dollars(int(micro or 0))


@register.filter
def count(number: Any) -> str:
    """A whole number with its thousands apart."""
    return f"{int(number or 0):,}"


@register.filter
def speed(tokens_per_second: Any) -> str:
    """Tokens a second as `41.5`, or `120` where the rest says nothing."""
    rate = float(tokens_per_second or 0)
    return f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"


@register.simple_tag
def costs_of(task: Task) -> spending.Costs:
    """What a task and its attempts have cost, as the ledger has it."""
    return spending.costs_of(task)


@register.filter
def of_attempt(costs: spending.Costs, attempt: int) -> Spent | None:
    """What one attempt cost; None when it made no call that the ledger knows."""
    return costs.attempts.get(attempt)
