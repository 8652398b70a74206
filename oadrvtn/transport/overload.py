"""Overload: whether there is more to do than can be done, and who is served all the same.

Two signs tell it, looked at ten times a second, also within a turn of the reactor that takes longer: the reactor comes
late to what is due, or what the database is to do waits.  Both are times, so they mean the same on a fast machine and
on a slow one, for cheap messages and for dear ones; and one of them has to last, for everybody is late now and then.

Then the newest connections are shed: their messages get 503 with Retry-After, unread, until those that are left are
served in time.  At each look that finds it bad a quarter less are served, or up to three quarters by how bad it is, and
an eighth more at each that does not.  Who is shed keeps the connection, which cost more than the message, and with it
the place in the order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from random import random

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ..model.config import Limits
from ..vtn.rates import SPREAD

log = Logger()

TICK = 0.1
"""Seconds between two looks."""
LASTING = 4
"""So many looks in a row that find it bad are no accident."""
FEWEST = 16
"""So many connections are always served: fewer are no crowd."""
_FEWER, _FEWEST_OF, _MORE = 0.75, 0.25, 1.125


class Overload:
    """Knows the order of the connections, and how many of them are served.

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
        self._served: int | None = None  # None: all
        self._last: float = math.inf  # the newest that is served
        self._bad = 0
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
        if now - self._due >= self._limits.overload_lag and now - self._looked >= TICK:
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
        self._judge(self._clock.seconds())
        self.start()

    def _judge(self, now: float) -> None:
        self._looked = now
        late, behind = now - self._due, self._behind()
        if late >= self._limits.overload_lag or behind >= self._limits.overload_wait:
            self._bad += 1
            if self._bad >= LASTING:
                self._serve_fewer(late, behind)
        else:
            self._bad = 0
            if self._served is not None:
                self._serve_more(self._served)

    def _serve_fewer(self, late: float, behind: float) -> None:
        here = len(self._order)
        excess = max(late / self._limits.overload_lag, behind / self._limits.overload_wait)
        share = min(_FEWER, max(_FEWEST_OF, 1 / excess))
        fewer = max(FEWEST, int(share * (here if self._served is None else self._served)))
        if fewer >= here:
            return
        if self._served is None:
            said = "too much to do: of {n} connections the newest are shed ({late:.1f} s late, database {behind:.1f} s)"
            log.warn(said, n=here, late=late, behind=behind)
        self._serve(fewer)

    def _serve_more(self, served: int) -> None:
        more = int(_MORE * served) + 1
        if more < len(self._order):
            self._serve(more)
            return
        self._served, self._last = None, math.inf
        log.warn("there is no longer too much to do: all {n} connections are served", n=len(self._order))

    def _serve(self, count: int) -> None:
        self._served = count
        self._last = next(islice(self._order, count - 1, None))
