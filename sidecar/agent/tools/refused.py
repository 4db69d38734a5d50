"""What a tool says when it does not do what a call asks."""

from __future__ import annotations

from typing import Any


class ToolRefused(Exception):
    """The call has no effect. `message` is for the model, and so is `data`: small typed fields beside it."""

    def __init__(self, message: str, **data: Any) -> None:
        super().__init__(message)
        self.message = message
        self.data = data


class Missing(ToolRefused):
    """There is nothing at the path that was named."""
