"""What the VTN wants to tell a VEN: entries from queued to closed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Integer, String, bindparam, case, delete, func, insert, literal_column, select, update

from .audience import among, parameter
from .database import Txn
from .prepared import Prepared
from .tables import outbox

OPEN = ("queued", "offered")
"""The states of an entry that still has to be told; done, refused, superseded and given_up are closed."""


@attrs.frozen
class Entry:
    """An entry: ``document`` is the message, ``kind`` which one, ``reference`` the report requests that it is about.

    State: queued, offered, done, refused, superseded or given_up.
    """

    id: int
    ven_id: str
    epoch: int
    kind: str
    request_id: str
    reference: str | None
    document: bytes
    state: str
    offers: int
    queued_at: datetime
    last_offered: datetime | None
    closed_at: datetime | None
    response_code: str | None
    response_description: str | None

    @property
    def references(self) -> frozenset[str]:
        """The IDs of this VTN's report requests that it is about."""
        return frozenset((self.reference or "").split())


_IS_OPEN = outbox.c.state.in_([literal_column(f"'{state}'") for state in OPEN])
_PUT = insert(outbox).returning(outbox.c.id)
_ENTRY = select(*(outbox.c[field.name] for field in attrs.fields(Entry)))
_OPEN = (
    _ENTRY.where(outbox.c.ven_id == bindparam("ven_id"), _IS_OPEN)
    .order_by((outbox.c.kind == "register_report").desc(), outbox.c.id)
)  # fmt: skip


_WAITING = Prepared(
    _ENTRY.where(among(outbox.c.ven_id, bindparam("ven_ids", type_=String)), _IS_OPEN)
    .order_by((outbox.c.kind == "register_report").desc(), outbox.c.id)
)  # fmt: skip

_CLOSE = update(outbox).where(among(outbox.c.id, bindparam("ids", type_=String)), _IS_OPEN)
_SUPERSEDE = update(outbox).where(outbox.c.ven_id == bindparam("of"), _IS_OPEN)
_ITS_LAST = (
    select(outbox.c.id)
    .where(outbox.c.ven_id == bindparam("of"))
    .order_by(outbox.c.id.desc())
    .limit(bindparam("keep", type_=Integer))
)
_FORGET = delete(outbox).where(
    outbox.c.ven_id == bindparam("of"), outbox.c.state.not_in(OPEN), outbox.c.id.not_in(_ITS_LAST)
)
_LENGTHS = (
    select(outbox.c.ven_id, func.count())
    .where(among(outbox.c.ven_id, bindparam("ven_ids", type_=String)), _IS_OPEN)
    .group_by(outbox.c.ven_id)
)


def put(txn: Txn, **values: Any) -> int:
    """A new entry; its id."""
    return txn.execute(_PUT, values).scalar_one()


def pending(txn: Txn, ven_id: str) -> list[Entry]:
    """A VEN's open entries, in the order in which they are first told: register_report, then by age."""
    return [Entry(*row) for row in txn.execute(_OPEN, {"ven_id": ven_id})]


def waiting(txn: Txn, ven_ids: Collection[str]) -> dict[str, list[Entry]]:
    """What ``pending`` tells, of several VENs by their IDs; who has no open entry is missing."""
    found: dict[str, list[Entry]] = {}
    for row in _WAITING(txn, ven_ids=parameter(ven_ids)):
        entry = Entry(*row)
        found.setdefault(entry.ven_id, []).append(entry)
    return found


def get(txn: Txn, entry_id: int) -> Entry | None:
    """An entry."""
    row = txn.execute(_ENTRY.where(outbox.c.id == entry_id)).first()
    return Entry(*row) if row else None


def history(txn: Txn, ven_id: str, most: int) -> list[Entry]:
    """A VEN's entries, the newest first."""
    query = _ENTRY.where(outbox.c.ven_id == ven_id).order_by(outbox.c.id.desc()).limit(most)
    return [Entry(*row) for row in txn.execute(query)]


def issued(txn: Txn, ven_id: str, kind: str, request_id: str) -> list[Entry]:
    """Entries of a kind, open or closed, that went out under this requestID."""
    query = _ENTRY.where(outbox.c.ven_id == ven_id, outbox.c.kind == kind, outbox.c.request_id == request_id)
    return [Entry(*row) for row in txn.execute(query)]


def ever(txn: Txn, ven_id: str, kind: str) -> bool:
    """Whether a VEN was ever told something of this kind."""
    query = select(outbox.c.id).where(outbox.c.ven_id == ven_id, outbox.c.kind == kind).limit(1)
    return txn.execute(query).first() is not None


def references(txn: Txn, ven_id: str, kind: str) -> list[str]:
    """What a VEN's entries of a kind, open or closed, are about."""
    query = select(outbox.c.reference).where(outbox.c.ven_id == ven_id, outbox.c.kind == kind)
    return [reference for reference in txn.execute(query).scalars() if reference]


def close(
    txn: Txn, ids: Iterable[int], state: str, now: datetime, code: str | None = None, text: str | None = None
) -> None:
    """Close entries that are open, in this state, with what the VEN answered."""
    if closed := list(ids):
        answer = {"response_code": code, "response_description": text}
        txn.execute(_CLOSE, {"ids": parameter(closed), "state": state, "closed_at": now, **answer})


def supersede(txn: Txn, ven_id: str, now: datetime, kinds: Iterable[str] | None = None) -> None:
    """Close what is open of a VEN's entries, of all kinds or these, because something newer takes its place."""
    statement = _SUPERSEDE if kinds is None else _SUPERSEDE.where(outbox.c.kind.in_(list(kinds)))
    txn.execute(statement, {"of": ven_id, "state": "superseded", "closed_at": now})


def forget(txn: Txn, ven_id: str, keep: int) -> None:
    """Drop a VEN's closed entries that are not among its last ``keep``."""
    txn.execute(_FORGET, {"of": ven_id, "keep": keep})


_OFFERED = (
    update(outbox)
    .where(outbox.c.id == bindparam("entry"))
    .values(
        state=case((outbox.c.state == "queued", "offered"), else_=outbox.c.state),  # it may be answered by now
        offers=outbox.c.offers + bindparam("count"),
        last_offered=bindparam("at"),
    )
)


def count_offers(txn: Txn, offers: list[dict[str, Any]]) -> None:
    """Add what was sent: ``{"entry": id, "count", "at"}`` each."""
    if offers:
        txn.execute(_OFFERED, offers)


def lengths(txn: Txn, ven_ids: Iterable[str]) -> dict[str, int]:
    """How many entries each of these VENs has still to be told of, or to answer; those without any are left out."""
    return {ven_id: count for ven_id, count in txn.execute(_LENGTHS, {"ven_ids": parameter(list(ven_ids))})}


_COUNT_OPEN = select(func.count()).select_from(outbox).where(_IS_OPEN)


def count_open(txn: Txn) -> int:
    """How many entries VENs have still to be told of, or to answer."""
    return txn.execute(_COUNT_OPEN).scalar_one()
