"""How lists are paged: by cursor, newest first, so that a page costs the same at the front and a million rows in."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

LARGEST_ID = 2**63 - 1


class Pages(CursorPagination):
    """`?cursor=` and `?page_size=` (at most 200)."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200

    def decode_cursor(self, request: Request) -> Any:
        """The cursor of this request; one that we cannot have made is not found, before the database sees it."""
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None and not self.is_position(str(cursor.position)):
            raise NotFound(self.invalid_cursor_message)
        return cursor

    def is_position(self, position: str) -> bool:
        """Whether a row could stand there: by id."""
        return position.isascii() and position.isdecimal() and len(position) < 20 and int(position) <= LARGEST_ID
