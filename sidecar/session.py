"""What this sidecar knows of its hub and of its work, and what it must say and do next. Pure: no socket, disk or clock.

Every method takes what happened and returns effects, to be carried out in their order. Three rules hold it together:
an assignment is on disk before it is accepted; a terminal report stays, and is sent again, until the hub has settled
or dropped the attempt; and work whose lease could not be renewed is stopped before the hub may give it away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sidecar.effects import Effect, Enter, Forget, Hangup, Keep, KeepReport, Mode, Restart, Send, Start, Stop, Why
from sidecar.progress import Progress
from sidecar.wire import messages
from sidecar.wire.messages import Frame, TaskAssign, Terminal
from sidecar.wire.nouns import EndpointState, Error, Holding, Load, ModelOffer, Step

PROGRESS_SECONDS = 1.0
RESEND_SECONDS = 15.0
"""A report that was answered by nothing is said again this often, and offers that the hub could not take."""
REMEMBERED_BEATS = 50
UNREADABLE = frozenset({"invalid_frame", "invalid_json", "unknown_type", "frame_too_large"})
"""Error codes that mean: this frame will never be understood, however often it comes."""


@dataclass
class Work:
    """One attempt in hand. `fence` is the moment (on our clock) at which its lease may have lapsed."""

    assign: TaskAssign
    fence: float
    progress: Progress
    started: bool = False
    stopping: Why | None = None

    @property
    def ours(self) -> bool:
        """Whether the hub still counts on us for it."""
        return self.stopping in {None, Why.DRAINED}

    @property
    def holding(self) -> Holding:
        return Holding(task=self.assign.task, attempt=self.assign.attempt)


@dataclass(frozen=True)
class Pulse:
    """How often to heartbeat, from the hub's welcome."""

    busy: float
    idle: float


@dataclass
class _Spoken:
    """What was said on this connection, and when."""

    welcomed: bool = False
    hello_at: float = 0.0
    beat_at: float = 0.0
    progress_at: float = 0.0
    beats: dict[str, float] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    offers: str = ""
    offers_due: float | None = None


class Session:
    """The sidecar's side of the protocol, over any number of connections.

    `margin` is how many seconds before a lease runs out our own work is stopped. `refusal` says why this machine
    cannot run an assignment at all (no sandbox, no such executor), or None. `undelivered` are the reports that a
    former process left on disk.
    """

    def __init__(
        self,
        hello: messages.Hello,
        *,
        margin: float = 5.0,
        refusal: Callable[[TaskAssign], Error | None] = lambda _: None,
        undelivered: Iterable[Terminal] = (),
    ) -> None:
        self._hello = hello
        self._margin = margin
        self._refusal = refusal
        self._reports: dict[int, Terminal] = {report.attempt: report for report in undelivered}
        self._current: Work | None = None
        self._next: Work | None = None
        self._spoken: _Spoken | None = None
        self._pulse = Pulse(busy=5.0, idle=15.0)
        self._marks = 0
        self._draining = False
        self._desired = messages.AgentDesired()

    # --- what others may ask --------------------------------------------------------------------------------------

    @property
    def current(self) -> TaskAssign | None:
        """The attempt whose work is running (or being stopped)."""
        return self._current.assign if self._current else None

    @property
    def attempts(self) -> frozenset[int]:
        """Every attempt in hand, running or waiting."""
        return frozenset(work.assign.attempt for work in (self._current, self._next) if work is not None)

    @property
    def welcomed(self) -> bool:
        """The hub knows us on this connection."""
        return self._spoken is not None and self._spoken.welcomed

    @property
    def undelivered(self) -> tuple[Terminal, ...]:
        """Reports that the hub has not settled yet."""
        return tuple(self._reports.values())

    @property
    def mode(self) -> Mode:
        """How the hub wants us to run. A wish that names another process was fulfilled by our start."""
        if self._desired.restart and self._desired.restart == self._hello.process:
            return Mode.RESTARTING
        return Mode.DRAINING if self._desired.drain else Mode.NORMAL

    @property
    def resting(self) -> bool:
        """Nothing runs and nothing waits to run."""
        return self._current is None and self._next is None

    # --- the connection -------------------------------------------------------------------------------------------

    def opened(self, now: float) -> list[Effect]:
        """A connection stands: introduce ourselves, with all that we hold and owe."""
        self._spoken = _Spoken(hello_at=now)
        frame = self._hello.model_copy(
            update={"id": self._mark("hello"), "holding": self._held(), "undelivered": self._owed()}
        )
        return [Send(frame)]

    def closed(self) -> list[Effect]:
        """The connection is gone. That takes nothing away; the lease runs on."""
        self._spoken = None
        return []

    def receive(self, frame: Frame, now: float) -> list[Effect]:
        """The hub said something."""
        match frame:
            case messages.Welcome():
                return self._on_welcome(frame, now)
            case TaskAssign():
                return self._on_assign(frame, now)
            case messages.TaskCancel():
                return self._lose(frame.attempt, Why.CANCELLED, forget_report=False)
            case messages.TaskDrop():
                return self._lose(frame.attempt, Why.DROPPED, forget_report=True)
            case messages.TaskSettled():
                return self._on_settled(frame)
            case messages.AgentDesired():
                return self._desire(frame)
            case messages.HeartbeatAck():
                return self._on_ack(frame)
            case messages.ErrorFrame():
                return self._on_error(frame, now)
        return []

    # --- the clock ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Effect]:
        """Time has passed. Call it a few times a second, and first of all after a pause of any kind."""
        effects = self._guard_lease(now) + self._restart_if_due(now)
        if self._spoken is None or not self._spoken.welcomed:
            return effects
        if now - self._spoken.beat_at >= (self._pulse.busy if self._held() else self._pulse.idle):
            effects += self._beat(self._spoken, now)
        if now - self._spoken.progress_at >= PROGRESS_SECONDS:
            self._spoken.progress_at = now
            effects += self._tell_progress(self._current)
        return effects + self._resend(self._spoken, now)

    def _guard_lease(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for work in (self._next, self._current):
            if work is not None and work.ours and now >= work.fence - self._margin_of(work):
                effects += self._stop(work, Why.FENCED)
        return effects

    def _restart_if_due(self, now: float) -> list[Effect]:
        """Also without a connection: reports that wait are on disk, and the next process delivers them."""
        if self.mode is not Mode.RESTARTING or self._draining or not (self.resting or self._desired.now):
            return []
        return [*self.drain(now), Restart()]

    def _margin_of(self, work: Work) -> float:
        return min(self._margin, work.assign.lease_seconds / 2)

    def _beat(self, spoken: _Spoken, now: float) -> list[Effect]:
        mark = self._mark("beat")
        spoken.beat_at = now
        spoken.beats[mark] = now
        while len(spoken.beats) > REMEMBERED_BEATS:
            del spoken.beats[next(iter(spoken.beats))]
        return [Send(messages.Heartbeat(id=mark, holding=self._held()))]

    def _resend(self, spoken: _Spoken, now: float) -> list[Effect]:
        due = [a for a in self._reports if now - spoken.reports.get(a, now - RESEND_SECONDS) >= RESEND_SECONDS]
        effects: list[Effect] = [self._say_report(spoken, attempt, now) for attempt in due]
        if spoken.offers_due is not None and now >= spoken.offers_due:
            effects += self._say_offers(spoken)
        return effects

    def offered(self, models: list[ModelOffer], endpoints: list[EndpointState]) -> list[Effect]:
        """What can be thought with, or where, has changed; every later hello says the same."""
        self._hello = self._hello.model_copy(update={"models": models, "endpoints": endpoints})
        if self._spoken is None:
            return []
        self._spoken.offers_due = 0.0  # at the next tick, when our hello has no answer yet
        return self._say_offers(self._spoken) if self._spoken.welcomed else []

    def _say_offers(self, spoken: _Spoken) -> list[Effect]:
        spoken.offers, spoken.offers_due = self._mark("models"), None
        models, endpoints = self._hello.models, self._hello.endpoints
        return [Send(messages.ModelsOffered(id=spoken.offers, models=models, endpoints=endpoints))]

    def measured(self, load: Load) -> list[Effect]:
        """How busy this machine is. Said while somebody listens; the next hello says it as well."""
        self._hello = self._hello.model_copy(update={"host": self._hello.host.model_copy(update={"load": load})})
        return [Send(messages.HostMeasured(id=self._mark("load"), load=load))] if self.welcomed else []

    # --- our own work ---------------------------------------------------------------------------------------------

    def progressed(self, attempt: int, steps: Iterable[Step]) -> list[Effect]:
        """The work has done something worth showing; sent with the next batch."""
        if self._current is not None and self._current.assign.attempt == attempt:
            self._current.progress.add(steps)
        return []

    def finished(self, attempt: int, report: Terminal | None, now: float) -> list[Effect]:
        """The work has ended, by itself with a report, or stopped without one. The next may begin."""
        work = self._current
        if work is None or work.assign.attempt != attempt:
            return []
        effects = self._tell_progress(work) if self.welcomed and work.ours else []
        self._current = None
        if work.stopping in {Why.CANCELLED, Why.DROPPED}:
            effects += [Forget(attempt)]
        else:
            effects += self._report(report or _stopped(work), now)
        return effects + self._start_next()

    def unkept(self, assign: TaskAssign, reason: str, now: float) -> list[Effect]:
        """The assignment could not be written to disk, so it must not be worked on: hand it back."""
        for work in (self._current, self._next):
            if work is not None and work.assign.attempt == assign.attempt:
                self._remove(work)
                return [*self._report(_released(assign, "journal", reason), now), *self._start_next()]
        return []

    def drain(self, now: float) -> list[Effect]:
        """Take no more work. What runs goes on until `hand_back`; what only waits to run is handed back at once."""
        self._draining = True
        waiting = self._next
        if waiting is None:
            return []
        self._next = None
        return self._report(_released(waiting.assign, Why.DRAINED, "The sidecar is about to leave."), now)

    def hand_back(self) -> list[Effect]:
        """The grace is over: stop what still runs, so that somebody else can do it."""
        return self._stop(self._current, Why.DRAINED) if self._current else []

    # --- what the hub may say -------------------------------------------------------------------------------------

    def _on_welcome(self, frame: messages.Welcome, now: float) -> list[Effect]:
        if self._spoken is None:
            return []
        self._pulse = Pulse(busy=frame.heartbeat_seconds, idle=frame.idle_seconds)
        self._spoken.welcomed = True
        self._spoken.beat_at = self._spoken.progress_at = now
        effects = self._desire(messages.AgentDesired())  # what still holds is said again after the welcome
        for verdict in frame.verdicts:
            if verdict.verdict == "drop":
                effects += self._lose(verdict.attempt, Why.DROPPED, forget_report=True)
            else:
                self._renew(verdict.attempt, self._spoken.hello_at + frame.lease_seconds)
        return effects + [self._say_report(self._spoken, attempt, now) for attempt in self._reports]

    def _on_assign(self, frame: TaskAssign, now: float) -> list[Effect]:
        attempt = frame.attempt
        if attempt in self._reports:
            return [Send(self._marked(self._reports[attempt]))]
        for work in (self._current, self._next):
            if work is not None and work.assign.attempt == attempt:
                return [Send(messages.TaskAccepted(task=frame.task, attempt=attempt))] if work.ours else []
        error = self._why_not(frame)
        if error is not None:
            return self._report(messages.TaskReleased(task=frame.task, attempt=attempt, error=error), now)
        return self._take(frame, now)

    def _why_not(self, frame: TaskAssign) -> Error | None:
        # Not when only draining: what the hub assigned before it was paused is still ours to do.
        if self._draining or self.mode is Mode.RESTARTING:
            return Error(code="drained", message="The sidecar is about to leave.")
        busy = self._next or (self._current if self._current and self._current.ours else None)
        if busy is not None:
            return Error(code="busy", message=f"The sidecar is at work on attempt {busy.assign.attempt}.")
        return self._refusal(frame)

    def _take(self, frame: TaskAssign, now: float) -> list[Effect]:
        work = Work(frame, fence=now + frame.lease_seconds, progress=Progress(frame.task, frame.attempt))
        effects: list[Effect] = [
            Keep(frame),
            Send(messages.TaskAccepted(id=self._mark("accept"), task=frame.task, attempt=frame.attempt)),
        ]
        self._next = work
        return effects + self._start_next()

    def _start_next(self) -> list[Effect]:
        """Older work that is being stopped ends first: two attempts never share this machine."""
        if self._current is not None or self._next is None:
            return []
        self._current, self._next = self._next, None
        self._current.started = True
        return [Start(self._current.assign)]

    def _on_settled(self, frame: messages.TaskSettled) -> list[Effect]:
        if self._reports.pop(frame.attempt, None) is None:
            return []
        return [Forget(frame.attempt)]

    def _desire(self, frame: messages.AgentDesired) -> list[Effect]:
        before = self.mode
        self._desired = frame
        return [] if self.mode is before else [Enter(self.mode)]

    def _on_ack(self, frame: messages.HeartbeatAck) -> list[Effect]:
        sent = self._spoken.beats.pop(frame.id, None) if self._spoken else None
        if sent is not None:
            for attempt in frame.renewed:
                self._renew(attempt, sent + frame.lease_seconds)
        return []

    def _on_error(self, frame: messages.ErrorFrame, now: float) -> list[Effect]:
        """A report the hub cannot read would be said for ever: say the short of it in its place."""
        if frame.code == "hello_first":
            return [Hangup("the hub lost our hello")]
        if self._spoken is not None and frame.code == "internal" and frame.about == self._spoken.offers != "":
            self._spoken.offers_due = now + RESEND_SECONDS
        attempt = _attempt_of(frame.about)
        refused = self._reports.get(attempt) if attempt else None
        if frame.code not in UNREADABLE or refused is None:
            return []
        message = f"The hub could not read this attempt's report: {frame.message} {'; '.join(frame.errors)}"
        short = messages.TaskFailed(
            task=refused.task, attempt=refused.attempt, error=Error(code="report_refused", message=message[:4_000])
        )
        return [] if _is_short(refused) else self._report(short, now)

    # --- smaller parts --------------------------------------------------------------------------------------------

    def _lose(self, attempt: int, why: Why, *, forget_report: bool) -> list[Effect]:
        """The attempt is over for the hub: stop its work, or forget that it waited."""
        if forget_report and self._reports.pop(attempt, None) is not None:
            return [Forget(attempt)]
        for work in (self._current, self._next):
            if work is not None and work.assign.attempt == attempt:
                return self._stop(work, why)
        return []

    def _stop(self, work: Work, why: Why) -> list[Effect]:
        if work is self._next:
            self._next = None
            if why in {Why.CANCELLED, Why.DROPPED}:
                return [Forget(work.assign.attempt)]
            work.stopping = why
            return self._report(_stopped(work), None)
        already = work.stopping
        if already is not None and (already in {Why.CANCELLED, Why.DROPPED} or why in {Why.FENCED, Why.DRAINED}):
            return []
        work.stopping = why
        return [] if already else [Stop(work.assign.attempt, why)]

    def _remove(self, work: Work) -> None:
        if work is self._current:
            self._current = None
        if work is self._next:
            self._next = None

    def _renew(self, attempt: int, until: float) -> None:
        for work in (self._current, self._next):
            if work is not None and work.assign.attempt == attempt and work.ours:
                work.fence = max(work.fence, until)

    def _report(self, report: Terminal, now: float | None) -> list[Effect]:
        self._reports[report.attempt] = report
        effects: list[Effect] = [KeepReport(report)]
        if self._spoken is not None and self._spoken.welcomed and now is not None:
            effects.append(self._say_report(self._spoken, report.attempt, now))
        return effects

    def _say_report(self, spoken: _Spoken, attempt: int, now: float) -> Send:
        spoken.reports[attempt] = now
        return Send(self._marked(self._reports[attempt]))

    def _marked(self, report: Terminal) -> Terminal:
        return report.model_copy(update={"id": f"report-{report.attempt}"})

    def _tell_progress(self, work: Work | None) -> list[Effect]:
        effects: list[Effect] = []
        while work is not None and work.ours and (batch := work.progress.batch()):
            effects.append(Send(batch))
        return effects

    def _held(self) -> list[Holding]:
        return [work.holding for work in (self._current, self._next) if work is not None and work.ours]

    def _owed(self) -> list[Holding]:
        return [Holding(task=report.task, attempt=report.attempt) for report in self._reports.values()][:1_000]

    def _mark(self, kind: str) -> str:
        self._marks += 1
        return f"{kind}-{self._marks}"


def _released(assign: TaskAssign, code: str, message: str) -> messages.TaskReleased:
    error = Error(code=code, message=message[:4_000])
    return messages.TaskReleased(task=assign.task, attempt=assign.attempt, error=error)


_STOPPED = {
    Why.FENCED: "The lease could not be renewed in time, so the sidecar stopped its work.",
    Why.DRAINED: "The sidecar was told to leave before the work was done.",
}


def _stopped(work: Work) -> messages.TaskReleased:
    if work.stopping in _STOPPED:
        return _released(work.assign, work.stopping.value, _STOPPED[work.stopping])
    return _released(work.assign, "internal", "The work ended without a report.")


def _is_short(report: Terminal) -> bool:
    return isinstance(report, messages.TaskFailed) and report.error.code == "report_refused"


def _attempt_of(mark: str) -> int | None:
    kind, _, number = mark.partition("-")
    return int(number) if kind == "report" and number.isdecimal() else None
