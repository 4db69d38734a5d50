"""How the work of a model ends: named exceptions that the loop raises and its caller reads. (pure)

`code` goes into the report. `partial` says that the tree may hold work worth checking and keeping; the checks decide
what it is worth, whatever the model said. `blame` tells the hub whether a stronger model would help (`capability`), or
waiting (`infrastructure`), or only a person (`setup`); it is empty when nobody is to blame.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from sidecar.agent.faults import Blame, ModelFault
from sidecar.report import storable


class Ending(Exception):
    """The loop is over."""

    code: ClassVar[str] = ""
    blame: Blame | Literal[""] = "capability"
    partial: bool = True

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = storable(message)

    @property
    def reason(self) -> str:
        """The word for it in a report."""
        return self.code


class Finished(Ending):
    """The model says that it is done, in `finish_task` or in words. That is a claim; the checks decide."""

    code = "finished"
    blame = ""
    partial = False


class OutOfSteps(Ending):
    """As many steps as the tier allows were made."""

    code = "out_of_steps"


class OutOfTokens(Ending):
    """The attempt's tokens are used up."""

    code = "out_of_tokens"


class OutOfMoney(Ending):
    """The attempt's allowance is used up, or what the next call may cost no longer fits into it."""

    code = "out_of_budget"


class OutOfTime(Ending):
    """The attempt's time is nearly over; what is left is needed for the checks."""

    code = "deadline"


class NoRoom(Ending):
    """The tree has become too large, or the disk is full; `word` says which."""

    partial = False

    def __init__(self, word: str, message: str) -> None:
        super().__init__(message)
        self.word = word

    @property
    def reason(self) -> str:
        return self.word


class Stuck(Ending):
    """The model goes round in circles, and one nudge did not help."""

    code = "stuck"


class FormatError(Ending):
    """The model cannot make itself understood, in either dialect."""

    code = "format_error"


class ContextFull(Ending):
    """The talk does not fit into the model's context, however much of it is masked."""

    code = "context"


class ModelFailed(Ending):
    """The model's endpoint did not give an answer that could be used; `fault` says why."""

    def __init__(self, fault: ModelFault) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.blame = fault.blame

    @property
    def reason(self) -> str:
        return self.fault.code
