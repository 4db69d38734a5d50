"""The session against a model of its hub and its machine, in every order that Hypothesis can think of."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.effects import Forget, Keep, KeepReport, Restart, Send, Start, Stop
from sidecar.session import Session
from sidecar.wire import VERSION, messages
from sidecar.wire.nouns import Brief, Error, Identity, Result, Step, Verdict

LEASE = 20.0
MARGIN = 5.0


def assignment(attempt):
    return messages.TaskAssign(
        task=attempt,
        attempt=attempt,
        generation=1,
        executor="shell",
        brief=Brief(title="t", command="true"),
        timeout_seconds=60,
        lease_seconds=LEASE,
        identity=Identity(name="ada", email="ada@example.org"),
    )


class Hub(RuleBasedStateMachine):
    """The hub keeps one open attempt per agent, as the real one; frames may be lost with a connection, never reordered.

    The machine keeps a disk that survives restarts of the session, and at most one piece of work.
    """

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.disk: dict[int, Any] = {}  # attempt -> assignment or report
        self.open: Any = None  # the hub's open attempt
        self.lease = 0.0
        self.outcomes: dict[int, str] = {}  # attempt -> how the hub has it ended
        self.assigned = 0
        self.running: Any = None
        self.stopping = False
        self.sent: list[Any] = []  # frames on their way to the hub
        self.connected = False
        self.told: set[int] = set()  # attempts the hub has pushed on this connection
        self.renewed_at: dict[int, float] = {}  # attempt -> the latest moment from which its lease is known to run
        self.beats: dict[str, float] = {}
        self.hello_at = 0.0
        self.processes = 1
        self.wish = messages.AgentDesired()  # as it was told last
        self.restarting = False
        self.session = Session(self.hello(), margin=MARGIN)

    @property
    def process(self):
        return f"process-{self.processes}"

    def hello(self):
        return messages.Hello(version=VERSION, process=self.process)

    # --- carrying effects out, with the rules that must hold ---------------------------------------------------------

    def do(self, effects):
        for effect in effects:
            match effect:
                case Keep():
                    self.disk[effect.assign.attempt] = effect.assign
                case KeepReport():
                    self.disk[effect.report.attempt] = effect.report
                case Forget():
                    self.disk.pop(effect.attempt, None)
                case Start():
                    assert self.running is None, "two attempts at work at once"
                    assert effect.assign.attempt in self.disk, "work that is not on disk"
                    self.running, self.stopping = effect.assign.attempt, False
                case Stop():
                    assert effect.attempt == self.running
                    self.stopping = True
                case Restart():
                    assert self.wish.restart == self.process, "a restart that nobody wants of this process"
                    assert self.wish.now or self.session.resting, "a restart in the middle of the work"
                    self.restarting = True
                case Send():
                    self.check_sent(effect.frame)
                    self.sent.append(effect.frame)

    def check_sent(self, frame):
        assert self.connected, "said something to nobody"
        if isinstance(frame, messages.TaskAccepted):
            assert frame.attempt in self.disk, "accepted before it was kept"
        if isinstance(frame, messages.Terminal):
            assert isinstance(self.disk[frame.attempt], messages.Terminal), "reported before it was kept"
        if isinstance(frame, messages.Heartbeat):
            self.beats[frame.id] = self.now

    def hear(self, frame):
        self.do(self.session.receive(frame, self.now))

    # --- the hub ------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.connected and self.session.welcomed and self.open is None)
    @rule()
    def assign(self):
        self.assigned += 1
        self.open, self.lease = self.assigned, self.now + LEASE
        self.push()

    def push(self):
        if self.open is not None and self.open not in self.told:
            self.told.add(self.open)
            self.renewed_at.setdefault(self.open, self.now)
            self.hear(assignment(self.open))

    @precondition(lambda self: self.connected and self.open is not None and self.session.welcomed)
    @rule()
    def assign_twice(self):
        self.hear(assignment(self.open))

    @precondition(lambda self: self.connected and self.open is not None and self.session.welcomed)
    @rule()
    def cancel(self):
        attempt, self.open = self.open, None
        self.outcomes[attempt] = "cancelled"
        self.hear(messages.TaskCancel(task=attempt, attempt=attempt))

    @precondition(lambda self: self.open is not None and self.now >= self.lease)
    @rule()
    def reclaim(self):
        attempt, self.open = self.open, None
        self.outcomes[attempt] = "reclaimed"
        if self.connected and self.session.welcomed and attempt in self.told:
            self.hear(messages.TaskDrop(task=attempt, attempt=attempt))

    @precondition(lambda self: self.connected and self.sent)
    @rule()
    def listen(self):
        frame = self.sent.pop(0)
        if isinstance(frame, messages.Hello):
            self.welcome(frame)
        elif isinstance(frame, messages.Heartbeat):
            self.acknowledge(frame)
        elif isinstance(frame, messages.Terminal):
            self.settle(frame)
        elif isinstance(frame, messages.TaskAccepted):
            self.fence(frame)

    @precondition(lambda self: self.connected)
    @rule()
    def listen_to_all(self):
        while self.sent:
            self.listen()

    def welcome(self, frame):
        verdicts = []
        for held in [*frame.holding, *frame.undelivered]:
            good = held.attempt == self.open or (
                held in frame.undelivered and self.outcomes.get(held.attempt) == "done"
            )
            if held.attempt == self.open:
                self.lease = self.now + LEASE
                self.told.add(held.attempt)
                self.renewed_at[held.attempt] = max(self.renewed_at[held.attempt], self.hello_at)
            verdicts.append(Verdict(task=held.task, attempt=held.attempt, verdict="continue" if good else "drop"))
        self.wish = messages.AgentDesired()
        self.hear(
            messages.Welcome(
                version=VERSION,
                agent="ada",
                heartbeat_seconds=5,
                idle_seconds=15,
                lease_seconds=LEASE,
                verdicts=verdicts,
            )
        )
        self.push()

    @precondition(lambda self: self.connected and self.session.welcomed)
    @rule(named=st.sampled_from(["this", "an earlier", ""]), now=st.booleans())
    def want(self, named, now):
        process = {"this": self.process, "an earlier": f"process-{self.processes - 1}", "": ""}[named]
        self.wish = messages.AgentDesired(drain=bool(process), restart=process, now=now)
        self.hear(self.wish)

    def acknowledge(self, frame):
        renewed = [held.attempt for held in frame.holding if held.attempt == self.open]
        for attempt in renewed:
            self.lease = self.now + LEASE
            self.renewed_at[attempt] = max(self.renewed_at[attempt], self.beats[frame.id])
        self.hear(messages.HeartbeatAck(id=frame.id, renewed=renewed, lease_seconds=LEASE))
        for held in frame.holding:
            if held.attempt != self.open:
                self.hear(messages.TaskDrop(task=held.task, attempt=held.attempt))

    def settle(self, frame):
        if frame.attempt == self.open:
            self.open = None
            self.outcomes[frame.attempt] = "done"
        if self.outcomes.get(frame.attempt) == "done":
            self.hear(messages.TaskSettled(task=frame.task, attempt=frame.attempt, outcome="done"))
        else:
            self.hear(messages.TaskDrop(task=frame.task, attempt=frame.attempt))

    def fence(self, frame):
        if frame.attempt != self.open:
            self.hear(messages.TaskDrop(task=frame.task, attempt=frame.attempt))
        else:
            self.lease = self.now + LEASE

    # --- the network, the clock, the machine --------------------------------------------------------------------------

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self):
        self.connected = True
        self.hello_at = self.now
        self.told = set()
        self.do(self.session.opened(self.now))

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self):
        self.connected = False
        self.sent.clear()
        self.do(self.session.closed())

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 5.0, 15.0, 60.0]))
    def wait(self, seconds):
        self.now += seconds
        self.do(self.session.tick(self.now))
        if self.restarting:
            self.depart()

    def depart(self):
        """What the daemon does then: it stops what still runs, and a new process follows."""
        self.do(self.session.hand_back())
        if self.running is not None:
            self.work_ends(in_time=False)
        lost = [kept for kept in self.disk.values() if isinstance(kept, messages.TaskAssign)]
        assert not lost, "a restart in order loses no work"
        self.restart()

    @precondition(lambda self: self.running is not None)
    @rule()
    def work_shows_progress(self):
        self.do(self.session.progressed(self.running, [Step(at_ms=1, kind="note", text="x")]))

    @precondition(lambda self: self.running is not None)
    @rule(in_time=st.booleans())
    def work_ends(self, in_time):
        attempt, self.running = self.running, None
        done = messages.TaskCompleted(task=attempt, attempt=attempt, result=Result())
        report = done if in_time or not self.stopping else None
        self.do(self.session.finished(attempt, report, self.now))

    @rule()
    def restart(self):
        """The process dies with all it started; the next one has what is on disk."""
        self.connected = self.restarting = False
        self.processes += 1
        self.sent.clear()
        self.running = None
        for attempt, kept in list(self.disk.items()):
            if isinstance(kept, messages.TaskAssign):
                error = Error(code="sidecar_restarted")
                self.disk[attempt] = messages.TaskReleased(task=attempt, attempt=attempt, error=error)
        owed = [kept for _, kept in sorted(self.disk.items())]
        self.session = Session(self.hello(), margin=MARGIN, undelivered=owed)

    # --- what holds at every moment -----------------------------------------------------------------------------------

    @invariant()
    def the_session_knows_what_runs(self):
        current = self.session.current
        assert self.running == (current.attempt if current else None)

    @invariant()
    def reports_stay_until_the_hub_has_answered(self):
        on_disk = {attempt for attempt, kept in self.disk.items() if isinstance(kept, messages.Terminal)}
        assert on_disk == {report.attempt for report in self.session.undelivered}

    @invariant()
    def nothing_works_past_its_fence(self):
        if self.running is not None and not self.stopping:
            last_tick_allows = 0.1  # a tick comes with every wait; frames in between may be a moment late
            since = self.renewed_at.get(self.running, -math.inf)
            assert self.now < since + LEASE - MARGIN + last_tick_allows

    def teardown(self):
        """Left alone with a hub that answers, everything settles."""
        for _ in range(12):
            if not self.connected:
                self.connect()
            self.listen_to_all()
            if self.running is not None:
                self.work_ends(in_time=True)
            self.wait(4.0)
            self.listen_to_all()
            if self.open is not None and self.now >= self.lease:
                self.reclaim()
        assert not self.disk
        assert self.open is None


TestSession = Hub.TestCase
TestSession.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
