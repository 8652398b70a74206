"""Overload: whether there is more to do than can be done, and who is served all the same.

Two delays tell it, each in parts of what it may be, and together, for a message has both: how late the reactor comes
to what is due, and for how long something waits for the database.  They are times, so they mean the same on a fast
machine and on a slow one, for cheap messages and for dear ones.  They are looked at twenty times a second, also within
a turn of the reactor that takes longer; and they have to last, for everybody is late now and then.

The more they are beyond the limit, the more connections are shed, the newest first: their messages get 503 with
Retry-After, unread.  At twice the limit only the first few are left.  So whatever comes, the delays stay between the
limit and its double, where as much comes in as can be done; and when they are gone everybody is served at once.  Who
is shed keeps the connection, which cost more than the message, and with it the place in the order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from itertools import islice
from random import random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..model.config import Limits
from ..vtn.rates import SPREAD

log = Logger()

TICK = 0.05
"""Seconds between two looks."""
LASTING = 0.1
"""What all looks of so many seconds find is no accident."""
FEWEST = 16
"""So many connections are always served: fewer are no crowd."""
OVER = 5.0
"""Seconds without anybody being shed after which it is over, as far as the log goes."""
_MOST = 2.0
"""So many times the limit, and only the fewest are served."""


class Overload:
    """Knows the order of the connections, and who is the newest that is served.

    ``behind`` tells for how many seconds the oldest work of the database has waited; ``chance`` is a number from 0 to
    1, another one each time.
    """

    def __init__(
        self,
        limits: Limits,
        behind: Callable[[], float],
        clock: IReactorTime,
        chance: Callable[[], float] = random,
    ) -> None:
        self._limits, self._behind, self._clock, self._chance = limits, behind, clock, chance
        self._order: dict[int, None] = {}
        self._next = 0
        self._last: float = math.inf  # the newest that is served
        self._late = 0.0  # how late the last turn of the reactor was
        self._found = deque([(-math.inf, 0.0)])  # when it was looked at for as long as LASTING, and how bad it was
        self._shed: float | None = None  # when somebody was last to be shed, until it is over
        self._due = self._looked = math.inf
        self._tick: IDelayedCall | None = None

    # --- connections ----------------------------------------------------------------------------------

    def enter(self) -> int:
        """The number of a new connection, higher than all before."""
        self._next += 1
        self._order[self._next] = None
        return self._next

    def leave(self, number: int) -> None:
        """A connection is gone."""
        del self._order[number]

    def sheds(self, number: int, now: float) -> bool:
        """Whether what comes on this connection is too much; ``now`` are seconds of the clock."""
        if now - self._looked >= TICK:
            self._judge(now)
        return number > self._last

    def retry_after(self) -> int:
        """In how many seconds somebody who is shed shall come again."""
        return math.ceil(self._limits.retry_after * (1 + (SPREAD - 1) * self._chance()))

    # --- looking --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look."""
        self._looked = self._clock.seconds()
        self._due = self._looked + TICK
        self._tick = self._clock.callLater(TICK, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._tick:
            self._tick.cancel()
            self._tick = None
            self._due = math.inf

    def _look(self) -> None:
        now = self._clock.seconds()
        self._late = now - self._due
        self._judge(now)
        self.start()

    def _judge(self, now: float) -> None:
        self._looked = now
        late, behind = max(self._late, now - self._due), self._behind()
        self._found.append((now, late / self._limits.overload_lag + behind / self._limits.overload_wait))
        while self._found[1][0] <= now - LASTING:
            self._found.popleft()
        self._serve(min(excess for _, excess in self._found), late, behind)

    def _serve(self, excess: float, late: float, behind: float) -> None:
        now, here = self._looked, len(self._order)
        served = max(FEWEST, int(here * (_MOST - excess) / (_MOST - 1)))
        if served < here:
            self._last = next(islice(self._order, served - 1, None))
            if self._shed is None:
                said = "of {n} connections the newest are shed ({late:.1f} s late, database {behind:.1f} s)"
                log.warn(f"too much to do: {said}", n=here, late=late, behind=behind)
            self._shed = now
            return
        self._last = math.inf
        if self._shed is not None and now - self._shed >= OVER:
            self._shed = None
            log.warn("there is no longer too much to do: all {n} connections are served", n=here)
