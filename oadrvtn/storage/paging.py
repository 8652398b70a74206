"""Pages of lists: each begins behind the key where the last one ended, so that what comes and goes shifts nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, literal, tuple_, type_coerce

from .tables import Instant

Cursor = Sequence[str | int]
"""The key of the last row of a page: texts, and instants in microseconds."""


def page(
    query: Select[Any], key: Sequence[ColumnElement[Any]], cursor: Cursor | None, most: int, newest: bool = False
) -> Select[Any]:
    """The rows behind a cursor, by a key that no two rows share: ``most``, and one more where there are more.

    With ``newest`` those with the largest keys come first.
    """
    if cursor is not None:
        of = tuple_(*(type_coerce(part, Integer) if isinstance(part.type, Instant) else part for part in key))
        last = tuple_(*map(literal, cursor))
        query = query.where(of < last if newest else of > last)
    return query.order_by(*(part.desc() if newest else part for part in key)).limit(most + 1)
