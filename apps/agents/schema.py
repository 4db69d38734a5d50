"""What drf-spectacular cannot see by itself: how one authenticates, and how every route says no."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

REFUSAL = {
    "type": "object",
    "description": "A stable code for machines and a sentence for people.",
    "properties": {"code": {"type": "string"}, "detail": {"type": "string"}},
    "required": ["code", "detail"],
}
FIELD_ERRORS = {
    "type": "object",
    "description": "What is wrong with each field; or a code and a detail when the body could not be read at all.",
    "additionalProperties": True,
}
METHODS = ("get", "post", "put", "patch", "delete")


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # registers itself untyped
    """How TokenAuthentication shows in the OpenAPI document."""

    target_class = "apps.agents.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "act_<role>_<key>_<secret>_<checksum>"}


def add_refusals(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: every way in which any route may refuse, so that each route need not say it."""
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas["Refusal"] = REFUSAL
    schemas["FieldErrors"] = FIELD_ERRORS
    for path in result["paths"].values():
        for operation in (path[method] for method in METHODS if method in path):
            for status, (name, meaning) in _refusals(operation).items():
                body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
                operation["responses"].setdefault(status, {"description": meaning, "content": body})
    return result


def _refusals(operation: dict[str, Any]) -> dict[str, tuple[str, str]]:
    found = {"429": ("Refusal", "Too many requests; Retry-After says how long to wait.")}
    parameters = operation.get("parameters", [])
    if "requestBody" in operation or parameters:
        found["400"] = ("FieldErrors", "A field cannot be used.")
    if any(parameter["in"] == "path" or parameter["name"] == "cursor" for parameter in parameters):
        found["404"] = ("Refusal", "There is no such thing.")
    if "requestBody" in operation:
        found["409"] = ("Refusal", "Not allowed as things stand.")
        found["413"] = ("Refusal", "The body is too large.")
        found["415"] = ("Refusal", "The body must be JSON.")
    if operation.get("security"):
        found["401"] = ("Refusal", "No token, or none that works.")
        found["403"] = ("Refusal", "The token lacks the scope.")
    return found
