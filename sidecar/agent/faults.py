"""Every way in which a call of a model can end badly, by name. What to do about each is decided in one place: here.

`code` is stable: it ends up in reports, in the ledger and in the hub's decision about what is tried next. `remedy` says
what the loop does: `again` after a pause, `less` context, `different` words or dialect, or `end` the attempt. `blame`
tells the hub whether another model would do better (`capability`), whether waiting helps (`infrastructure`), or whether
somebody has to change something (`setup`). `billed` is whether the provider may have charged for it. `tries` is how
often the same question is asked before the loop gives up; `advice` is what the model is told when it must do otherwise.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from sidecar.agent.talk import Usage
from sidecar.report import storable

Remedy = Literal["again", "less", "different", "end"]
Blame = Literal["capability", "infrastructure", "setup"]


class ModelFault(Exception):
    """A call of a model did not give a usable reply. `usage` is what is known to have been spent on it."""

    code: ClassVar[str] = "model_fault"
    remedy: ClassVar[Remedy] = "end"
    blame: ClassVar[Blame] = "infrastructure"
    billed: ClassVar[bool] = False
    tries: ClassVar[int] = 1
    advice: ClassVar[str] = ""

    def __init__(self, message: str, *, usage: Usage | None = None, retry_after: float | None = None) -> None:
        self.message = storable(message)
        super().__init__(self.message)
        self.usage = usage or Usage(measured=not self.billed)
        self.retry_after = retry_after


class Unreachable(ModelFault):
    """Nobody answered at the endpoint, or, where nothing is billed, the connection broke before the first byte."""

    code = "model_unreachable"
    remedy = "again"
    tries = 4


class Disconnected(ModelFault):
    """The answer broke off in the middle, or the connection did after a question that may be billed was sent."""

    code = "model_disconnected"
    remedy = "again"
    tries = 3
    billed = True


class Slow(ModelFault):
    """No byte came within the time for it, or the whole answer took too long."""

    code = "model_timeout"
    remedy = "again"
    tries = 2
    billed = True


class Busy(ModelFault):
    """The server has too much to do (503, 529); not our quota."""

    code = "model_busy"
    remedy = "again"
    tries = 5


class RateLimited(ModelFault):
    """Our quota is used up for now (429). `retry_after` in seconds, when the provider said."""

    code = "rate_limited"
    remedy = "again"
    tries = 5


class ServerError(ModelFault):
    """The server failed (500, 502, 504, an error inside the stream)."""

    code = "model_error"
    remedy = "again"
    tries = 2
    billed = True


class Garbled(ModelFault):
    """What came back is not the protocol: no JSON, a redirect, a wrong content type."""

    code = "model_garbled"
    remedy = "again"
    tries = 2
    billed = True


class Refused(ModelFault):
    """The server will not take this request (400, 404, 413): sending it again would change nothing."""

    code = "model_refused"
    blame = "setup"


class Unauthorized(ModelFault):
    """The key is missing, wrong, or not allowed to use this model (401, 403)."""

    code = "model_unauthorized"
    blame = "setup"


class ModelMissing(ModelFault):
    """The endpoint does not have the model."""

    code = "model_missing"
    blame = "setup"


class ServerTooOld(ModelFault):
    """The server's version cannot be asked not to cut the conversation silently."""

    code = "model_server_too_old"
    blame = "setup"


class ContextOverflow(ModelFault):
    """The conversation no longer fits into the model's context, or the server has silently cut it."""

    code = "context"
    remedy = "less"
    blame = "capability"
    billed = True


class Repetition(ModelFault):
    """The model repeats itself without end."""

    code = "repetition"
    remedy = "different"
    blame = "capability"
    billed = True
    advice = "You repeated yourself without end. Say less, and call one tool."


class EmptyReply(ModelFault):
    """Neither words nor calls."""

    code = "empty_reply"
    remedy = "different"
    blame = "capability"
    billed = True
    advice = "You answered nothing. Call a tool, or call finish_task when the work is done."


class CutOff(ModelFault):
    """The output limit was reached in the middle of a call; the call must not be carried out."""

    code = "cut_off"
    remedy = "different"
    blame = "capability"
    billed = True
    advice = (
        "Your answer was cut off before its end, so nothing of it was done. Make a smaller change, in parts if need be."
    )


class Unparsed(ModelFault):
    """The server could not parse its own model's call, and threw the answer away."""

    code = "unparsed_call"
    remedy = "different"
    blame = "capability"
    billed = True
    advice = "Your tool call could not be parsed, so nothing was done. Make one call, and keep its arguments simple."


class Declined(ModelFault):
    """The model refuses to do this (stop reason `refusal`)."""

    code = "declined"
    blame = "capability"
    billed = True
