"""The signed messages of late, by what makes each the only one: who signed it, when, and its nonce."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, cast, delete, select
from sqlalchemy.dialects.sqlite import insert

from .database import Txn
from .tables import house, instant, microseconds, nonces

_SINCE = select(cast(house.c.value, BigInteger)).where(house.c.key == "nonces")
_USE = insert(nonces).on_conflict_do_nothing().returning(nonces.c.signer)


def use(txn: Txn, signer: bytes, timestamp: datetime, nonce: str) -> bool:
    """Note a message; False for one that was here before."""
    return txn.execute(_USE, {"signer": signer, "timestamp": timestamp, "nonce": nonce}).first() is not None


def since(txn: Txn) -> datetime | None:
    """Of messages that were signed before this instant it is not known any more whether they were here."""
    found = txn.execute(_SINCE).scalar()
    return None if found is None else instant(found)


def forget(txn: Txn, before: datetime) -> None:
    """Drop what was signed before an instant."""
    if txn.execute(delete(nonces).where(nonces.c.timestamp < before)).rowcount:
        txn.execute(delete(house).where(house.c.key == "nonces"))
        txn.execute(house.insert().values(key="nonces", value=str(microseconds(before))))
