"""What a model is told: short texts in files, and the frame around a task."""

from sidecar.agent.prompts.frame import frame, system

__all__ = ["frame", "system"]
