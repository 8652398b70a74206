"""The audit log behind the desk, and the clerk who writes what was refused and tells the log how far it goes."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from ..model.errors import InvalidData
from ..storage import audit
from ..storage.audit import Action, Broken, Head, Row
from ..storage.database import Txn
from ..vtn.changes import NOTHING, Changes
from ..vtn.vtn import Vtn
from .desk import Desk, Page, answer, cut, listed, route
from .shapes import A_HUNDRED, ByNumber, Flag, PageSize, page_of, shape, show

log = Logger()

HOUR = 3600.0


@attrs.frozen(kw_only=True)
class AuditQuery:
    """What was done, the newest last; by whom, which action, to what; since when; what was refused, or not."""

    who: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    refused: Flag | None = None
    limit: PageSize = A_HUNDRED
    cursor: ByNumber | None = None


@attrs.frozen(kw_only=True)
class VerifyQuery:
    """Against which head of before, from the log; without one it is not seen that the newest rows are missing."""

    head: str | None = None


def _list(txn: Txn, query: AuditQuery) -> Page:
    asked = attrs.asdict(query)
    found = audit.found(txn, asked.pop("cursor"), asked.pop("limit"), **asked)[::-1]
    rows, last = cut(found, query.limit, lambda row: (row.number,), backwards=True)
    return [{**show(row), "asked": row.asked.hex(), "hash": row.hash.hex()} for row in rows], last


@route("GET", "/audit", "admin", page_of("audit", shape("AuditRow", Row, asked=str, hash=str)))
async def list_audit(desk: Desk, request: IRequest, query: AuditQuery) -> bytes:
    """What operators did and were refused, from the newest page back."""
    return listed(request, "audit", await desk.read("list audit", _list, query))


@route("GET", "/audit/verify", "admin", shape("AuditVerified", head=str, rows=int, broken=Broken | None))
async def verify_audit(desk: Desk, request: IRequest, query: VerifyQuery) -> bytes:
    """Whether the log is as it was written: up to which head, and the first row that is not."""
    try:
        known = Head.parse(query.head) if query.head is not None else None
    except ValueError as error:
        raise InvalidData.at("head", str(error)) from None
    good, broken, done = Head(), None, False
    while not done:  # in pieces, so that others may read meanwhile
        good, broken, done = await desk.read("verify audit", audit.verify, good, known)
    return answer(request, {"head": str(good), "rows": good.number, "broken": show(broken)})


# --- the clerk ----------------------------------------------------------------------------------------


@attrs.define
class _Allowance:
    """How many rows may be written at once: so many, and one more each second."""

    MOST = 60.0

    left: float = MOST
    at: float = 0.0
    left_out: int = 0

    def take(self, now: float) -> bool:
        """Whether one more may be written; else it is counted."""
        self.left, self.at = min(self.MOST, self.left + now - self.at), now
        if self.left < 1:
            self.left_out += 1
            return False
        self.left -= 1
        return True


def _write(txn: Txn, action: Action, now: datetime) -> tuple[None, Changes]:
    audit.append(txn, action, now)
    return None, NOTHING


def _head(txn: Txn, now: datetime) -> tuple[Head, Changes]:
    return audit.head(txn), NOTHING


class Clerk(Service):
    """Writes what was refused, though not each of too many, and logs the head each hour and at the end.

    ``refused`` counts each of them, by HTTP status.
    """

    def __init__(self, vtn: Vtn) -> None:
        self._vtn = vtn
        self._allowances = {known: _Allowance(at=vtn.clock.seconds()) for known in (True, False)}
        self.refused: Counter[str] = Counter()
        self._loop = LoopingCall(self.tell)
        self._loop.clock = vtn.clock

    def note(self, action: Action) -> None:
        """Write what had no effect; who shows no known token does not use up what others may have written."""
        if action.status >= 400:
            self.refused[str(action.status)] += 1
        allowance = self._allowances[bool(action.who)]
        if allowance.take(self._vtn.clock.seconds()):
            action, allowance.left_out = attrs.evolve(action, left_out=allowance.left_out), 0
            self._vtn.write("audit", _write, action).addErrback(
                lambda failure: log.failure("the audit log could not be written", failure)
            )

    def tell(self) -> Deferred[Any]:
        """Log the head, which later shows whether rows were cut."""
        told = self._vtn.write("audit head", _head)
        return told.addCallbacks(
            lambda head: log.info("audit log: head {head}", head=str(head)),
            lambda failure: log.failure("the head of the audit log could not be read", failure),
        )

    def startService(self) -> None:
        """Begin the hours."""
        super().startService()
        self._loop.start(HOUR)

    async def stopService(self) -> None:
        """Tell the head once more, where it was told before."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
            await self.tell()
