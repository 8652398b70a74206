"""What operators decide about certificates and VENs that came in: revoke them, suspend them, and take that back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..model.errors import InvalidData, InvalidID
from ..security import fingerprint
from ..security.certificates import Description
from ..storage import certificates, vens
from ..storage.certificates import Revoked
from ..storage.database import Txn
from ..storage.vens import Ven
from .changes import Changes
from .requests import current


def row(description: Description) -> dict[str, Any]:
    """What is kept of what a certificate says of itself."""
    return {
        "known": fingerprint.short(fingerprint.parse(description.sha256)),
        "its_subject": description.subject,
        "its_issuer": description.issuer,
        "its_serial": description.serial,
        "its_end": description.not_after,
    }


def suspend(txn: Txn, ven_id: str, now: datetime) -> tuple[Ven, Changes]:
    """Take nothing from a VEN any more; what waits for it goes on waiting."""
    if current(txn, ven_id).suspended_at is None:
        vens.change(txn, ven_id, suspended_at=now)
    return current(txn, ven_id), Changes.of(ven_id)


def resume(txn: Txn, ven_id: str, now: datetime) -> tuple[Ven, Changes]:
    """End the suspension of a VEN."""
    vens.change(txn, current(txn, ven_id).ven_id, suspended_at=None)
    return current(txn, ven_id), Changes.of(ven_id)


def revoke(txn: Txn, known: bytes | None, ven_id: str | None, now: datetime) -> tuple[list[Revoked], Changes]:
    """Refuse the certificate of a fingerprint (10 or 32 bytes) from now on, or all that a VEN is known by.

    It need not be known yet.  Raises InvalidData where neither or both are given, InvalidID for an unknown VEN.
    """
    if known is not None and ven_id is None:
        each = [known]
    elif ven_id is not None and known is None:
        each = vens.fingerprints(txn, current(txn, ven_id).ven_id)
    else:
        raise _one()
    made = []
    for one in each:
        short = fingerprint.short(one)
        full = one if len(one) == fingerprint.FULL else None
        made.append(Revoked(short, full, vens.owner(txn, short), now))
        certificates.revoke(txn, made[-1])
        vens.drop_candidate(txn, short)
    owners = frozenset(revoked.ven_id for revoked in made if revoked.ven_id)
    return made, Changes(vens=owners, revoked=frozenset(revoked.short for revoked in made))


def restore(txn: Txn, known: bytes | None, ven_id: str | None, now: datetime) -> tuple[list[bytes], Changes]:
    """Take back that a certificate is revoked, or all that were a VEN's; their short fingerprints.

    Raises InvalidID for one that is not revoked.
    """
    if known is not None and ven_id is None:
        shorts = [fingerprint.short(known)]
    elif ven_id is not None and known is None:
        shorts = [revoked.short for revoked in certificates.revoked_of(txn, ven_id)]
    else:
        raise _one()
    restored = [short for short in shorts if certificates.restore(txn, short)]
    if not restored:
        what = f"VEN {ven_id!r} has no certificate that" if known is None else "no certificate of this fingerprint"
        raise InvalidID(f"{what} is revoked")
    return restored, Changes(restored=frozenset(restored))


def _one() -> InvalidData:
    return InvalidData.at("fingerprint", "say which: a fingerprint, or a ven_id for all certificates of that VEN")
