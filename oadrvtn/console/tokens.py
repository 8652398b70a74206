"""Tokens behind the desk: made, shown once, revoked."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.errors import InvalidData, InvalidID, NotAllowed
from ..model.values import shown
from ..storage import tokens
from ..storage.database import Txn
from ..storage.tokens import Scope, Token
from ..vtn.changes import NOTHING, Changes
from .desk import Call, Desk, Page, Rehearsal, answer, cut, etag, listed, route, wrong_header
from .shapes import A_HUNDRED, ByName, Name, PageSize, Seconds, page_of, shape, show
from .token import LOCAL, digest, id_of, make_token

DAYS_90 = Seconds(90 * 86400)
_LONGEST = 10 * 366 * 86400
_RESERVED = (LOCAL, "program")


@attrs.frozen(kw_only=True)
class TokensQuery:
    """Tokens by their names."""

    limit: PageSize = A_HUNDRED
    cursor: ByName | None = None


@attrs.frozen(kw_only=True)
class NewToken:
    """A token to be made: what it is good for, and for how long; null for always.

    ``read`` is to look, ``dispatch`` also to tell VENs what to do, ``admin`` also to decide who may come in.
    """

    name: Name
    scope: Scope
    expires_in: Seconds | None = DAYS_90


_TOKEN = shape("KnownToken", Token, without=("digest",))


def _shown(token: Token) -> dict[str, Any]:
    row: dict[str, Any] = show(token)
    return {name: value for name, value in row.items() if name != "digest"}


def _list(txn: Txn, query: TokensQuery) -> Page:
    rows, last = cut(tokens.found(txn, query.cursor, query.limit), query.limit, lambda token: (token.name,))
    return [_shown(token) for token in rows], last


def _create(txn: Txn, wish: NewToken, text: str, by: str, now: datetime) -> tuple[dict[str, Any], Changes]:
    if not re.fullmatch("[A-Za-z0-9._@-]{1,64}", wish.name) or wish.name in _RESERVED:
        raise InvalidData.at("name", f"{shown(wish.name)} is not 1 to 64 letters, digits and ._@-, or is reserved")
    if wish.expires_in is not None and not 0 < wish.expires_in <= _LONGEST:
        raise InvalidData.at("expires_in", "is not above zero and at most ten years; null is for always")
    if tokens.named(txn, wish.name):
        raise NotAllowed.at("name", f"{shown(wish.name)} was the name of a token before, and stays it in the audit log")
    ends = None if wish.expires_in is None else now + timedelta(seconds=wish.expires_in)
    token = Token(
        token_id=id_of(text), name=wish.name, scope=wish.scope, digest=digest(text), created_at=now, created_by=by,
        expires_at=ends,
    )  # fmt: skip
    tokens.add(txn, token)
    return {**_shown(token), "token": text}, NOTHING


def _one(txn: Txn, name: str) -> dict[str, Any]:
    """A token.  Raises InvalidID."""
    token = tokens.named(txn, name)
    if token is None:
        raise InvalidID(f"name: {shown(name)} is not known")
    return _shown(token)


def _revoke(txn: Txn, name: str, now: datetime) -> tuple[None, Changes]:
    _one(txn, name)
    tokens.revoke(txn, name, now)
    return None, NOTHING


@route("GET", "/tokens", "admin", page_of("tokens", _TOKEN))
async def list_tokens(desk: Desk, request: IRequest, query: TokensQuery) -> bytes:
    """All tokens that were made, also those that have ended."""
    return listed(request, "tokens", await desk.read("list tokens", _list, query))


@route("POST", "/tokens", "admin", shape("TokenMade", _TOKEN, token=str), 201)
async def create_token(desk: Desk, request: IRequest, query: Rehearsal, body: NewToken) -> bytes:
    """A new token, which is shown this once."""
    if request.getHeader(b"Idempotency-Key"):
        raise wrong_header(400, "Idempotency-Key", "is not for tokens, since the answer would have to be kept")
    text = "" if query.dry_run else make_token()
    return await desk.do(
        request, query, _create, body, text, Call.of(request).who,
        tag=lambda txn, row: etag(_one(txn, row["name"])), where=lambda row: ("tokens", row["name"]),
    )  # fmt: skip


@route("GET", "/tokens/<id:name>", "admin", _TOKEN)
async def show_token(desk: Desk, request: IRequest, name: str) -> bytes:
    """What a token is good for, and until when."""
    row = await desk.read("show token", _one, name)
    return answer(request, row, etag=etag(row))


@route("DELETE", "/tokens/<id:name>", "admin", None, 204)
async def revoke_token(desk: Desk, request: IRequest, query: Rehearsal, name: str) -> bytes:
    """Let a token be good for nothing from now on; its name stays taken."""
    return await desk.do(request, query, _revoke, name, status=204, present=lambda txn: etag(_one(txn, name)))
