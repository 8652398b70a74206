"""The signed messages of late, by what makes each the only one: who signed it, when, and its nonce."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select

from .database import Txn
from .prepared import driver
from .tables import house, instant, microseconds, nonces

_SINCE = "SELECT CAST(value AS INTEGER) FROM house WHERE key = 'nonces'"
_USE = f"""
INSERT INTO nonces (signer, timestamp, nonce) SELECT ?1, ?2, ?3 WHERE ?2 >= coalesce(({_SINCE}), ?2)
ON CONFLICT DO NOTHING
"""


def use(txn: Txn, signer: bytes, timestamp: datetime, nonce: str) -> bool:
    """Note a message; False for one that was here before, or of which that is not known any more (see ``since``)."""
    return driver(txn).execute(_USE, (signer, microseconds(timestamp), nonce)).rowcount == 1


def since(txn: Txn) -> datetime | None:
    """Of messages that were signed before this instant it is not known any more whether they were here."""
    found = driver(txn).execute(_SINCE).fetchone()
    return instant(found[0]) if found else None


def ahead(txn: Txn, of: datetime) -> list[tuple[bytes, datetime, str]]:
    """The messages that claim this instant or a later one: signer, timestamp, nonce."""
    columns = nonces.c.signer, nonces.c.timestamp, nonces.c.nonce
    return [(*row,) for row in txn.execute(select(*columns).where(nonces.c.timestamp >= of))]


def forget(txn: Txn, before: datetime) -> None:
    """Drop what was signed before an instant.

    Up to the last of it nothing is known any more; not up to ``before``, which is far off where the clock was set.
    """
    last = txn.execute(select(func.max(nonces.c.timestamp)).where(nonces.c.timestamp < before)).scalar()
    if last is None:
        return
    txn.execute(delete(nonces).where(nonces.c.timestamp < before))
    known = max(last + datetime.resolution, since(txn) or last)
    txn.execute(delete(house).where(house.c.key == "nonces"))
    txn.execute(house.insert().values(key="nonces", value=str(microseconds(known))))
