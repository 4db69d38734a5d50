"""What frames are made of: the brief of a task, checks, reports and results. Plain frozen values.

Every string and list has a limit, so that one frame can never carry an unbounded thing into the hub. Statuses do not
live here: a frame says what happened, the hub decides what that means.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints


def _storable(text: str) -> str:
    """PostgreSQL refuses NUL in text; a command's output may well hold one."""
    return text.replace("\x00", "\ufffd")


# Strings of at most so many characters that every database can store.
Text64 = Annotated[str, StringConstraints(max_length=64), AfterValidator(_storable)]
Text100 = Annotated[str, StringConstraints(max_length=100), AfterValidator(_storable)]
Text150 = Annotated[str, StringConstraints(max_length=150), AfterValidator(_storable)]
Text200 = Annotated[str, StringConstraints(max_length=200), AfterValidator(_storable)]
Text500 = Annotated[str, StringConstraints(max_length=500), AfterValidator(_storable)]
Text1000 = Annotated[str, StringConstraints(max_length=1_000), AfterValidator(_storable)]
Text2000 = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_storable)]
Text4000 = Annotated[str, StringConstraints(max_length=4_000), AfterValidator(_storable)]
Text10000 = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_storable)]
Text60000 = Annotated[str, StringConstraints(max_length=60_000), AfterValidator(_storable)]

Name = Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Word = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:+/-]*$")]
Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Line = Text2000
Tail = Text60000


class Noun(BaseModel):
    """Frozen, and tolerant of fields a newer peer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore")


CheckType = Literal["file_exists", "command_succeeds", "tests_pass", "git_clean", "diff_contains", "no_secrets"]
CheckStatus = Literal["pass", "fail", "error", "timeout"]


class Check(Noun):
    """One mechanical proof that the work is done; `target` is a path, a command, a pattern, or "auto"."""

    type: CheckType
    target: Text2000 = ""
    description: Text500 = ""
    timeout_seconds: Seconds = 120.0


class CheckResult(Noun):
    """How one check ended. `output` is the tail of what it printed; `duration_ms` is wall time."""

    type: CheckType
    target: Text2000 = ""
    description: Text500 = ""
    status: CheckStatus
    output: Text10000 = ""
    duration_ms: Count = 0


class Report(Noun):
    """One run of all checks of a task, bound to the commit and tree it looked at.

    `status` is the worst of the checks (error over timeout over fail over pass). `base`, `commit` and `tree` are empty
    for a task without a repository. `as_before` is how the checks that run something ended with the guarded files put
    back as the base has them; empty when nothing was guarded.
    """

    status: CheckStatus
    checks: list[CheckResult] = Field(default_factory=list, max_length=50)
    base: Sha | Literal[""] = ""
    commit: Sha | Literal[""] = ""
    tree: Sha | Literal[""] = ""
    sandbox: Word = "none"
    duration_ms: Count = 0
    as_before: CheckStatus | Literal[""] = ""


class DiffStat(Noun):
    """Size of a change as the sidecar saw it; the hub computes its own from the pushed objects."""

    files: Count = 0
    added: Count = 0
    deleted: Count = 0


class Rate(Noun):
    """What tokens cost, in micro-USD per million, for prompts of more than `prompt_over` tokens."""

    prompt_over: Count = 0
    input: Count = 0
    output: Count = 0
    cache_write_5m: Count = 0
    cache_write_1h: Count = 0
    cache_read: Count = 0


class Allowance(Noun):
    """What an attempt may spend on its model: micro-USD, tokens of all classes, calls; and what the model costs."""

    microusd: Count = 0
    tokens: Count = 0
    calls: Count = 0
    rates: list[Rate] = Field(default_factory=list, max_length=20)


class ModelCall(Noun):
    """One call of a model under an attempt's allowance. `call` never comes again; `at` is Unix time in milliseconds.

    Tokens by class. Not `certain`: the true usage is not known, and these are the most that it can be.
    """

    call: Text64
    model: Text200
    at: Count
    tokens: dict[Word, Count] = Field(default_factory=dict, max_length=16)
    certain: bool = True
    duration_ms: Count = 0
    request_id: Text200 = ""


class ToolUse(Noun):
    """One tool call of a model: `arguments` and `observation` are JSON, cut at their limits."""

    name: Text64
    arguments: Text10000 = ""
    observation: Text10000 = ""
    ok: bool = True
    duration_ms: Count = 0


class AgentStep(Noun):
    """One answer of a model and what was done with it. `diff` is the work so far, when the step changed something.

    Tokens are this step's, by class; `notes` say what was repaired, retried or advised on the way. `complaint` is what
    the model was told about an answer that could not be read, so that nothing was done; empty for all others.
    """

    number: Count
    run: Count = 1
    at_ms: Count = 0
    said: Text4000 = ""
    thinking: Text4000 = ""
    uses: list[ToolUse] = Field(default_factory=list, max_length=20)
    tokens: dict[Word, Count] = Field(default_factory=dict, max_length=16)
    first_ms: Count = 0
    model_ms: Count = 0
    notes: list[Text500] = Field(default_factory=list, max_length=20)
    diff: Text10000 = ""
    complaint: Text2000 = ""


class Result(Noun):
    """What an attempt produced, whatever its end. Tokens by class; cost in micro-USD; durations in milliseconds.

    `trajectory` is how a model got there, step by step; `blame` says of an attempt that did not succeed whether a
    stronger model would help (`capability`), or waiting (`infrastructure`), or only a person (`setup`). `partial` is
    true for work that was not brought to its end.
    """

    executor: Word = "shell"
    summary: Text2000 = ""
    output: Tail = ""
    exit_code: int | None = Field(default=None, ge=-255, le=255)
    stop_reason: Word | Literal[""] = ""
    runs: Count = 1
    duration_ms: Count = 0
    base: Sha | Literal[""] = ""
    commit: Sha | Literal[""] = ""
    tree: Sha | Literal[""] = ""
    branch: Text200 = ""
    diff: DiffStat = DiffStat()
    model: Text200 = ""
    tokens: dict[Word, Count] = Field(default_factory=dict, max_length=16)
    cost_microusd: Count = 0
    partial: bool = False
    blame: Word | Literal[""] = ""
    trajectory: list[AgentStep] = Field(default_factory=list, max_length=100)


class Error(Noun):
    """Why an attempt did not succeed: a stable code for machines, a sentence for people."""

    code: Word
    message: Text4000 = ""


class RepoRef(Noun):
    """Where the work happens. `path` is relative to the hub's base URL: `/git/<slug>.git`."""

    slug: Name
    path: Text200
    default_branch: Text200 = "main"


class FileHint(Noun):
    path: Text500
    reason: Text500 = ""


class Previous(Noun):
    """What an earlier attempt at the same task left behind: how it ended and what failed. Quoted data, size-capped."""

    attempt: Id
    outcome: Word
    error: Text4000 = ""
    failed_checks: list[CheckResult] = Field(default_factory=list, max_length=20)


class Remark(Noun):
    """A reviewer's comment that this attempt has to answer."""

    author: Text150
    body: Text10000
    path: Text500 = ""


class Brief(Noun):
    """All that an executor may know of the task; commands get it as a JSON file, never through a shell template."""

    title: Text200
    description: Text10000 = ""
    command: Text10000 = ""
    success_criteria: list[Text1000] = Field(default_factory=list, max_length=50)
    file_hints: list[FileHint] = Field(default_factory=list, max_length=100)
    previous: list[Previous] = Field(default_factory=list, max_length=10)
    remarks: list[Remark] = Field(default_factory=list, max_length=50)


class Identity(Noun):
    """Who the commits of an attempt are by."""

    name: Text100
    email: Text200


class Holding(Noun):
    """One attempt that the sidecar has in hand, or whose terminal report it has not delivered yet."""

    task: Id
    attempt: Id


class Verdict(Noun):
    """The hub's answer to a Holding: go on with it, or drop it because it is somebody else's or over."""

    task: Id
    attempt: Id
    verdict: Literal["continue", "drop"]
    reason: Word = "ok"


class Trial(Noun):
    """One request of a model's trial: whether its answer was right, what was wrong, how often it was repaired."""

    name: Text64
    ok: bool
    what: Text200 = ""
    repairs: Count = 0
    duration_ms: Count = 0


class Unfit(Noun):
    """A model that was tried and cannot do our work; `reason` is a sentence."""

    model: Annotated[Text200, StringConstraints(min_length=1)]
    digest: Text200 = ""
    reason: Text500 = ""


class EndpointState(Noun):
    """Where models answer, as an agent that uses it finds it. The hub never calls an address from here.

    Not `own` is one that the hub told of.
    """

    kind: Word
    url: Annotated[Text200, StringConstraints(min_length=1)]
    health: Literal["unknown", "up", "down"] = "unknown"
    version: Text64 = ""
    trouble: Text500 = ""
    own: bool = True
    unfit: list[Unfit] = Field(default_factory=list, max_length=100)


class ModelOffer(Noun):
    """A model that an agent can work with: through which executor, of which grade, and what its trial found.

    `url` is where it answers, empty for what is no endpoint; `grade` is what routing rules speak of (`local`, `claude`,
    or a word of the operator's); `context` in tokens; `warm` is whether it is loaded, so that its first word comes at
    once.
    """

    executor: Word
    model: Annotated[Text200, StringConstraints(min_length=1)]
    grade: Word = "local"
    context: Count = 0
    dialect: Word = "native"
    digest: Text200 = ""
    tokens_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    warm: bool = False
    url: Text200 = ""
    trials: list[Trial] = Field(default_factory=list, max_length=50)
    context_measured: Count = 0


class KnownModel(Noun):
    """A model of an endpoint that the hub tells of; what agents found when they tried this very build of it, if any.

    `dialect` when it passed; `unfit` is the reason when it cannot do our work.
    """

    name: Annotated[Text200, StringConstraints(min_length=1)]
    digest: Text200 = ""
    dialect: Word | Literal[""] = ""
    tokens_per_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    unfit: Text500 = ""


class KnownEndpoint(Noun):
    """An endpoint that an operator added to the hub, for every agent that can reach it and is set up to use it."""

    kind: Word
    url: Annotated[Text200, StringConstraints(min_length=1)]
    grade: Word = "local"
    models: list[KnownModel] = Field(default_factory=list, max_length=100)


class Sandbox(Noun):
    """How commands are confined: `bubblewrap`, `off` (the operator opted out) or `none` (this machine refuses work)."""

    level: Literal["bubblewrap", "off", "none"]
    detail: Text500 = ""
    enforced: list[Word] = Field(default_factory=list, max_length=20)


class Gpu(Noun):
    """One graphics processor. `busy` in percent; memory in bytes, 0 when it could not be read."""

    name: Text100 = ""
    busy: Percent | None = None
    memory_bytes: Count = 0
    memory_used_bytes: Count = 0


class Load(Noun):
    """How busy a machine is: percent over the last seconds, and bytes. None is what could not be measured."""

    cpu: Percent | None = None
    cores: list[Percent] = Field(default_factory=list, max_length=1_024)
    memory_used_bytes: Count | None = None
    disk_bytes: Count | None = None
    disk_free_bytes: Count | None = None
    gpus: list[Gpu] = Field(default_factory=list, max_length=32)


class Host(Noun):
    """Facts of the machine. `machine` tells it from all others: agents that say the same one share it."""

    machine: Text64 = ""
    hostname: Text200 = ""
    system: Text200 = ""
    cpus: Count = 0
    memory_bytes: Count = 0
    load: Load | None = None


class Step(Noun):
    """One line of live progress. `at_ms` counts from the attempt's start.

    A step of kind `tool` may say more: which tool with which arguments (JSON), what came of it, the tokens of the
    answer that called it, and how long it took.
    """

    at_ms: Count
    kind: Literal["phase", "output", "tool", "check", "note"]
    text: Line
    tool: Text64 = ""
    arguments: Text2000 = ""
    result: Text2000 = ""
    tokens: Count = 0
    duration_ms: Count = 0
