"""Every frame, both ways. One class a frame; `type` tells them apart; the docstring is its documentation.

`task` and `attempt` together are the fence: an attempt is one assignment of one task to one agent, its id never comes
again, and the hub checks both (and the agent behind the socket) in the statement that changes anything.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sidecar.wire.nouns import (
    Allowance,
    Brief,
    Check,
    Count,
    EndpointState,
    Error,
    Holding,
    Host,
    Id,
    Identity,
    KnownEndpoint,
    Line,
    Load,
    ModelCall,
    ModelOffer,
    Name,
    Noun,
    RepoRef,
    Report,
    Result,
    Sandbox,
    Seconds,
    Sha,
    Step,
    Text64,
    Text100,
    Text200,
    Text500,
    Text4000,
    Verdict,
    Word,
)


class Frame(Noun):
    """`id` is the sender's own mark for this frame; an error frame that answers it repeats it in `about`."""

    id: Text64 = ""


class AboutAttempt(Frame):
    task: Id
    attempt: Id


# --- sidecar -> hub ---------------------------------------------------------------------------------------------------


class Hello(Frame):
    """First frame of every connection: who I am, what I can do, what I hold and what I have not delivered yet.

    `process` is drawn anew by each start of the program, so that a restart can be told from a reconnection; empty when
    the program does not tell its processes apart. `restarts` are addresses of endpoints that I can restart.
    """

    type: Literal["hello"] = "hello"
    version: Count
    software: Text100 = ""
    process: Text64 = ""
    executors: list[Word] = Field(default_factory=lambda: ["shell"], max_length=20)
    capabilities: list[Word] = Field(default_factory=list, max_length=100)
    models: list[ModelOffer] = Field(default_factory=list, max_length=50)
    endpoints: list[EndpointState] = Field(default_factory=list, max_length=50)
    sandbox: Sandbox = Sandbox(level="none")
    host: Host = Host()
    restarts: list[Text200] = Field(default_factory=list, max_length=50)
    holding: list[Holding] = Field(default_factory=list, max_length=100)
    undelivered: list[Holding] = Field(default_factory=list, max_length=1_000)


class Heartbeat(Frame):
    """I am alive and still working on these; renews their leases."""

    type: Literal["heartbeat"] = "heartbeat"
    holding: list[Holding] = Field(default_factory=list, max_length=100)


class ModelsOffered(Frame):
    """What I can think with has changed: an endpoint went or came back, a model was loaded or unloaded."""

    type: Literal["models.offered"] = "models.offered"
    models: list[ModelOffer] = Field(max_length=50)
    endpoints: list[EndpointState] = Field(default_factory=list, max_length=50)


class HostMeasured(Frame):
    """How busy this machine is now; said again every few seconds, and lost without harm."""

    type: Literal["host.measured"] = "host.measured"
    load: Load


class EndpointRestarted(Frame):
    """What came of `endpoint.restart`: `ok` when the command ended well, and the end of what it printed."""

    type: Literal["endpoint.restarted"] = "endpoint.restarted"
    restart: Id
    ok: bool
    message: Text4000 = ""
    seconds: float = Field(default=0.0, ge=0, le=3_600, allow_inf_nan=False)


class TaskAccepted(AboutAttempt):
    """The assignment is in my journal; from here its lease is kept alive by heartbeats and progress."""

    type: Literal["task.accepted"] = "task.accepted"


class TaskProgress(AboutAttempt):
    """A batch of live steps; `seq` counts batches of this attempt from 1, so that a resent one is known."""

    type: Literal["task.progress"] = "task.progress"
    seq: Id
    steps: list[Step] = Field(max_length=200)


class ModelCalls(AboutAttempt):
    """Calls of a model that this attempt has made; said again until the hub has settled them, also when it is over."""

    type: Literal["model.calls"] = "model.calls"
    calls: list[ModelCall] = Field(max_length=100)


class TaskBlocked(AboutAttempt):
    """The work waits for something outside the agent's reach; the lease is still renewed by heartbeats."""

    type: Literal["task.blocked"] = "task.blocked"
    reason: Line


class TaskUnblocked(AboutAttempt):
    """The work goes on."""

    type: Literal["task.unblocked"] = "task.unblocked"


class TaskCompleted(AboutAttempt):
    """Terminal: the work is done, its own checks ran, the branch is pushed. `reports` holds every run, oldest first."""

    type: Literal["task.completed"] = "task.completed"
    result: Result
    reports: list[Report] = Field(default_factory=list, max_length=20)


class TaskFailed(AboutAttempt):
    """Terminal: the attempt did not succeed. `reports` tells what its checks found, if it came to that."""

    type: Literal["task.failed"] = "task.failed"
    error: Error
    result: Result = Result()
    reports: list[Report] = Field(default_factory=list, max_length=20)


class TaskReleased(AboutAttempt):
    """Terminal: handed back unfinished through no fault of the task (drain, cannot run it); not a failure."""

    type: Literal["task.released"] = "task.released"
    error: Error


FromSidecar = Annotated[
    Hello
    | Heartbeat
    | ModelsOffered
    | HostMeasured
    | EndpointRestarted
    | TaskAccepted
    | TaskProgress
    | ModelCalls
    | TaskBlocked
    | TaskUnblocked
    | TaskCompleted
    | TaskFailed
    | TaskReleased,
    Field(discriminator="type"),
]
Terminal = TaskCompleted | TaskFailed | TaskReleased


# --- hub -> sidecar ---------------------------------------------------------------------------------------------------


class Welcome(Frame):
    """Answer to hello. One verdict for each attempt the sidecar named, in holding or undelivered.

    Heartbeats are due every `heartbeat_seconds` while work is held and every `idle_seconds` otherwise; a lease that was
    not renewed for `lease_seconds` is lost, and the sidecar must stop that work itself before then.
    """

    type: Literal["welcome"] = "welcome"
    version: Count
    agent: Name
    heartbeat_seconds: Seconds
    idle_seconds: Seconds
    lease_seconds: Seconds
    verdicts: list[Verdict] = Field(default_factory=list, max_length=1_100)


class EndpointsKnown(Frame):
    """All endpoints of the hub's operators. Offer those of their models that you can reach and that pass your trial.

    Said after the welcome and whenever it changes; it takes the place of what was said before.
    """

    type: Literal["endpoints.known"] = "endpoints.known"
    endpoints: list[KnownEndpoint] = Field(default_factory=list, max_length=50)


class EndpointRestart(Frame):
    """Run your own command that restarts the endpoint at `url`, one of the `restarts` of your hello; nothing else.

    The same `restart` may be asked for twice: run it once, and answer again.
    """

    type: Literal["endpoint.restart"] = "endpoint.restart"
    restart: Id
    url: Annotated[Text200, StringConstraints(min_length=1)]


class TaskAssign(AboutAttempt):
    """Work for you. Answer `task.accepted` once it is in your journal, or `task.released` if you cannot run it.

    `executor` names how: `shell` runs `brief.command`; `verify` checks `commit` out afresh and only runs the checks; an
    executor of models lets `model` (at `url`, if its offer named one) work at it for at most `max_steps` answers and
    within its `allowance`.
    `start` is the branch to begin from (the default branch when empty); `branch` is the only one you may push. `resume`
    is what an earlier attempt left behind: its changes are work to go on with, if they still fit. `guard` names files
    of `base` (tests that the work has changed) with which a verification repeats its checks once more.
    A failing check re-runs the work at most `max_fixes` times before the attempt fails.
    """

    type: Literal["task.assign"] = "task.assign"
    generation: Id
    executor: Word
    model: Text200 = ""
    url: Text200 = ""
    max_steps: Count = 0
    allowance: Allowance | None = None
    brief: Brief
    checks: list[Check] = Field(default_factory=list, max_length=50)
    max_fixes: Count = 0
    timeout_seconds: Seconds
    lease_seconds: Seconds
    repo: RepoRef | None = None
    start: Text200 = ""
    branch: Text200 = ""
    commit: Sha | Literal[""] = ""
    base: Sha | Literal[""] = ""
    resume: Sha | Literal[""] = ""
    guard: list[Text500] = Field(default_factory=list, max_length=200)
    identity: Identity


class TaskCancel(AboutAttempt):
    """Somebody cancelled it: kill the work, keep what is worth keeping on the salvage ref, free the slot."""

    type: Literal["task.cancel"] = "task.cancel"
    reason: Line = ""


class TaskDrop(AboutAttempt):
    """This attempt is not yours any more; nothing you say of it changes anything. Stop it and forget it."""

    type: Literal["task.drop"] = "task.drop"
    reason: Word = "stale"


class TaskSettled(AboutAttempt):
    """Your terminal report is stored; clear it from the journal. Sent again for a report that is sent again."""

    type: Literal["task.settled"] = "task.settled"
    outcome: Word


class CallsSettled(AboutAttempt):
    """These calls are in the ledger; forget them."""

    type: Literal["calls.settled"] = "calls.settled"
    calls: list[Text64] = Field(max_length=100)


class AgentDesired(Frame):
    """How the operator wants this agent to be. Takes the place of the last one; a welcome takes all of it back.

    `drain`: no new work comes; what is in hand goes on. `restart` names the process that is to end itself once nothing
    is in hand, so that a new one takes its place; to any other process it means nothing. `now`: it does not wait for
    longer than its grace, and hands its work back.
    """

    type: Literal["agent.desired"] = "agent.desired"
    drain: bool = False
    restart: Text64 = ""
    now: bool = False


class HeartbeatAck(Frame):
    """The leases of `renewed` run for another `lease_seconds` from when you sent the heartbeat."""

    type: Literal["heartbeat.ack"] = "heartbeat.ack"
    renewed: list[Id] = Field(default_factory=list, max_length=100)
    lease_seconds: Seconds


class ErrorFrame(Frame):
    """Something you sent was not understood or not allowed; `about` repeats that frame's id, if it had one."""

    type: Literal["error"] = "error"
    code: Word
    message: Line
    about: Text64 = ""
    errors: list[Line] = Field(default_factory=list, max_length=20)


FromHub = Annotated[
    Welcome
    | EndpointsKnown
    | EndpointRestart
    | TaskAssign
    | TaskCancel
    | TaskDrop
    | TaskSettled
    | CallsSettled
    | AgentDesired
    | HeartbeatAck
    | ErrorFrame,
    Field(discriminator="type"),
]
