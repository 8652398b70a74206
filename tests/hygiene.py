"""What pytest-twisted lets pass and must not: a logged failure, an unhandled Deferred, a forgotten timer.

The conftest of each folder with a real reactor imports the fixture; it is on for every test there.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer


@implementer(ILogObserver)
class _CriticalEvents(list[LogEvent]):
    def __call__(self, event: LogEvent) -> None:
        if event.get("log_level") is LogLevel.critical:
            self.append(event)


@pytest.fixture(autouse=True)
def critical_events() -> Iterator[_CriticalEvents]:
    """Fails a test that leaves a critical log event, or a delayed call that was not there before it.

    A test that means to cause critical events asks for this list and takes them out of it::

        assert "incident" in formatEvent(critical_events.pop())
    """
    events = _CriticalEvents()
    gc.collect()  # what earlier tests dropped is not this one's fault
    before = set(reactor.getDelayedCalls())
    globalLogPublisher.addObserver(events)
    yield events
    pytest_twisted.blockon(task.deferLater(reactor, 0))  # calls for "now" are no leftovers
    gc.collect()  # a Deferred that failed unheard says so when it is collected
    globalLogPublisher.removeObserver(events)
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    complaints = [_told(event) for event in events] + [f"left over: {call}" for call in left]
    for call in left:
        call.cancel()  # it must not go off in somebody else's test
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)


def _told(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return f"logged: {formatEvent(event)}" + (f"\n{failure.getTraceback()}" if failure else "")
