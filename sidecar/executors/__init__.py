"""How the work of an attempt gets done: one interface, an executor for each way."""

from sidecar.executors.base import Execution, Executor, Job, Place, Progress, Sandbox
from sidecar.executors.shell import Shell

__all__ = ["EXECUTORS", "Execution", "Executor", "Job", "Place", "Progress", "Sandbox", "Shell"]

EXECUTORS: dict[str, Executor] = {Shell.name: Shell()}
"""By the name that an assignment gives."""
