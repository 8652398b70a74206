"""What became of many exchanges: how many of each kind, how long they took, what went wrong.  No I/O."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import attrs

_STEPS = 50
"""Times are kept to one part in so many: however many there are, a few hundred counters hold them."""
_SHORTEST = 1e-6


@attrs.define
class Figures:
    """``times``: of each kind of message, how many exchanges took so long, by the logarithm of the seconds.

    ``errors``: by kind of message and what went wrong.  An exchange that went wrong has no time.
    """

    times: defaultdict[str, Counter[int]] = attrs.field(factory=lambda: defaultdict(Counter))
    errors: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def note(self, kind: str, seconds: float, error: str | None = None) -> None:
        """One exchange is over."""
        if error is None:
            self.times[kind][round(math.log(max(seconds, _SHORTEST)) * _STEPS)] += 1
        else:
            self.errors[kind, error] += 1

    def add(self, more: Figures) -> None:
        """Count what another has counted, too."""
        for kind, times in more.times.items():
            self.times[kind].update(times)
        self.errors.update(more.errors)

    @property
    def answered(self) -> int:
        """How many went well."""
        return sum(times.total() for times in self.times.values())

    @property
    def failed(self) -> int:
        """How many went wrong."""
        return self.errors.total()

    def quantile(self, share: float, kinds: Iterable[str] | None = None) -> float | None:
        """The seconds within which this share of the exchanges was answered; None where there was none."""
        times: Counter[int] = Counter()
        for kind in self.times if kinds is None else kinds:
            times.update(self.times[kind])
        most, so_far = share * times.total(), 0
        for step, count in sorted(times.items()):
            so_far += count
            if so_far >= most:
                return math.exp(step / _STEPS)
        return None

    def summary(self, seconds: float) -> dict[str, Any]:
        """For programs: of each kind the number, the rate over so many seconds, p50 and p99 in ms; the errors."""
        kinds = sorted({*self.times, *(kind for kind, _ in self.errors)}, key=lambda kind: -self.times[kind].total())
        return {
            "seconds": round(seconds, 3),
            "messages": self.answered,
            "errors": self.failed,
            "rate": round(self.answered / seconds, 3) if seconds else None,
            "p50_ms": _ms(self.quantile(0.5)),
            "p99_ms": _ms(self.quantile(0.99)),
            "kinds": [
                {
                    "message": kind,
                    "count": (count := self.times[kind].total()),
                    "rate": round(count / seconds, 3) if seconds else None,
                    "p50_ms": _ms(self.quantile(0.5, [kind])),
                    "p99_ms": _ms(self.quantile(0.99, [kind])),
                    "errors": {error: n for (of, error), n in sorted(self.errors.items()) if of == kind},
                }
                for kind in kinds
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """What ``of`` reads."""
        return {
            "times": {kind: list(times.items()) for kind, times in self.times.items()},
            "errors": [[*what, n] for what, n in self.errors.items()],
        }

    @classmethod
    def of(cls, found: dict[str, Any]) -> Figures:
        """The inverse of ``as_json``."""
        figures = cls()
        for kind, times in found["times"].items():
            figures.times[kind] = Counter(dict(times))
        figures.errors.update({(kind, error): n for kind, error, n in found["errors"]})
        return figures


@attrs.define
class Course:
    """How it went: ``total``, and ``rows``, of each second that is over what was answered in it."""

    total: Figures = attrs.field(factory=Figures)
    rows: list[dict[str, Any]] = attrs.field(factory=list)
    _now: Figures = attrs.field(factory=Figures)
    _second: int = 0

    def add(self, elapsed: float, more: Figures) -> None:
        """What was told so many seconds after the beginning."""
        if int(elapsed) > self._second:
            self.close()
            self._second = int(elapsed)
        self._now.add(more)
        self.total.add(more)

    def close(self) -> None:
        """This second is over."""
        now, self._now = self._now, Figures()
        self.rows.append(
            {
                "second": self._second,
                "messages": now.answered,
                "errors": now.failed,
                "p50_ms": _ms(now.quantile(0.5)),
                "p99_ms": _ms(now.quantile(0.99)),
            }
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
