"""XML over HTTP: a parser that makes a submission of a goal document, and a renderer that sends documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from apps.events.documents import MOST_BYTES
from apps.goals import documents

MEDIA_TYPE = "application/xml"


class GoalParser(BaseParser):
    """A goal document, as the fields of a submission. Raises Unreadable."""

    media_type = MEDIA_TYPE

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return documents.wanted(stream.read(MOST_BYTES + 1))


class DocumentRenderer(BaseRenderer):
    """Documents as they are; a refusal as JSON, like everywhere else."""

    media_type = MEDIA_TYPE
    format = "xml"
    charset = None
    render_style = "binary"

    def render(
        self, data: Any, accepted_media_type: str | None = None, renderer_context: Mapping[str, Any] | None = None
    ) -> bytes:
        if isinstance(data, bytes):
            return data
        if renderer_context is not None:
            renderer_context["response"]["Content-Type"] = "application/json"
        return json.dumps(data).encode()
