"""How lists are paged: by cursor, newest first, so that a page costs the same at the front and a million rows in."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """`?cursor=` and `?page_size=` (at most 200)."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
