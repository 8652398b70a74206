"""Replay protection (rule 514): how old a signed message may be, and which ones were heard before.

A message that comes again has the timestamp and the nonce of the first one, for both are signed.  So it is
enough to remember the pairs whose time is within the window; what is older is refused for its time.
"""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime, timedelta

import attrs

from .signature import SignatureRefused

_SLOT = 10  # seconds of timestamps that are forgotten together
_MOST = 100  # messages of one VEN in a slot; who signs more of them is not polling


@attrs.frozen
class Window:
    """How far a timestamp may be from our clock: behind it (age and slow clocks), and ahead of it (fast clocks)."""

    past: timedelta = timedelta(seconds=60)
    future: timedelta = timedelta(seconds=60)

    def check(self, timestamp: datetime, now: datetime) -> None:
        """Raises SignatureRefused for a timestamp outside of the window."""
        behind = now - timestamp
        if not -self.future <= behind <= self.past:
            seconds = behind.total_seconds()
            raise SignatureRefused(f"the timestamp is {abs(seconds):.0f} s {'old' if seconds > 0 else 'ahead'}")


class Nonces:
    """What the VENs have signed lately, in memory: for messages whose nonces are not worth a transaction.

    They are kept by the time that they claim: to look one up and to forget a slot of them takes the same time
    however many there are.  Nothing that was forgotten is accepted again, even if the clock is set back: no
    timestamp before the end of the youngest slot that went is, and none before the start, when nothing was
    known.  What was heard before the start and claims a time after it (the clocks of some are ahead) is told by
    ``know``: memory is not enough for what claims a time that is still to come.
    """

    def __init__(self, window: Window, started: datetime) -> None:
        self.window = window
        self.started = self._floor = started
        self._slots: dict[int, dict[Hashable, set[tuple[datetime, str]]]] = {}  # slot -> signer -> pairs

    def know(self, signer: Hashable, timestamp: datetime, nonce: str) -> None:
        """Note a message that was heard before the start."""
        number = int(timestamp.timestamp() // _SLOT)
        self._slots.setdefault(number, {}).setdefault(signer, set()).add((timestamp, nonce))

    def use(self, signer: Hashable, timestamp: datetime, nonce: str, now: datetime) -> None:
        """Note a message; raises SignatureRefused for one that is out of the window or was here before."""
        self.window.check(timestamp, now)
        if timestamp < self._floor:
            raise SignatureRefused(f"the timestamp is before {self._floor}, of which nothing is known any more")
        number = int(timestamp.timestamp() // _SLOT)
        if number not in self._slots:
            self._forget(now)
            self._slots[number] = {}
        used = self._slots[number].setdefault(signer, set())
        if (timestamp, nonce) in used:
            raise SignatureRefused("the nonce was used before")
        if len(used) >= _MOST:
            raise SignatureRefused(f"more than {_MOST} messages were signed within {_SLOT} s")
        used.add((timestamp, nonce))

    def _forget(self, now: datetime) -> None:
        """Drop the slots that are out of the window; there are few slots, and this runs once for each."""
        kept = int((now - self.window.past).timestamp() // _SLOT)
        for number in [number for number in self._slots if number < kept]:
            del self._slots[number]
            self._floor = max(self._floor, datetime.fromtimestamp((number + 1) * _SLOT, now.tzinfo))

    def __len__(self) -> int:
        return sum(len(used) for slot in self._slots.values() for used in slot.values())
