"""What is known of the whole: a text by a key each."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from .database import Txn
from .tables import house


def get(txn: Txn, key: str) -> str | None:
    """What is noted under a key."""
    return txn.execute(select(house.c.value).where(house.c.key == key)).scalar()


def put(txn: Txn, key: str, value: str | None) -> None:
    """Note a text under a key in place of what was there; None: nothing."""
    txn.execute(delete(house).where(house.c.key == key))
    if value is not None:
        txn.execute(insert(house).values(key=key, value=value))
