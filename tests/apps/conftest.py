"""For the tests of the hub's rooms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.gateway import known, restarts
from sidecar.wire.messages import EndpointsKnown


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    """What a process remembers of endpoints is of another test's database; here it has read that there are none."""
    known._current = EndpointsKnown()
    restarts._current = ()
    yield
    known._current = None
    restarts._current = None
