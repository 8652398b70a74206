"""Everything timed: counts to disk, VENs that went silent, events that ended unanswered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..storage import events, outbox, vens
from ..storage.database import Txn
from .changes import NOTHING, Changes
from .vtn import Vtn

INTERVAL = 10.0
"""Seconds between two rounds; a kill loses at most this much of the counts."""


def flush(txn: Txn, rows: dict[str, list[dict[str, Any]]]) -> tuple[None, Changes]:
    """Write when VENs were heard, what was sent to them and how they bent the schema."""
    vens.flush_seen(txn, rows["seen"])
    outbox.count_offers(txn, rows["entries"])
    events.count_offers(txn, rows["events"])
    # A VEN that was removed meanwhile has no row to count on.
    vens.count_bends(txn, [row for row in rows["bends"] if vens.get(txn, row["ven_id"])])
    return None, NOTHING


def sweep(txn: Txn, missed: int, now: datetime) -> tuple[None, Changes]:
    """Mark VENs offline that missed so many of their poll intervals, and give up events that are past."""
    silent = vens.silent(txn, now, missed)
    for ven_id in silent:
        vens.change(txn, ven_id, online=False)
    lost = events.give_up(txn, now)
    changed = frozenset(silent) | {ven_id for ven_id, _ in lost}
    return None, Changes(changed, hooks=tuple(("on_ven_offline", (ven_id,)) for ven_id in silent))


class Duties(Service):
    """Runs the rounds while it is running, and a last flush when it stops."""

    log = Logger()

    def __init__(self, vtn: Vtn, clock: IReactorTime) -> None:
        self._vtn = vtn
        self._loop = LoopingCall(self.round)
        self._loop.clock = clock
        self._done: Deferred[Any] | None = None

    def startService(self) -> None:
        """Begin the rounds."""
        super().startService()
        self._done = self._loop.start(INTERVAL, now=False)

    async def stopService(self) -> None:
        """End the rounds and write what is counted."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        await self._flush()

    async def _flush(self) -> None:
        rows: dict[str, list[dict[str, Any]]] = {"seen": [], "entries": [], "events": [], "bends": []}
        for entry in self._vtn.roster.dirty:
            for kind, found in entry.flushed(self._vtn.now()).items():
                rows[kind].extend(found)
        self._vtn.roster.dirty.clear()
        if any(rows.values()):
            await self._vtn.database.run("flush", flush, rows)

    def round(self) -> Deferred[None]:
        """One round; an error is logged and does not end the rounds."""
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        try:
            await self._flush()
            await self._vtn.write("sweep", sweep, self._vtn.config.registration.offline_after)
        except Exception:
            self.log.failure("a round of duties failed, the next will try again")
