"""Market contexts behind the desk: who takes part in which program, and how many events it has."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs
from twisted.web.iweb import IRequest

from ..model.config import Config
from ..model.errors import InvalidID
from ..model.values import shown
from ..storage import contexts
from ..storage.database import Txn
from ..vtn import audience
from ..vtn.changes import Changes
from .desk import Desk, Page, Rehearsal, answer, cut, etag, listed, route
from .groups import Members, with_wishes
from .shapes import A_HUNDRED, ByName, PageSize, many, page_of, shape, show


@attrs.frozen(kw_only=True)
class MarketContextsQuery:
    """Market contexts by their URIs; those with ``q`` in it."""

    q: str | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByName | None = None


_WITH_VENS = shape("MarketContextWithVens", contexts.MarketContext, ven_ids=many(str))
_CHANGED = shape("MarketContextChanged", _WITH_VENS, effects=many(audience.Effect))


def _list(txn: Txn, query: MarketContextsQuery, now: datetime) -> Page:
    found = contexts.found(txn, now, query.cursor, query.limit, query.q)
    rows, last = cut(found, query.limit, lambda each: (each.market_context,))
    return [show(each) for each in rows], last


def _whole(txn: Txn, market_context: str, now: datetime) -> dict[str, Any]:
    return {**show(contexts.get(txn, now, market_context)), "ven_ids": contexts.members(txn, market_context)}


def _known(txn: Txn, market_context: str, now: datetime) -> tuple[dict[str, Any], str]:
    """A market context with its VENs, and its ETag.  Raises InvalidID for one that nobody has named."""
    found = _whole(txn, market_context, now)
    if not found["vens"] and not found["events"]:
        raise InvalidID(f"market_context: {shown(market_context)} is not known")
    return found, etag(found["ven_ids"])


@route("GET", "/market-contexts", "read", page_of("market_contexts", contexts.MarketContext))
async def list_market_contexts(desk: Desk, request: IRequest, query: MarketContextsQuery) -> bytes:
    """All market contexts, with how many VENs and events each has."""
    page = await desk.read("list market contexts", _list, query, desk.vtn.now())
    return listed(request, "market_contexts", page)


@route("GET", "/market-contexts/<id:market_context>", "read", _WITH_VENS)
async def show_market_context(desk: Desk, request: IRequest, market_context: str) -> bytes:
    """A market context with the VENs that were said to take part in it."""
    row, tag = await desk.read("show market context", _known, market_context, desk.vtn.now())
    return answer(request, row, etag=tag)


@route("POST", "/market-contexts/<id:market_context>/members", "dispatch", _CHANGED)
async def change_participants(
    desk: Desk, request: IRequest, query: Rehearsal, body: Members, market_context: str
) -> bytes:
    """Who takes part in a market context from now on, and who no longer; who is left with none takes part in all."""
    return await desk.do(
        request, query, _change, desk.vtn.config, market_context, body.add, body.remove,
        present=lambda txn: etag(contexts.members(txn, market_context)),
    )  # fmt: skip


def _change(
    txn: Txn, config: Config, market_context: str, add: Sequence[str], remove: Sequence[str], now: datetime
) -> tuple[dict[str, Any], Changes]:
    effects, changes = audience.change_participants(txn, market_context, add, remove, now)
    found = {**_whole(txn, market_context, now), "effects": show(effects)}
    return found, with_wishes(txn, config, {*add, *remove}, changes, now)
