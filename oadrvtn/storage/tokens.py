"""The tokens of the API, as far as the database knows them: who has one, for what, until when, and its SHA-256."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args

import attrs
from sqlalchemy import Row, bindparam, insert, select, update

from .database import Txn
from .paging import Cursor, page
from .tables import tokens

Scope = Literal["read", "dispatch", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
"""What tokens are good for: to look; also to tell VENs what to do; also to decide who may come in."""


@attrs.frozen(kw_only=True)
class Token:
    """A token: ``token_id`` is the part of it that is no secret, ``digest`` the SHA-256 of the whole."""

    token_id: str
    name: str
    scope: Scope
    digest: bytes = attrs.field(repr=False)
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def ended(self, now: datetime) -> str | None:
        """Why it is good for nothing any more; None while it is."""
        if self.revoked_at:
            return "was revoked"
        return "has expired" if self.expires_at and self.expires_at <= now else None


_TOKEN = select(*(tokens.c[field.name] for field in attrs.fields(Token)))
_FIND = _TOKEN.where(tokens.c.token_id == bindparam("token_id"))


def _token(row: Row[Any]) -> Token:
    return Token(**row._mapping)


def find(txn: Txn, token_id: str) -> Token | None:
    """The token of an ID, whether it is still good or not."""
    row = txn.execute(_FIND, {"token_id": token_id}).first()
    return _token(row) if row else None


def named(txn: Txn, name: str) -> Token | None:
    """The token of a name, whether it is still good or not."""
    row = txn.execute(_TOKEN.where(tokens.c.name == name)).first()
    return _token(row) if row else None


def found(txn: Txn, cursor: Cursor | None, most: int) -> list[Token]:
    """A page of all tokens by their names."""
    return [_token(row) for row in txn.execute(page(_TOKEN, [tokens.c.name], cursor, most))]


def add(txn: Txn, token: Token) -> None:
    """A new token."""
    txn.execute(insert(tokens).values(**attrs.asdict(token)))


def revoke(txn: Txn, name: str, now: datetime) -> None:
    """Let a token be good for nothing from now on."""
    txn.execute(update(tokens).where(tokens.c.name == name, tokens.c.revoked_at.is_(None)).values(revoked_at=now))
