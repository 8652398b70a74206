"""VENs, the certificates they are known by, and those that wait to be let in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

import attrs
from sqlalchemy import ColumnElement, Integer, String, bindparam, delete, func, insert, or_, select, type_coerce, update
from sqlalchemy.dialects.sqlite import insert as upsert

from . import readings
from .audience import GROUP, among
from .database import Txn
from .paging import Cursor, page
from .tables import Instant, bends, candidates, certificates, microseconds, revoked, traits, vens


@attrs.frozen
class Ven:
    """A VEN as the database knows it.  ``poll_frequency`` is in seconds, what it was last told.

    ``wanted_poll_frequency`` is its own, ``leniency`` its own profile, ``signatures`` what its messages are about
    signatures; None: those of the configuration.  ``signing_fingerprint`` is the SHA-256 of the certificate that it
    signs with (None: that of its connections).
    ``source`` says who let it in: "config", "operator", or the policy "handler" or "open"; "unlisted" is one
    that the configuration no longer lists.  ``epoch`` counts its registrations and their ends.
    From one with a ``suspended_at`` nothing is taken.
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
    signatures: str | None
    signing_fingerprint: bytes | None
    online: bool
    last_seen: datetime | None
    suspended_at: datetime | None

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
    .where(certificates.c.short == bindparam("short"), certificates.c.short.not_in(select(revoked.c.short)))
)


def get(txn: Txn, ven_id: str) -> Ven | None:
    """The VEN of this ID (case counts)."""
    row = txn.execute(_BY_ID, {"ven_id": ven_id}).first()
    return Ven(*row) if row else None


def by_fingerprint(txn: Txn, short: bytes) -> tuple[Ven, bytes | None] | None:
    """The VEN of a certificate by its short fingerprint, and the whole one if it is pinned; not of a revoked one."""
    row = txn.execute(_BY_SHORT, {"short": short}).first()
    return (Ven(*row[:-1]), row[-1]) if row else None


def pin(txn: Txn, short: bytes, full: bytes) -> None:
    """Keep the whole fingerprint of a certificate that was known by the short one only."""
    txn.execute(
        update(certificates).where(certificates.c.short == short, certificates.c.full.is_(None)).values(full=full)
    )


def listed(txn: Txn, source: str | None = None) -> list[Ven]:
    """All VENs by their IDs, or those that a source has added."""
    query = _VEN if source is None else _VEN.where(vens.c.source == source)
    return [Ven(*row) for row in txn.execute(query.order_by(vens.c.ven_id))]


def found(
    txn: Txn,
    cursor: Cursor | None,
    most: int,
    *,
    text: str | None = None,
    online: bool | None = None,
    registered: bool | None = None,
    suspended: bool | None = None,
    leniency: str | None = None,
    usual_leniency: str,
    group_id: str | None = None,
) -> list[Ven]:
    """A page of VENs by their IDs: those with a text in their ID or a name, with a leniency, of a group...

    ``usual_leniency`` is that of VENs that have none of their own.
    """
    query = _VEN
    if text is not None:
        said = (vens.c.ven_id, vens.c.name, vens.c.ven_name)
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in said)))
    if online is not None:
        query = query.where(vens.c.online.is_(online))
    if registered is not None:
        query = query.where(vens.c.registration_id.is_not(None) == registered)
    if suspended is not None:
        query = query.where(vens.c.suspended_at.is_not(None) == suspended)
    if leniency is not None:
        query = query.where(func.coalesce(vens.c.leniency, usual_leniency) == leniency)
    if group_id is not None:
        members = select(traits.c.ven_id).where(traits.c.kind == GROUP, traits.c.value == group_id)
        query = query.where(vens.c.ven_id.in_(members))
    return [Ven(*row) for row in txn.execute(page(query, [vens.c.ven_id], cursor, most))]


def registered_after(txn: Txn, ven_id: str, most: int) -> list[Ven]:
    """The next VENs that are registered, in the order of their IDs."""
    query = _VEN.where(vens.c.registration_id.is_not(None), vens.c.ven_id > ven_id).order_by(vens.c.ven_id)
    return [Ven(*row) for row in txn.execute(query.limit(most))]


def add(txn: Txn, ven_id: str, name: str, source: str, poll_frequency: float, now: datetime) -> None:
    """A new VEN, not registered yet."""
    txn.execute(
        insert(vens).values(ven_id=ven_id, name=name, source=source, poll_frequency=poll_frequency, created_at=now)
    )


def add_many(txn: Txn, rows: list[dict[str, Any]], known: Iterable[tuple[str, bytes]], now: datetime) -> None:
    """New VENs, of the columns of the table, and by which certificates of 10 or 32 bytes they are known."""
    certified = [
        {"ven_id": ven_id, "short": each[-10:], "full": each if len(each) > 10 else None, "added_at": now}
        for ven_id, each in known
    ]
    for table, values in ((vens, rows), (certificates, certified)):
        if values:
            txn.execute(insert(table), values)


_CHANGE = update(vens).where(vens.c.ven_id == bindparam("of"))  # sets what it is given a value of


def change(txn: Txn, ven_id: str, **values: Any) -> None:
    """Set columns of a VEN."""
    txn.execute(_CHANGE, {"of": ven_id, **values})


def remove(txn: Txn, ven_id: str) -> None:
    """Forget a VEN and all that hangs on it."""
    readings.forget(txn, ven_id)
    txn.execute(delete(vens).where(vens.c.ven_id == ven_id))


def fingerprints(txn: Txn, ven_id: str) -> list[bytes]:
    """The fingerprints of a VEN, whole where they are known, the oldest first."""
    query = select(func.coalesce(certificates.c.full, certificates.c.short)).where(certificates.c.ven_id == ven_id)
    return list(txn.execute(query.order_by(certificates.c.added_at, certificates.c.short)).scalars())


def fingerprints_of(txn: Txn, ven_ids: Collection[str]) -> dict[str, list[bytes]]:
    """``fingerprints`` of many VENs."""
    query = select(certificates.c.ven_id, func.coalesce(certificates.c.full, certificates.c.short))
    query = query.where(among(certificates.c.ven_id, ven_ids))
    known: dict[str, list[bytes]] = defaultdict(list)
    for ven_id, each in txn.execute(query.order_by(certificates.c.added_at, certificates.c.short)):
        known[ven_id].append(each)
    return known


def owner(txn: Txn, short: bytes) -> str | None:
    """The venID that a certificate belongs to."""
    return txn.execute(select(certificates.c.ven_id).where(certificates.c.short == short)).scalar()


def owners(txn: Txn, shorts: Collection[bytes]) -> dict[bytes, str]:
    """``owner`` of many certificates, without those that nobody has."""
    query = select(certificates.c.short, certificates.c.ven_id)
    wanted = [short.hex().upper() for short in shorts]
    return {short: ven_id for short, ven_id in txn.execute(query.where(among(func.hex(certificates.c.short), wanted)))}


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
    """How many VENs there are, registered, online, suspended, and waiting for approval."""
    row = txn.execute(
        select(
            func.count(),
            func.count(vens.c.registration_id),
            func.count().filter(vens.c.online.is_(True)),
            func.count(vens.c.suspended_at),
        ).select_from(vens)
    ).one()
    waiting = txn.execute(select(func.count()).select_from(candidates)).scalar_one()
    return dict(zip(("vens", "vens_registered", "vens_online", "vens_suspended"), row, strict=True)) | {
        "vens_waiting": waiting
    }


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


def found_candidates(
    txn: Txn, cursor: Cursor | None = None, most: int = 1000, text: str | None = None
) -> list[Candidate]:
    """A page of those that wait, who came last first; ``text`` stands in what they say of themselves."""
    query = select(candidates)
    if text is not None:
        said = (candidates.c.subject, candidates.c.ven_id, candidates.c.ven_name)
        query = query.where(or_(*(column.icontains(text, autoescape=True) for column in said)))
    key = [candidates.c.first_seen, func.hex(candidates.c.full)]
    return [Candidate(*row) for row in txn.execute(page(query, key, cursor, most, newest=True))]


def candidate(txn: Txn, short: bytes) -> Candidate | None:
    """The candidate of a short fingerprint."""
    row = txn.execute(select(candidates).where(_has_short(short))).first()
    return Candidate(*row) if row else None


def drop_candidate(txn: Txn, short: bytes) -> None:
    """Take a candidate off the list, by its short fingerprint."""
    txn.execute(delete(candidates).where(_has_short(short)))


def _has_short(short: bytes) -> ColumnElement[bool]:
    return func.substr(candidates.c.full, -len(short)) == short
