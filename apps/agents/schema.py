"""Tells drf-spectacular how our authentication works; imported when the room is ready."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself untyped
    """How TokenAuthentication shows in the OpenAPI document."""

    target_class = "apps.agents.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "act_<role>_<key>_<secret>_<checksum>"}
