"""A reactor that only takes calls from threads; the test makes them, and waits for no more than a moment."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from zope.interface import implementer

PATIENCE = 20.0
"""Seconds; nothing takes nearly that long."""


@implementer(IReactorFromThreads)
class FromThreads:
    """What threads ask is done when the test waits for it."""

    def __init__(self) -> None:
        self._calls: queue.Queue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.Queue()

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Called by the threads."""
        assert not kwargs
        self._calls.put((callable, args))

    def wait(self, *deferreds: Deferred[Any]) -> list[Any]:
        """Make calls until all of these have fired: their results, failures as Failure."""
        outcomes: dict[int, Any] = {}
        for number, deferred in enumerate(deferreds):
            deferred.addBoth(lambda outcome, number: outcomes.update({number: outcome}), number)
        while len(outcomes) < len(deferreds):
            function, arguments = self._calls.get(timeout=PATIENCE)
            function(*arguments)
        return [outcomes[number] for number in range(len(deferreds))]
