"""REST for tokens: list masked, mint, rotate, revoke. Nobody can make a token that may more than their own."""

from __future__ import annotations

from datetime import UTC, datetime

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.agents import tokens
from apps.agents.authentication import actor, operator
from apps.agents.fields import Refusal, Strict
from apps.agents.models import Agent, Role, Token
from apps.agents.permissions import scoped
from apps.agents.scopes import SCOPES, scopes_of
from apps.events.refused import Invalid

LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class TokenSerializer(serializers.ModelSerializer[Token]):
    """A token as lists show it: never its secret."""

    masked = serializers.CharField()
    agent = serializers.CharField(source="agent.name", default=None, allow_null=True)
    user = serializers.CharField(source="user.username", default=None, allow_null=True)
    scopes = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Token
        fields = [
            "id",
            "masked",
            "role",
            "label",
            "agent",
            "user",
            "scopes",
            "created_at",
            "last_used_at",
            "expires_at",
            "revoked_at",
        ]
        read_only_fields = fields


class MintedToken(TokenSerializer):
    """A new token, with its secret."""

    secret = serializers.CharField(help_text="Shown this once.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class TokenRequest(Strict):
    role = serializers.ChoiceField(choices=Role.choices)
    agent = serializers.CharField(max_length=40, required=False, help_text="For the role agent: whose it is.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES)), required=False, default=list, max_length=len(SCOPES)
    )
    label = serializers.CharField(  # type: ignore[assignment]  # declared fields are no attributes at run time
        max_length=100, required=False, allow_blank=True, default=""
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None)

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        if value is not None and not timezone.now() < value < LATEST:
            raise serializers.ValidationError("This must be in the future, and before the year 2200.")
        return value


class Tokens(GenericAPIView[Token]):
    permission_classes = [scoped("agents:write")]
    serializer_class = TokenSerializer
    queryset = Token.objects.select_related("agent", "user")

    @extend_schema(description="Every token, newest first, masked.", responses=TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.get_queryset()) or []
        return self.get_paginated_response(TokenSerializer(page, many=True).data)

    @extend_schema(
        description="Mint a token in your own name, or for an agent; with no more rights than yours.",
        request=TokenRequest,
        responses={201: MintedToken},
    )
    def post(self, request: Request) -> Response:
        wanted = TokenRequest.read(request.data)
        for_agent = wanted["role"] == Role.AGENT
        _refuse_more_than_own(request, wanted["role"], wanted["scopes"])
        minted = tokens.mint(
            wanted["role"],
            agent=_agent(wanted.get("agent", "")) if for_agent else None,
            user=None if for_agent else operator(request),
            scopes=wanted["scopes"],
            label=wanted["label"],
            expires_at=wanted["expires_at"],
            by=actor(request),
        )
        return _shown_once(*minted)


class RotateToken(APIView):
    """Replace it by a new one; both work until the overlap is over."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(request=None, responses={201: MintedToken, 403: Refusal, 404: Refusal, 409: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        token = get_object_or_404(Token, pk=pk)
        if token.user_id is not None and token.user_id != request.user.pk:
            raise PermissionDenied("This token acts for another user; revoke it, or let that user rotate it.")
        _refuse_more_than_own(request, token.role, token.scopes)
        return _shown_once(*tokens.rotate(token, by=actor(request)))


class RevokeToken(APIView):
    """End it now, and close the sockets that were opened with it."""

    permission_classes = [scoped("agents:write")]

    @extend_schema(request=None, responses={200: TokenSerializer, 404: Refusal})
    def post(self, request: Request, pk: int) -> Response:
        token = get_object_or_404(Token.objects.select_related("agent", "user"), pk=pk)
        tokens.revoke(token, by=actor(request))
        return Response(TokenSerializer(token).data)


def _refuse_more_than_own(request: Request, role: str, scopes: list[str]) -> None:
    own = request.auth
    assert isinstance(own, Token)  # the scope was checked
    if more := scopes_of(role, scopes) - scopes_of(own.role, own.scopes):
        raise PermissionDenied(f"Your own token lacks {', '.join(sorted(more))}.")


def _agent(name: str) -> Agent:
    found = Agent.objects.filter(name=name, retired_at__isnull=True).first()
    if found is None:
        raise Invalid("agent", "There is no such agent.")
    return found


def _shown_once(token: Token, secret: str) -> Response:
    answer = {**TokenSerializer(token).data, "secret": secret}
    return Response(answer, status=201, headers={"Cache-Control": "no-store"})
