"""How often somebody may say something: token buckets, by the clock's seconds."""

from __future__ import annotations

import attrs

_AT_ONCE = 10
"""Seconds of its rate that a bucket holds at least."""

SPREAD = 3
"""Who is turned away is told to come back within once and so many times the setting: not all at the same moment."""


@attrs.frozen
class Rate:
    """``per_second`` tokens come in a second; ``at_once`` is how many a bucket holds."""

    per_second: float
    at_once: float

    @classmethod
    def of(cls, per_second: float, outbox: int) -> Rate:
        """Who is sent a whole outbox may ask for all of it at once."""
        return cls(per_second, max(outbox, _AT_ONCE * per_second))

    def bucket(self, now: float) -> Bucket:
        """A bucket that is full."""
        return Bucket(self, self.at_once, now)


@attrs.define(eq=False)
class Bucket:
    """The tokens that somebody has.  A clock that goes back brings none, and costs none."""

    _rate: Rate
    _tokens: float
    _filled: float

    def take(self, now: float) -> float:
        """Take a token; 0.0, or where there is none, in how many seconds there will be one."""
        rate = self._rate
        came = now - self._filled
        self._filled = now
        if came > 0:
            self._tokens = min(self._tokens + came * rate.per_second, rate.at_once)
        if self._tokens < 1:
            return (1 - self._tokens) / rate.per_second
        self._tokens -= 1
        return 0.0

    def owe(self, tokens: int) -> None:
        """Take tokens that may not be there yet: it is over before one can be taken again."""
        self._tokens -= tokens

    def give_back(self) -> None:
        """What the token was taken for is free."""
        self._tokens = min(self._tokens + 1, self._rate.at_once)

    def full(self, now: float) -> bool:
        """Whether nothing is known of its owner but that."""
        return self._tokens + (now - self._filled) * self._rate.per_second >= self._rate.at_once
