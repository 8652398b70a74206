"""A noisy peer does not fill the log: beyond so many lines of it in a minute, the log says how many there were."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

log = Logger()

MINUTE = 60.0
MOST_PEERS = 10_000
"""More of them in a minute are one."""


class Noise:
    """Knows how many lines of each peer there were in this minute; a peer is a VEN, a certificate or an address.

    ``most`` of each go into the log.
    """

    def __init__(self, most: int, clock: IReactorTime) -> None:
        self._most, self._clock = most, clock
        self._lines: dict[str, int] = {}
        self._since = clock.seconds()

    def lets(self, peer: str) -> bool:
        """Whether a line about this peer is to be written."""
        self.sweep()
        if peer not in self._lines and len(self._lines) >= MOST_PEERS:
            peer = "others"
        count = self._lines[peer] = self._lines.get(peer, 0) + 1
        return count <= self._most

    def sweep(self) -> None:
        """When the minute is over, say what was left out, and begin anew."""
        now = self._clock.seconds()
        if 0 <= now - self._since < MINUTE:
            return
        lines, self._lines, self._since = self._lines, {}, now
        for peer, count in lines.items():
            if count > self._most:
                log.warn("{peer}: {n} more lines within a minute were left out", peer=peer, n=count - self._most)
