"""What every request is held to: strings that any database can store, and no field that nobody knows."""

from __future__ import annotations

from functools import cache
from typing import Any

from rest_framework import serializers


class Strict(serializers.Serializer[Any]):
    """A request's fields; one that is not declared is an error, since a mistyped field would be lost in silence."""

    @classmethod
    def read(cls, data: Any) -> dict[str, Any]:
        """What was asked, checked, with defaults filled in. Raises ValidationError with what is wrong with each field.

        The fields are made once and kept: copying them for each request is a quarter of what a submission costs.
        """
        asked: dict[str, Any] = _kept(cls).run_validation([] if data is None else data)
        return asked

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(str(name) for name in set(data) - set(self.fields))):
            raise serializers.ValidationError({name[:100]: ["There is no such field."] for name in unknown[:20]})
        return super().to_internal_value(data)


@cache
def _kept(kind: type[Strict]) -> Strict:
    return kind()


class Refusal(serializers.Serializer[Any]):
    """Every answer that is not about a field: a stable code for machines and a sentence for people."""

    code = serializers.CharField()
    detail = serializers.CharField()
