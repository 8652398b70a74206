"""Reporter: makes the VTN's own reports when they are due, of what the sources in the user's code have found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from . import provider
from .hooks import called
from .offers import Task, readings
from .vtn import Vtn

INTERVAL = 10.0
"""Seconds between two looks at what is due."""
PATIENCE = 10.0
"""Seconds that a source has for its readings."""
Source = Callable[[str, tuple[str, ...], datetime, datetime], Any]
"""``source(ven_id, r_ids, since, until)``: what is known of the points in [since, until), where both are the same
at present.  It returns a mapping of rIDs, each with a value or a list of (start, value); or a Deferred of that, or
is a coroutine."""

_AT_ONCE = 100  # reports that are made side by side


class Reporter(Service):
    """Looks for what is due while it is running; ``sources`` are by the names that the offers have for them."""

    log = Logger()

    def __init__(self, vtn: Vtn, clock: IReactorTime, sources: Mapping[str, Source]) -> None:
        self.sources = sources
        self._vtn = vtn
        self._clock = clock
        self._loop = LoopingCall(self.round)
        self._loop.clock = clock
        self._working: Deferred[Any] | None = None
        self._stopped = False

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """Look no more; who still waits for readings gets none."""
        super().stopService()
        self._stopped = True
        if self._loop.running:
            self._loop.stop()
        if self._working:
            self._working.cancel()

    def round(self) -> Deferred[None]:
        """Make all that is due; an error is logged and does not end the rounds."""
        return Deferred.fromCoroutine(self._round())

    async def _round(self) -> None:
        late: set[str] = set()
        try:
            while tasks := await self._due():
                self._working = DeferredList([self._found(task, late) for task in tasks], consumeErrors=True)
                found = await self._working
                if self._stopped:
                    return
                failed = defaultdict(list)
                for task, (good, result) in zip(tasks, found, strict=True):
                    if not good:
                        failed[task.source].append(result)
                for source, failures in failed.items():
                    self._missing(source, failures, late)
                made = [(task, result if good else None) for task, (good, result) in zip(tasks, found, strict=True)]
                await self._vtn.write("provide", provider.provide, self._vtn.config, made)
        except Exception:
            self.log.failure("a round of the VTN's own reports failed, the next will try again")

    async def _due(self) -> list[Task]:
        if self._stopped:
            return []
        now = self._vtn.now()
        return await self._vtn.database.read("due reports", provider.due, self._vtn.config, now, _AT_ONCE)

    def _found(self, task: Task, late: set[str]) -> Deferred[Any]:
        """The intervals of a report; in a round nobody waits twice for a source that is late."""
        asked = called(self._ask, task, late)
        answer: Deferred[Any] = Deferred(lambda _: asked.cancel())
        asked.addBoth(lambda result: None if answer.called else answer.callback(result))
        return answer.addTimeout(PATIENCE, self._clock).addCallback(lambda found: readings(task, found))

    def _ask(self, task: Task, late: set[str]) -> Any:
        if not task.source:
            return {}
        if task.source in late:
            raise TimeoutError()
        return self.sources[task.source](task.request.ven_id, task.r_ids, task.since, task.until)

    def _missing(self, source: str, failures: list[Failure], late: set[str]) -> None:
        if any(failure.check(TimeoutError) for failure in failures):
            late.add(source)
        self.log.failure(
            "{source} gave no readings for {count} reports, which will be tried again",
            failure=failures[0], source=source, count=len(failures),
        )  # fmt: skip
