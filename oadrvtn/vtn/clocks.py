"""Two clocks: that on the wall for all that is told, and one that only goes forward for all that waits."""

from __future__ import annotations

import time
from typing import Any


def make_steady(reactor: Any) -> None:
    """Have a reactor wait by a clock that nobody sets.

    Twisted's own is that of the wall: set back by an hour, whatever was to happen in a second waits for an hour and a
    second.  This one begins with the wall's time, so that what was asked for before stays where it was.
    """
    apart = time.time() - time.monotonic()
    reactor.seconds = lambda: apart + time.monotonic()
