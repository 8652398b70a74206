"""Hooks: the functions that users give to ``add_handler``; some are asked, the others told what has happened."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from inspect import iscoroutine
from traceback import walk_tb
from types import coroutine
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..model.config import did_you_mean
from ..model.values import shown

ASKED = ("on_create_party_registration", "on_poll", "on_request_event", "on_request_report")
"""What the answer to a message depends on."""
TOLD_OF_MESSAGES = (
    "on_query_registration", "on_cancel_party_registration", "on_canceled_party_registration",
    "on_created_event",
    "on_register_report", "on_registered_report", "on_create_report", "on_created_report",
    "on_update_report", "on_updated_report", "on_cancel_report", "on_canceled_report",
    "on_create_opt", "on_cancel_opt", "on_response",
)  # fmt: skip
"""Called with a message once its rule is committed."""
NEWS = {
    "on_ven_online": "VEN {ven_id!r} is online",
    "on_ven_offline": "VEN {ven_id!r} is offline: it missed its polls",
    "on_event_given_up": "event {event_id!r} is given up at VEN {ven_id!r}, which never took note of it",
    "on_event_unanswered": "VEN {ven_id!r} should have answered event {event_id!r} by now",
}
"""Called with (ven_id[, event_id]) after a commit; and what the log says of it, whoever listens."""
ALIASES = {"on_register_party": "on_create_party_registration"}
"""Other names."""
NAMES = (*ASKED, *TOLD_OF_MESSAGES, *NEWS, *ALIASES)


def checked(name: str, function: object) -> str:
    """The name under which a function is kept.  Raises ValueError for one that does not exist, and TypeError."""
    if name not in NAMES:
        raise ValueError(f"{shown(name)} is no handler{did_you_mean(name, NAMES) or ': ' + ', '.join(NAMES)}")
    if not callable(function):
        raise TypeError(f"{name}: {function!r} is no function")
    return ALIASES.get(name, name)


class NeedsAsyncio(RuntimeError):
    """A coroutine waits for something of asyncio, and the reactor is another one."""

    def __init__(self) -> None:
        super().__init__("what belongs to asyncio can be awaited under 'twistd --reactor asyncio' only")


class Hooks:
    """The functions by their names, one each; ``limit`` seconds are what one has that is told something."""

    log = Logger()

    def __init__(self, clock: IReactorTime, limit: float) -> None:
        self._clock = clock
        self._limit = limit
        self._functions: dict[str, Callable[..., Any]] = {}

    def add(self, name: str, function: Callable[..., Any]) -> None:
        """Install a function in the place of the one before.  Raises as ``checked``."""
        self._functions[checked(name, function)] = function

    def __contains__(self, name: str) -> bool:
        return name in self._functions

    def ask(self, name: str, *arguments: Any) -> Deferred[Any]:
        """What the function of this name returns."""
        return called(self._functions[name], *arguments)

    def tell(self, name: str, *arguments: Any) -> None:
        """Call the function of this name, if there is one.  Nobody waits for it; what goes wrong is logged."""
        if name not in self._functions:
            return
        about: dict[str, Any] = {"name": name, "incident": secrets.token_hex(4), "limit": self._limit}
        complaint = "incident {incident}: {name} has not come to its end within {limit:g} s"
        late = self._clock.callLater(self._limit, self.log.error, complaint, **about)

        def over(result: Any) -> None:
            if in_time := late.active():
                late.cancel()
            if isinstance(result, Failure):
                self.log.failure("incident {incident}: {name} failed", failure=result, **about)
            elif not in_time:
                self.log.warn("incident {incident}: {name} came to its end after its time", **about)

        called(self._functions[name], *arguments).addBoth(over)


# --- calling what may be a coroutine ------------------------------------------------------------------


def called(function: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
    """What a user's function returns, now or later.

    A coroutine may await Deferreds on every reactor, and what belongs to asyncio where asyncio's loop runs
    (``twistd --reactor asyncio``): there it is a task of its own.  Elsewhere that fails with NeedsAsyncio.
    """
    return maybeDeferred(_begin, function, *arguments)


def _begin(function: Callable[..., Any], *arguments: Any) -> Any:
    value = function(*arguments)
    future = asyncio.isfuture(value)
    if not future and not iscoroutine(value):
        return value
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return Deferred.fromCoroutine(_without_asyncio(_waits_for(value) if future else value))
    if future:
        return Deferred.fromFuture(value)
    return Deferred.fromFuture(loop.create_task(_driven(value, partial(_as_task, loop))))


async def _without_asyncio(body: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await _driven(body, _as_twisted)
    except (RuntimeError, AttributeError) as error:
        if "event loop" in str(error) or _is_of_asyncio(error):  # a complaint that names no remedy
            raise NeedsAsyncio() from error
        raise


async def _waits_for(future: asyncio.Future[Any]) -> Any:
    return await future


def _is_of_asyncio(error: BaseException) -> bool:
    """Whether asyncio's own code has failed: locks, events and queues do not look whether there is a loop."""
    *_, (frame, _) = walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("asyncio.")


@coroutine
def _through(body: Coroutine[Any, Any, Any], wait: Callable[[Any], Any]) -> Generator[Any, Any, Any]:
    """Run a coroutine; ``wait`` waits for what it waits for in the way of whoever runs this."""
    step: Callable[[], Any] = partial(body.send, None)
    while True:
        try:
            awaited = step()
        except StopIteration as done:
            return done.value
        try:
            step = partial(body.send, (yield from wait(awaited)))
        except GeneratorExit:  # nobody has this any more, and the body may be closed already
            body.close()
            raise
        except BaseException as error:
            step = partial(body.throw, error)


async def _driven(body: Coroutine[Any, Any, Any], wait: Callable[[Any], Any]) -> Any:
    return await _through(body, wait)


def _as_task(loop: asyncio.AbstractEventLoop, awaited: Any) -> Generator[Any, Any, Any]:
    if not isinstance(awaited, Deferred):
        return (yield awaited)
    fired = loop.create_future()

    def wake(result: Any) -> Any:
        if not fired.done():
            fired.set_result(None)
        return result  # the Deferred gives it to the coroutine itself, so it must keep it

    awaited.addBoth(wake)
    fired.add_done_callback(lambda _: awaited.cancel() if fired.cancelled() else None)
    yield from fired


def _as_twisted(awaited: Any) -> Generator[Any, Any, Any]:
    if asyncio.isfuture(awaited):
        raise NeedsAsyncio()
    return (yield awaited)
