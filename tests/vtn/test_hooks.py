"""Users' functions: what they are called by, how they may wait, and that nobody waits for those that are told."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.vtn.hooks import NAMES, Hooks, NeedsAsyncio, called
from tests.handlers.house import Logged


async def both() -> list[int]:
    """Waits for a Deferred, for asyncio, for a Deferred that fails, and for a task of asyncio's own."""
    got = [await succeed(1)]
    await asyncio.sleep(0.001)
    try:
        await fail(KeyError("x"))
    except KeyError:
        got.append(2)
    got.append(await asyncio.wait_for(asyncio.sleep(0.001, 3), 5))
    async with asyncio.timeout(5):
        got.append(await later())
    return got


def later() -> Deferred[int]:
    waiting: Deferred[int] = Deferred()
    asyncio.get_running_loop().call_soon(waiting.callback, 4)
    return waiting


class CalledTests(SynchronousTestCase):
    def within_asyncio(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return await called(function).asFuture(asyncio.get_running_loop())

        return asyncio.run(run())

    def test_a_value_a_deferred_and_a_coroutine_that_awaits_deferreds_do_anywhere(self) -> None:
        async def body() -> int:
            return await succeed(7)

        functions: tuple[Callable[[], Any], ...] = (lambda: 7, lambda: succeed(7), body)
        for function in functions:
            self.assertEqual(7, self.successResultOf(called(function)))
            self.assertEqual(7, self.within_asyncio(function))

    def test_within_asyncio_a_coroutine_may_await_both(self) -> None:
        self.assertEqual([1, 2, 3, 4], self.within_asyncio(both))

    def test_a_future_of_asyncio_is_as_good_as_a_deferred(self) -> None:
        self.assertEqual(5, self.within_asyncio(lambda: asyncio.ensure_future(asyncio.sleep(0, 5))))

    def test_elsewhere_what_belongs_to_asyncio_is_refused_by_an_error_that_says_what_it_takes(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        bodies: tuple[Callable[[], Any], ...] = (
            lambda: asyncio.sleep(1),
            lambda: _waits_for(loop.create_future()),
            loop.create_future,
            lambda: asyncio.Event().wait(),
            lambda: asyncio.Queue[int]().get(),
            _in_time,
        )
        for body in bodies:
            failure = self.failureResultOf(called(body), NeedsAsyncio)
            self.assertIn("twistd --reactor asyncio", str(failure.value))

    def test_a_coroutine_may_go_on_after_that_error(self) -> None:
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)

        async def body() -> int:
            try:
                await loop.create_future()
            except NeedsAsyncio:
                return await succeed(7)
            return 0

        self.assertEqual(7, self.successResultOf(called(body)))

    def test_one_that_waits_for_what_nobody_has_any_more_is_closed_without_a_word(self) -> None:
        closed: list[bool] = []
        complaints: list[Any] = []

        async def body() -> None:
            try:
                await Deferred()
            finally:
                closed.append(True)

        self.patch(sys, "unraisablehook", complaints.append)
        called(body)
        gc.collect()
        self.assertEqual(([True], []), (closed, complaints))

    def test_other_errors_stay_what_they_are(self) -> None:
        for error in (RuntimeError("mine"), AttributeError("mine")):

            async def body(error: Exception = error) -> None:
                raise error

            self.assertIs(error, self.failureResultOf(called(body)).value)
            self.assertRaises(type(error), self.within_asyncio, body)


async def _in_time() -> None:
    async with asyncio.timeout(1):
        pass


async def _waits_for(future: Any) -> Any:
    return await future


class HooksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.hooks = Hooks(self.clock, 30)

    def test_a_name_that_does_not_exist_is_refused_with_the_one_that_was_meant(self) -> None:
        error = self.assertRaises(ValueError, self.hooks.add, "on_pol", print)
        self.assertIn("did you mean on_poll?", str(error))
        self.assertIn(", ".join(NAMES), str(self.assertRaises(ValueError, self.hooks.add, "nothing like it", print)))

    def test_what_is_no_function_is_refused(self) -> None:
        self.assertRaises(TypeError, self.hooks.add, "on_poll", 7)

    def test_one_function_takes_the_place_of_the_one_before_under_either_name(self) -> None:
        self.hooks.add("on_register_party", lambda payload: 1)
        self.assertEqual(1, self.successResultOf(self.hooks.ask("on_create_party_registration", None)))
        self.hooks.add("on_create_party_registration", lambda payload: 2)
        self.assertEqual(2, self.successResultOf(self.hooks.ask("on_create_party_registration", None)))

    def told(self, function: Callable[..., Any]) -> list[str]:
        """What the log says until a minute after it was told something."""
        self.hooks.add("on_ven_online", function)
        with Logged() as log:
            self.hooks.tell("on_ven_online", "ven-1")
            self.clock.advance(60)
        self.assertEqual([], self.clock.getDelayedCalls())
        return log.lines("on_ven_online", LogLevel.warn)

    def test_one_that_comes_to_its_end_in_time_is_not_worth_a_line(self) -> None:
        self.assertEqual([], self.told(lambda ven_id: None))
        self.assertEqual([], self.told(lambda ven_id: "a value that nobody wants"))

    def test_one_that_fails_is_in_the_log_with_its_incident(self) -> None:
        [line] = self.told(lambda ven_id: 1 / 0)
        self.assertRegex(line, "^incident [0-9a-f]{8}: on_ven_online failed$")
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_one_that_never_comes_to_its_end_is_named_when_its_time_is_over(self) -> None:
        [line] = self.told(lambda ven_id: Deferred())
        self.assertRegex(line, "^incident [0-9a-f]{8}: on_ven_online has not come to its end within 30 s$")

    def test_one_that_comes_to_it_later_says_so_under_the_same_incident(self) -> None:
        waiting: Deferred[None] = Deferred()
        [first] = self.told(lambda ven_id: waiting)
        with Logged() as log:
            waiting.callback(None)
        [second] = log.lines("came to its end after its time")
        self.assertEqual(first.split()[1], second.split()[1])
