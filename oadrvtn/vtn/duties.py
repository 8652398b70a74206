"""Everything timed: counts to disk, VENs that went silent, events that ended unanswered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from math import inf
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..model.config import Config
from ..storage import vens
from ..storage.database import Txn
from . import audience, events, provider, readings, replay, wishes
from .changes import NOTHING, Changes
from .rates import SPREAD
from .vtn import Vtn

INTERVAL = 10.0
"""Seconds between two rounds; a kill loses at most this much of the counts."""


def silence(txn: Txn, config: Config, now: datetime) -> tuple[None, Changes]:
    """Mark VENs offline that missed too many of their poll intervals."""
    silent = vens.silent(txn, now, config.registration.offline_after)
    vens.go_offline(txn, silent)
    return None, Changes(frozenset(silent), hooks=tuple(("on_ven_offline", (ven_id,)) for ven_id in silent))


def breath(txn: Txn, now: datetime) -> tuple[None, Changes]:
    """Nothing, by which the writer shows that it lives."""
    return None, NOTHING


def wake(txn: Txn, now: datetime) -> tuple[None, Changes]:
    """Count all VENs that are online as just seen."""
    vens.touch_all(txn, now)
    return None, NOTHING


ROUND: tuple[Callable[[Txn, Config, datetime], tuple[Any, Changes]], ...] = (
    silence,
    events.give_up,
    events.note_unanswered,
    audience.release,
    readings.fill_gaps,
    provider.tell_on,
    wishes.ask_on,
    replay.forget,
)
"""The rules of a round, in this order; each is repeated for as long as it replies that there may be more."""


SLICES = 50
"""So many slices of what is too old are dropped in a round, at most: a backlog holds nothing else up."""

TICK = 1.0
"""Seconds between two looks at how late the reactor is."""
LATE = 1.0
"""Who comes so many seconds late to a look has no time to hear VENs: all of them at once, after a restart."""


class Duties(Service):
    """Runs the rounds while it is running, and a last flush when it stops; also notes how late the reactor is.

    ``chores`` are what else is done in each round, by functions that may return a Deferred.
    """

    log = Logger()

    def __init__(self, vtn: Vtn, clock: IReactorTime, chores: Sequence[Callable[[], Any]] = ()) -> None:
        self._vtn = vtn
        self._chores = chores
        self._loop = LoopingCall(self.round)
        self._loop.clock = clock
        self._done: Deferred[Any] | None = None
        self._last = clock.seconds()
        self._apart = self._clocks_apart()
        self._tick: IDelayedCall | None = None
        self._late = False
        self._shed, self._away_until = 0, -inf

    def startService(self) -> None:
        """Begin the rounds."""
        super().startService()
        self._wait()
        self._done = self._loop.start(INTERVAL, now=False)

    async def stopService(self) -> None:
        """End the rounds and write what is counted."""
        super().stopService()
        if self._tick:
            self._tick.cancel()
            self._tick = None
        if self._loop.running:
            self._loop.stop()
        try:
            await self._vtn.flush()
        except Exception:
            self.log.failure("the last counts could not be written")

    def _clocks_apart(self) -> float:
        """Seconds that the clock on the wall is ahead."""
        return self._vtn.wall() - self._vtn.clock.seconds()

    def _wait(self) -> None:
        self._tick = self._vtn.clock.callLater(TICK, self._note, self._vtn.clock.seconds() + TICK)

    def _note(self, due: float) -> None:
        late = max(0.0, self._vtn.clock.seconds() - due)
        self._vtn.lag.note(late)
        self._late = self._late or late >= LATE
        self._wait()

    def _deaf(self) -> bool:
        """Whether VENs may have spoken unheard: the reactor had no time, or they were told to come again later."""
        vtn = self._vtn
        late, self._late = self._late, False
        if (shed := vtn.limited["overload"]) != self._shed:
            self._shed, self._away_until = shed, vtn.clock.seconds() + SPREAD * vtn.config.limits.retry_after
        return late or vtn.clock.seconds() < self._away_until

    def round(self) -> Deferred[None]:
        """One round; an error is logged and does not end the rounds."""
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        self._vtn.noise.sweep()
        for chore in self._chores:
            try:
                await maybeDeferred(chore)
            except Exception:
                self.log.failure("a chore failed, the next round will try again")
        try:
            await self._vtn.flush()
            paused = self._vtn.clock.seconds() - self._last > 2 * INTERVAL
            self._last = self._vtn.clock.seconds()
            jump = self._clocks_apart() - self._apart
            self._apart += jump
            if was_set := abs(jump) > 2 * INTERVAL:
                self.log.warn("the clock was set by {seconds:+.0f} s", seconds=jump)
            # Who stood still, or was overrun, heard nobody: that is not the VENs' silence.
            if self._deaf() or paused or was_set:
                await self._vtn.write("wake", wake)
            for rule in ROUND:
                while await self._vtn.write(rule.__name__, rule, self._vtn.config):
                    pass
            for _ in range(SLICES):
                if not await self._vtn.write("drop readings", readings.forget, self._vtn.config):
                    break
        except Exception:
            self.log.failure("a round of duties failed, the next will try again")
