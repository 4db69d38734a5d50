"""How commands are confined. `run` is the only way in this package to start something that is not ours."""

from sidecar.sandbox.confined import run
from sidecar.sandbox.detect import detect
from sidecar.sandbox.disk import Exceeded, Usage
from sidecar.sandbox.places import BadPolicy
from sidecar.sandbox.policy import Level, Limits, Outcome, Policy, Unavailable

__all__ = ["BadPolicy", "Exceeded", "Level", "Limits", "Outcome", "Policy", "Unavailable", "Usage", "detect", "run"]
