"""Everything timed: counts to disk, VENs that went silent, events that ended unanswered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..storage import events, vens
from ..storage.database import Txn
from .changes import NOTHING, Changes
from .vtn import Vtn

INTERVAL = 10.0
"""Seconds between two rounds; a kill loses at most this much of the counts."""


def sweep(txn: Txn, missed: int, now: datetime) -> tuple[list[tuple[str, str]], Changes]:
    """Mark VENs offline that missed so many of their poll intervals, and give up events that are past.

    Replies with what was given up: (ven_id, event_id) each.
    """
    silent = vens.silent(txn, now, missed)
    vens.go_offline(txn, silent)
    lost = events.give_up(txn, now)
    changed = frozenset(silent) | {ven_id for ven_id, _ in lost}
    return lost, Changes(changed, hooks=tuple(("on_ven_offline", (ven_id,)) for ven_id in silent))


def wake(txn: Txn, now: datetime) -> tuple[None, Changes]:
    """Count all VENs that are online as just seen."""
    vens.touch_all(txn, now)
    return None, NOTHING


class Duties(Service):
    """Runs the rounds while it is running, and a last flush when it stops."""

    log = Logger()

    def __init__(self, vtn: Vtn, clock: IReactorTime) -> None:
        self._vtn = vtn
        self._loop = LoopingCall(self.round)
        self._loop.clock = clock
        self._done: Deferred[Any] | None = None
        self._last = clock.seconds()

    def startService(self) -> None:
        """Begin the rounds."""
        super().startService()
        self._done = self._loop.start(INTERVAL, now=False)

    async def stopService(self) -> None:
        """End the rounds and write what is counted."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        try:
            await self._vtn.flush()
        except Exception:
            self.log.failure("the last counts could not be written")

    def round(self) -> Deferred[None]:
        """One round; an error is logged and does not end the rounds."""
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        try:
            await self._vtn.flush()
            paused = self._vtn.clock.seconds() - self._last > 2 * INTERVAL
            self._last = self._vtn.clock.seconds()
            if paused:  # a process that stood still heard nobody: that is not the VENs' silence
                await self._vtn.write("wake", wake)
            lost = await self._vtn.write("sweep", sweep, self._vtn.config.registration.offline_after)
            for ven_id, event_id in lost:
                self.log.warn(
                    "event {event_id!r} is over, VEN {ven_id!r} never answered it", event_id=event_id, ven_id=ven_id
                )
        except Exception:
            self.log.failure("a round of duties failed, the next will try again")
