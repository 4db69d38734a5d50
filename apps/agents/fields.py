"""What every request is held to: strings that any database can store, and no field that nobody knows."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


class Strict(serializers.Serializer[Any]):
    """A request's fields; one that is not declared is an error, since a mistyped field would be lost in silence."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(str(name) for name in set(data) - set(self.fields))):
            raise serializers.ValidationError({name[:100]: ["There is no such field."] for name in unknown[:20]})
        return super().to_internal_value(data)


class Refusal(serializers.Serializer[Any]):
    """Every answer that is not about a field: a stable code for machines and a sentence for people."""

    code = serializers.CharField()
    detail = serializers.CharField()
