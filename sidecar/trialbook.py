"""What came of trying the models of the hub's endpoints, kept on disk: a trial takes minutes, and loads the model."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from sidecar import atomic
from sidecar.config import Thinker
from sidecar.wire.nouns import KnownEndpoint, KnownModel

logger = structlog.get_logger(__name__)

FILE = "trials.json"
MOST = 500
Key = tuple[str, str, str, str]
"""Kind and address of an endpoint, name and digest of a model: another build is another model."""


class Verdict(BaseModel):
    """`thinker` is how it is spoken to; None when it cannot do our work, and `reason` says why."""

    model_config = ConfigDict(frozen=True)

    thinker: Thinker | None = None
    reason: str = ""


class TrialBook:
    """The verdicts so far. The file is a convenience: one that cannot be read or written costs trials, nothing else."""

    def __init__(self, root: Path) -> None:
        self._path = root / FILE
        self._verdicts = _load(self._path)

    def of(self, endpoint: KnownEndpoint, model: KnownModel) -> Verdict | None:
        """What came of it, None when it was not tried yet."""
        return self._verdicts.get(key(endpoint, model))

    def keep(self, endpoint: KnownEndpoint, model: KnownModel, verdict: Verdict) -> None:
        """Remember it, also for the next process."""
        self._verdicts.pop(key(endpoint, model), None)
        self._verdicts[key(endpoint, model)] = verdict
        for old in list(self._verdicts)[:-MOST]:
            del self._verdicts[old]
        self._write()

    def keep_refusals_of(self, told: Collection[Key]) -> None:
        """Forget why others could not be used: a model that an operator took back and wants again is tried anew."""
        over = [one for one, verdict in self._verdicts.items() if verdict.thinker is None and one not in told]
        for one in over:
            del self._verdicts[one]
        if over:
            self._write()

    def _write(self) -> None:
        rows = [[*tried, verdict.model_dump(mode="json")] for tried, verdict in self._verdicts.items()]
        try:
            atomic.write(self._path, json.dumps(rows).encode())
        except OSError:
            logger.warning("a trial could not be written down", path=str(self._path), exc_info=True)


def key(endpoint: KnownEndpoint, model: KnownModel) -> Key:
    """What a verdict is of."""
    return endpoint.kind, endpoint.url, model.name, model.digest


def _load(path: Path) -> dict[Key, Verdict]:
    try:
        rows = json.loads(path.read_bytes())
        return {(str(a), str(b), str(c), str(d)): Verdict.model_validate(verdict) for a, b, c, d, verdict in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, ValidationError):
        logger.warning("what was written down of trials cannot be read", path=str(path))
        return {}
