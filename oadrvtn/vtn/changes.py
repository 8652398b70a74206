"""What a rule gives back beside its reply: whom the commit concerns, and what is to be called after it."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import attrs


@attrs.frozen
class Changes:
    """What the roster must hear of once the transaction is on disk.

    ``vens``: these VENs' records, or what waits for them, have changed; ``everyone``: all may have.
    ``hooks``: names of user's functions and their arguments, called in order.  ``revoked`` and ``restored``:
    certificates by their short fingerprints.
    """

    vens: frozenset[str] = frozenset()
    everyone: bool = False
    hooks: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    revoked: frozenset[bytes] = frozenset()
    restored: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, *ven_ids: str, hooks: tuple[tuple[str, tuple[Any, ...]], ...] = ()) -> Changes:
        """The changes of these VENs."""
        return cls(frozenset(ven_ids), hooks=hooks)


NOTHING = Changes()
"""No change that anybody must hear of."""


def generate_id(prefix: str = "") -> str:
    """A new ID, 96 random bits in hex, behind a prefix that tells people what it is."""
    return prefix + secrets.token_hex(12)


def dated(now: datetime) -> datetime:
    """A moment as a message says it, in whole seconds: embedded VENs may not read fractions."""
    return now.replace(microsecond=0)
