"""Answers that are kept for a while, for whoever asks the same again because the first answer was lost."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func, insert, select

from .database import Txn
from .tables import kept_answers

KEPT = timedelta(days=1)
"""So long an answer is kept, at most."""
MOST = 10_000
"""So many answers are kept; the oldest go first."""

_FIND = select(kept_answers.c.asked, kept_answers.c.answer).where(
    kept_answers.c.key == bindparam("key"), kept_answers.c.kept_at > bindparam("since")
)


def find(txn: Txn, key: str, now: datetime) -> tuple[bytes, str] | None:
    """What was asked under a key, as a digest, and what was answered."""
    row = txn.execute(_FIND, {"key": key, "since": now - KEPT}).first()
    return (row[0], row[1]) if row else None


def keep(txn: Txn, key: str, asked: bytes, answer: str, now: datetime) -> None:
    """Keep an answer; those that are too old or too many go."""
    newest = select(func.max(kept_answers.c.id)).scalar_subquery()
    txn.execute(delete(kept_answers).where(kept_answers.c.kept_at <= now - KEPT))
    txn.execute(delete(kept_answers).where(kept_answers.c.id <= newest - (MOST - 1)))
    txn.execute(insert(kept_answers).values(key=key, asked=asked, answer=answer, kept_at=now))
