"""What is known of VENs' certificates: until when they are good, and which of them operators have revoked."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Integer, String, bindparam, delete, func, select, type_coerce, update
from sqlalchemy.dialects.sqlite import insert as upsert

from .database import Txn
from .paging import Cursor, page
from .tables import Instant, certificates, microseconds
from .tables import revoked as revoked_table

NO_END = 2**62
"""Stands in the key of a page for the end of a certificate that was not seen yet."""


@attrs.frozen
class Certificate:
    """A certificate that a VEN is known by; what it says of itself is None until it was seen."""

    ven_id: str
    short: bytes
    full: bytes | None
    added_at: datetime
    subject: str | None
    issuer: str | None
    serial: str | None
    not_after: datetime | None
    revoked_at: datetime | None

    @property
    def key(self) -> tuple[int, str]:
        """Its place in the order of ``found``."""
        return microseconds(self.not_after) if self.not_after else NO_END, self.short.hex().upper()


@attrs.frozen
class Revoked:
    """A certificate that an operator has revoked, and whose it was."""

    short: bytes
    full: bytes | None
    ven_id: str | None
    revoked_at: datetime


_REVOKED = select(*(revoked_table.c[field.name] for field in attrs.fields(Revoked)))
_CERTIFICATE = select(
    *(certificates.c[field.name] for field in attrs.fields(Certificate) if field.name != "revoked_at"),
    revoked_table.c.revoked_at,
).outerjoin(revoked_table, revoked_table.c.short == certificates.c.short)

_NOTED = (
    update(certificates)
    .where(certificates.c.short == bindparam("known"), certificates.c.not_after.is_(None))
    .values(
        subject=bindparam("its_subject", type_=String),
        issuer=bindparam("its_issuer", type_=String),
        serial=bindparam("its_serial", type_=String),
        not_after=bindparam("its_end", type_=Instant),
    )
)


def note(txn: Txn, rows: list[dict[str, Any]]) -> None:
    """Keep what certificates say of themselves, once: ``known`` (short), ``its_subject``, ``its_issuer``,
    ``its_serial`` and ``its_end`` each; one that no VEN is known by is passed over."""
    if rows:
        txn.execute(_NOTED, rows)


def of_ven(txn: Txn, ven_id: str) -> list[Certificate]:
    """The certificates of a VEN, the oldest first."""
    query: Any = _CERTIFICATE.where(certificates.c.ven_id == ven_id)
    return [Certificate(*row) for row in txn.execute(query.order_by(certificates.c.added_at, certificates.c.short))]


def found(
    txn: Txn, cursor: Cursor | None, most: int, *, before: datetime | None = None, ven_id: str | None = None
) -> list[Certificate]:
    """A page of the certificates of VENs, those that end first first: all, or those that end before a moment."""
    query = _CERTIFICATE
    if before is not None:
        query = query.where(certificates.c.not_after <= before)
    if ven_id is not None:
        query = query.where(certificates.c.ven_id == ven_id)
    key = [func.coalesce(type_coerce(certificates.c.not_after, Integer), NO_END), func.hex(certificates.c.short)]
    return [Certificate(*row) for row in txn.execute(page(query, key, cursor, most))]


def ending(txn: Txn, before: datetime) -> int:
    """How many certificates of VENs end, or have ended, before a moment."""
    query = select(func.count()).select_from(certificates).where(certificates.c.not_after <= before)
    return txn.execute(query).scalar_one()


# --- revoked by operators -----------------------------------------------------------------------------


def revoke(txn: Txn, revoked: Revoked) -> None:
    """Note that a certificate is revoked; one that is stays as it was noted."""
    txn.execute(upsert(revoked_table).values(**attrs.asdict(revoked)).on_conflict_do_nothing())


def restore(txn: Txn, short: bytes) -> bool:
    """Take back that a certificate is revoked; whether it was."""
    return bool(txn.execute(delete(revoked_table).where(revoked_table.c.short == short)).rowcount)


def is_revoked(txn: Txn, short: bytes) -> bool:
    """Whether an operator has revoked a certificate."""
    return txn.execute(select(revoked_table.c.short).where(revoked_table.c.short == short)).first() is not None


def revoked_of(txn: Txn, ven_id: str) -> list[Revoked]:
    """The revoked certificates that were a VEN's."""
    query = _REVOKED.where(revoked_table.c.ven_id == ven_id).order_by(revoked_table.c.short)
    return [Revoked(*row) for row in txn.execute(query)]


def revoked(txn: Txn) -> set[bytes]:
    """The short fingerprints of all that are revoked."""
    return set(txn.execute(select(revoked_table.c.short)).scalars())


def found_revoked(txn: Txn, cursor: Cursor | None, most: int) -> list[Revoked]:
    """A page of the revoked, the last first."""
    key = [revoked_table.c.revoked_at, func.hex(revoked_table.c.short)]
    return [Revoked(*row) for row in txn.execute(page(_REVOKED, key, cursor, most, newest=True))]
