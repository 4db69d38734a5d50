"""docs/api.md lists every route and every scope that there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path

from apps.agents.scopes import SCOPES
from tests.house.test_roles import API

PAGE = (Path(__file__).resolve().parent.parent.parent / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_route_is_on_the_page():
    listed = set(re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) /api/\S+)` \|", PAGE, re.MULTILINE))
    routes = {re.sub(r"<\w+:(\w+)>", r"{\1}", entry.replace(" ", " /").replace(":pk>", ":id>")) for entry in API}

    assert routes == listed


def test_every_scope_is_on_the_page_with_its_meaning():
    listed = dict(re.findall(r"^\| `(\w+:\w+)` \| (.*) \|$", PAGE, re.MULTILINE))

    assert listed == SCOPES
