"""VENs, the certificates they are known by, and those that wait to be let in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import Integer, String, bindparam, delete, func, insert, or_, select, type_coerce, update
from sqlalchemy.dialects.sqlite import insert as upsert

from .database import Txn
from .tables import Instant, bends, candidates, certificates, microseconds, vens


@attrs.frozen
class Ven:
    """A VEN as the database knows it.  ``poll_frequency`` is in seconds, what it was last told.

    ``wanted_poll_frequency`` is its own, ``leniency`` its own profile; None: those of the configuration.
    ``source`` says who let it in: "config", "operator", or the policy "handler" or "open"; "unlisted" is one
    that the configuration no longer lists.  ``epoch`` counts its registrations and their ends.
    """

    ven_id: str
    name: str
    source: str
    created_at: datetime
    registration_id: str | None
    registered_at: datetime | None
    epoch: int
    ven_name: str | None
    profile_name: str | None
    transport_name: str | None
    report_only: bool
    xml_signature: bool
    poll_frequency: float
    wanted_poll_frequency: float | None
    leniency: str | None
    online: bool
    last_seen: datetime | None

    @property
    def registered(self) -> bool:
        """Whether it has a registration."""
        return self.registration_id is not None


@attrs.frozen
class Candidate:
    """A certificate that asked to be let in; ``ven_id`` and ``ven_name`` are what it says of itself."""

    full: bytes
    subject: str
    ven_id: str | None
    ven_name: str | None
    first_seen: datetime
    last_seen: datetime


_VEN = select(*(vens.c[field.name] for field in attrs.fields(Ven)))
_BY_ID = _VEN.where(vens.c.ven_id == bindparam("ven_id"))
_BY_SHORT = (
    _VEN.add_columns(certificates.c.full)
    .join(certificates, certificates.c.ven_id == vens.c.ven_id)
    .where(certificates.c.short == bindparam("short"))
)


def get(txn: Txn, ven_id: str) -> Ven | None:
    """The VEN of this ID (case counts)."""
    row = txn.execute(_BY_ID, {"ven_id": ven_id}).first()
    return Ven(*row) if row else None


def by_fingerprint(txn: Txn, short: bytes) -> tuple[Ven, bytes | None] | None:
    """The VEN of a certificate by its short fingerprint, and the whole one if it is pinned."""
    row = txn.execute(_BY_SHORT, {"short": short}).first()
    return (Ven(*row[:-1]), row[-1]) if row else None


def pin(txn: Txn, short: bytes, full: bytes) -> None:
    """Keep the whole fingerprint of a certificate that was known by the short one only."""
    txn.execute(
        update(certificates).where(certificates.c.short == short, certificates.c.full.is_(None)).values(full=full)
    )


def listed(txn: Txn) -> list[Ven]:
    """All VENs by their IDs."""
    return [Ven(*row) for row in txn.execute(_VEN.order_by(vens.c.ven_id))]


def registered_ids(txn: Txn) -> list[str]:
    """The venIDs that take part in events: registered, and not for reports only."""
    query = select(vens.c.ven_id).where(vens.c.registration_id.is_not(None), vens.c.report_only.is_(False))
    return list(txn.execute(query).scalars())


def add(txn: Txn, ven_id: str, name: str, source: str, poll_frequency: float, now: datetime) -> None:
    """A new VEN, not registered yet."""
    txn.execute(
        insert(vens).values(ven_id=ven_id, name=name, source=source, poll_frequency=poll_frequency, created_at=now)
    )


def change(txn: Txn, ven_id: str, **values: Any) -> None:
    """Set columns of a VEN."""
    txn.execute(update(vens).where(vens.c.ven_id == ven_id).values(**values))


def remove(txn: Txn, ven_id: str) -> None:
    """Forget a VEN and all that hangs on it."""
    txn.execute(delete(vens).where(vens.c.ven_id == ven_id))


def fingerprints(txn: Txn, ven_id: str) -> list[bytes]:
    """The fingerprints of a VEN, whole where they are known, the oldest first."""
    query = select(func.coalesce(certificates.c.full, certificates.c.short)).where(certificates.c.ven_id == ven_id)
    return list(txn.execute(query.order_by(certificates.c.added_at, certificates.c.short)).scalars())


def owner(txn: Txn, short: bytes) -> str | None:
    """The venID that a certificate belongs to."""
    return txn.execute(select(certificates.c.ven_id).where(certificates.c.short == short)).scalar()


def add_fingerprint(txn: Txn, ven_id: str, short: bytes, full: bytes | None, now: datetime) -> None:
    """Know a VEN by one more certificate."""
    txn.execute(insert(certificates).values(ven_id=ven_id, short=short, full=full, added_at=now))


def drop_fingerprints(txn: Txn, ven_id: str, keep: Iterable[bytes]) -> None:
    """Forget all of a VEN's certificates but those of these short fingerprints."""
    txn.execute(delete(certificates).where(certificates.c.ven_id == ven_id, certificates.c.short.not_in(list(keep))))


# --- presence and bends -----------------------------------------------------------------------------

_SEEN = (
    update(vens)
    .where(
        vens.c.ven_id == bindparam("ven"),
        or_(vens.c.last_seen.is_(None), vens.c.last_seen < bindparam("at", type_=Instant)),
    )
    .values(last_seen=bindparam("at", type_=Instant))
)


def flush_seen(txn: Txn, seen: list[dict[str, Any]]) -> None:
    """Write when VENs were last heard, never back in time: ``{"ven": ven_id, "at": instant}`` each."""
    if seen:
        txn.execute(_SEEN, seen)


_BENDING = upsert(bends).from_select(
    ["ven_id", "bend", "count", "last_at"],
    select(
        vens.c.ven_id, bindparam("name", type_=String), bindparam("n", type_=Integer), bindparam("at", type_=Instant)
    ).where(vens.c.ven_id == bindparam("ven")),
)
_BENT = _BENDING.on_conflict_do_update(
    index_elements=["ven_id", "bend"],
    set_={"count": bends.c.count + _BENDING.excluded.count, "last_at": _BENDING.excluded.last_at},
)


def count_bends(txn: Txn, counts: list[dict[str, Any]]) -> None:
    """Add to the counts of bends: ``{"ven", "name", "n", "at"}`` each; a VEN that is gone has none."""
    if counts:
        txn.execute(_BENT, counts)


def bends_of(txn: Txn, ven_id: str) -> dict[str, tuple[int, datetime]]:
    """How often a VEN needed which bend, and when last."""
    query = select(bends.c.bend, bends.c.count, bends.c.last_at).where(bends.c.ven_id == ven_id)
    return {bend: (count, last_at) for bend, count, last_at in txn.execute(query.order_by(bends.c.bend))}


def bend_counts(txn: Txn) -> dict[str, int]:
    """How often each bend was needed, by all VENs together."""
    query = select(bends.c.bend, func.sum(bends.c.count)).group_by(bends.c.bend).order_by(bends.c.bend)
    return {bend: count for bend, count in txn.execute(query)}


def silent(txn: Txn, now: datetime, missed: int) -> list[str]:
    """The VENs that are online and have not been heard for ``missed`` of their poll intervals."""
    deadline = type_coerce(vens.c.last_seen, Integer) + missed * vens.c.poll_frequency * 1_000_000
    query = select(vens.c.ven_id).where(vens.c.online.is_(True), deadline < microseconds(now))
    return list(txn.execute(query).scalars())


def go_offline(txn: Txn, ven_ids: list[str]) -> None:
    """Mark VENs offline."""
    if ven_ids:
        txn.execute(
            update(vens).where(vens.c.ven_id == bindparam("ven")).values(online=False), [{"ven": v} for v in ven_ids]
        )


def touch_all(txn: Txn, now: datetime) -> None:
    """Count every VEN that is online as just seen: the time that the VTN was down is not theirs."""
    txn.execute(update(vens).where(vens.c.online.is_(True)).values(last_seen=now))


def counts(txn: Txn) -> dict[str, int]:
    """How many VENs there are, registered, online, and waiting for approval."""
    row = txn.execute(
        select(
            func.count(),
            func.count(vens.c.registration_id),
            func.count().filter(vens.c.online.is_(True)),
        ).select_from(vens)
    ).one()
    waiting = txn.execute(select(func.count()).select_from(candidates)).scalar_one()
    return {"vens": row[0], "vens_registered": row[1], "vens_online": row[2], "vens_waiting": waiting}


# --- candidates -------------------------------------------------------------------------------------


def remember_candidate(txn: Txn, candidate: Candidate, most: int) -> None:
    """Remember a certificate that asks to be let in; the longest unheard go where there are too many."""
    statement = upsert(candidates).values(**attrs.asdict(candidate))
    txn.execute(
        statement.on_conflict_do_update(
            index_elements=["full"],
            set_={
                "last_seen": statement.excluded.last_seen,
                "ven_id": func.coalesce(statement.excluded.ven_id, candidates.c.ven_id),
                "ven_name": func.coalesce(statement.excluded.ven_name, candidates.c.ven_name),
            },
        )
    )
    newest = select(candidates.c.full).order_by(candidates.c.last_seen.desc()).limit(most)
    txn.execute(delete(candidates).where(candidates.c.full.not_in(newest)))


def list_candidates(txn: Txn) -> list[Candidate]:
    """Those that wait, the last heard first."""
    return [Candidate(*row) for row in txn.execute(select(candidates).order_by(candidates.c.last_seen.desc()))]


def drop_candidate(txn: Txn, short: bytes) -> Candidate | None:
    """Take a candidate off the list, by its short fingerprint."""
    its_own = func.substr(candidates.c.full, -len(short)) == short
    row = txn.execute(delete(candidates).where(its_own).returning(candidates)).first()
    return Candidate(*row) if row else None
