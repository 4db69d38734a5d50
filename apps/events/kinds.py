"""Every event the hub can record, one sentence each."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The value is what is stored; `meaning` is the sentence shown to people."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Kind:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    TASK_SUBMITTED = "task.submitted", "Somebody handed in a task."
    TASK_READY = "task.ready", "The last prerequisite is completed; the task joined the queue."
    TASK_WAITING = "task.waiting", "Somebody made the task wait for another one."
    TASK_ASSIGNED = "task.assigned", "The task was matched with an agent and pushed to it."
    TASK_ACCEPTED = "task.accepted", "The agent has the task in its journal and works on it."
    TASK_BLOCKED = "task.blocked", "The agent waits for something outside its reach."
    TASK_UNBLOCKED = "task.unblocked", "The agent goes on."
    TASK_COMPLETED = "task.completed", "The work is done and its checks passed."
    TASK_RETRIED = "task.retried", "An attempt failed; the task is back in the queue with what failed."
    TASK_RECLAIMED = "task.reclaimed", "The agent fell silent; the task was taken back."
    TASK_RELEASED = "task.released", "The agent handed the task back unfinished."
    TASK_BURIED = "task.buried", "No attempts are left; the task lies in the dead letter with its evidence."
    TASK_CANCELLED = "task.cancelled", "Somebody cancelled the task."
    TASK_REVIVED = "task.revived", "Somebody took the task out of the dead letter."
    TASK_STRANDED = "task.stranded", "A prerequisite was buried or cancelled; a person has to decide."
    TASK_UNSTRANDED = "task.unstranded", "The prerequisite is back on its way."
    TASK_SALVAGED = "task.salvaged", "What an ended attempt left in its work tree was saved on a ref."
    TASK_REROUTED = "task.rerouted", "Models of other grades may have the task; why is in the event."

    AGENT_ENROLLED = "agent.enrolled", "A machine joined with an enrolment code."
    AGENT_JOINED = "agent.joined", "The agent's sidecar connected."
    AGENT_OFFERED = "agent.offered", "The models that the agent can use have changed."
    AGENT_LEFT = "agent.left", "The agent's connection ended."
    AGENT_PAUSED = "agent.paused", "An operator paused the agent."
    AGENT_RESUMED = "agent.resumed", "An operator let the agent work again."
    AGENT_RESTART_ASKED = "agent.restart_asked", "An operator asked for the agent's sidecar to be restarted."
    AGENT_RESTART_WITHDRAWN = "agent.restart_withdrawn", "An operator took the wish for a restart back."
    AGENT_RESTARTED = "agent.restarted", "A new process of the sidecar has come, as was asked for."
    AGENT_RETIRED = "agent.retired", "An operator took the agent out of service for good."
    TOKEN_MINTED = "token.minted", "A token was made."
    TOKEN_REVOKED = "token.revoked", "A token was revoked."
    TOKEN_ROTATED = "token.rotated", "A token was replaced; the old one works for the overlap."

    ENDPOINT_ADDED = "endpoint.added", "An operator added an endpoint of models."
    ENDPOINT_CHANGED = "endpoint.changed", "An operator changed an endpoint, or which of its models are wanted."
    ENDPOINT_DRAINED = "endpoint.drained", "An operator keeps new work away from an endpoint."
    ENDPOINT_RESUMED = "endpoint.resumed", "An operator lets an endpoint have work again."
    ENDPOINT_REMOVED = "endpoint.removed", "An operator removed an endpoint."
    ENDPOINT_UP = "endpoint.up", "An endpoint answers."
    ENDPOINT_DOWN = "endpoint.down", "An endpoint did not answer twice in a row."
    ENDPOINT_RESTART_ASKED = "endpoint.restart_asked", "Somebody asked for an endpoint to be restarted."
    ENDPOINT_RESTARTED = "endpoint.restarted", "The wish for a restart of an endpoint has ended; how is in the event."
    ROUTING_CHANGED = "routing.changed", "An operator changed which grades of model do a tier of work."

    REPO_ADDED = "repo.added", "A repository was registered."
    REPO_CHANGED = "repo.changed", "An operator changed a repository's settings."
    REPO_SYNCED = "repo.synced", "The mirror took over what is new upstream."
    REPO_SYNC_FAILED = "repo.sync_failed", "The mirror could not be brought up to date."

    PULL_OPENED = "pull.opened", "A pull request was opened."
    PULL_UPDATED = "pull.updated", "New work was pushed to the pull request's branch."
    PULL_VERIFYING = "pull.verifying", "The hub asked for the checks to be repeated on a clean checkout."
    PULL_VERIFIED = "pull.verified", "The checks passed on a clean checkout of exactly this tree."
    PULL_REFUTED = "pull.refuted", "The checks did not pass on a clean checkout."
    PULL_STALE = "pull.stale", "The branch or its base moved; the evidence speaks of another tree."
    PULL_REFUSED = "pull.refused", "A result could not become, or update, a pull request."
    PULL_RETURNED = "pull.returned", "The follow-up ended without a result; the pull request stands as it was."
    PULL_COMMENTED = "pull.commented", "Somebody commented."
    PULL_APPROVED = "pull.approved", "A person approved."
    PULL_CHANGES_REQUESTED = "pull.changes_requested", "A person asked for changes; they went back as work."
    PULL_MERGED = "pull.merged", "A person merged the pull request."
    PULL_CLOSED = "pull.closed", "The pull request was closed without merging."

    GOAL_SUBMITTED = "goal.submitted", "Somebody handed in a goal."
    GOAL_CHANGED = "goal.changed", "Somebody changed a goal, its priority or what it waits for."
    GOAL_BEGUN = "goal.begun", "The hub began to make a plan."
    GOAL_PLANNED = "goal.planned", "There is a plan, and it may be carried out."
    GOAL_APPROVAL_WANTED = "goal.approval_wanted", "There is a plan that waits for a person's approval."
    GOAL_APPROVED = "goal.approved", "A person approved the plan."
    GOAL_MERGED = "goal.merged", "The work of a slice, or of the default branch, is in the goal's branch."
    GOAL_UNMERGED = "goal.unmerged", "The work did not merge, or its checks did not pass on the merged tree."
    MERGE_ENDED = "merge.ended", "A merge into the branch of a goal came to an end."
    GOAL_JUDGING = "goal.judging", "Everything is merged; the goal is judged by its criteria."
    GOAL_CONTINUED = "goal.continued", "Something is missing; what is left to do became slices of its own."
    GOAL_COMPLETED = "goal.completed", "Every criterion is met; one pull request holds the whole."
    GOAL_FAILED = "goal.failed", "The goal cannot be reached."
    GOAL_REVIEW_WANTED = "goal.review_wanted", "The hub cannot go on with the goal; a person has to decide."
    GOAL_RESUMED = "goal.resumed", "A person lets the hub go on with a goal."
    GOAL_CANCELLED = "goal.cancelled", "Somebody cancelled the goal."
    GOAL_LANDED = "goal.landed", "A person merged the goal's pull request."
    GOAL_REJECTED = "goal.rejected", "A person closed the goal's pull request without merging it."
    GOAL_RETRIED = "goal.retried", "A model call failed; it will be retried."

    BRAIN_MOVED = "brain.moved", "The hub turned from one state to another; why is in the event."
    BRAIN_PAUSED = "brain.paused", "A person paused the hub: it begins nothing by itself."
    BRAIN_RESUMED = "brain.resumed", "A person let the hub go on."

    REMEDY_APPLIED = "remedy.applied", "Healing did something about what is wrong; what came of it is in the event."

    CHECKUP_BEGUN = "checkup.begun", "The head of a default branch is looked at."
    CHECKUP_PASSED = "checkup.passed", "The default branch is well."
    CHECKUP_FAILED = "checkup.failed", "The default branch is broken; what was found is with it."
    CHECKUP_UNCLEAR = "checkup.unclear", "Nobody could say whether the default branch is well."

    ALERT_RAISED = "alert.raised", "Something is wrong that a person should know of."
    ALERT_ACKNOWLEDGED = "alert.acknowledged", "A person has seen the alert."
    ALERT_CLEARED = "alert.cleared", "What the alert told of is over."

    PRICE_SET = "price.set", "An operator entered the price of a model."
    BUDGET_SET = "budget.set", "An operator set what may be spent."
    BUDGET_WARNED = "budget.warned", "Four fifths of a budget are spent or set aside."
    BUDGET_EXHAUSTED = "budget.exhausted", "A budget had no room for what was asked of it."
    SPENDING_PAUSED = "spending.paused", "Money went far faster than usual; nothing that costs any is begun."
    SPENDING_LIFTED = "spending.lifted", "A person let spending go on."
    CHARGE_RESERVED = "charge.reserved", "The most that a call of a model can cost was set aside."
    CHARGE_SETTLED = "charge.settled", "What a call used is known and posted."
    CHARGE_VOIDED = "charge.voided", "A call came to nothing and costs nothing."
    CHARGE_UNCERTAIN = "charge.uncertain", "Nobody knows what a call used; an estimate is posted."
    CHARGE_CORRECTED = "charge.corrected", "The cost of a call was put right by an entry of its own."
    ALLOWANCE_GRANTED = "allowance.granted", "Money, tokens and calls were set aside for an attempt."
    ALLOWANCE_LAPSED = "allowance.lapsed", "Nobody reported in time; what was left of an allowance counts as spent."
    ALLOWANCE_EXCEEDED = (
        "allowance.exceeded",
        "More was reported than an allowance can have paid for; somebody has to look at its agent.",
    )
    ALLOWANCE_RELEASED = "allowance.released", "What was left of an allowance went back."
