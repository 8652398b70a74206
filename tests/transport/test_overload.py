"""Overload: when it is one, whom it costs what, and that everybody is served again."""

from __future__ import annotations

import math
from random import Random

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Limits
from oadrvtn.transport.overload import FEWEST, LASTING, TICK, Overload
from tests.transport.wire import Connection, Server, head


class Machine:
    """A clock whose looks come as late as it is told."""

    def __init__(self, connections: int = 100) -> None:
        self.clock = Clock()
        self.behind = 0.0
        self.overload = Overload(Limits(), lambda: self.behind, self.clock, Random(1).random)
        self.overload.start()
        self.numbers = [self.overload.enter() for _ in range(connections)]

    def look(self, late: float = 0.0, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(TICK + late)

    def served(self) -> list[int]:
        return [number for number in self.numbers if not self.overload.sheds(number, self.clock.seconds())]


class SignTests(SynchronousTestCase):
    def test_to_be_late_for_a_moment_is_no_overload(self) -> None:
        machine = Machine()
        for _ in range(10):
            machine.look(late=5, times=LASTING - 1)
            machine.look()
        self.assertEqual(machine.numbers, machine.served())

    def test_to_be_late_by_as_much_as_the_limit_is_one_when_it_lasts(self) -> None:
        for late, expected in ((0.24, 100), (0.26, 75)):
            machine = Machine()
            machine.look(late, LASTING)
            self.assertEqual(expected, len(machine.served()))

    def test_so_is_a_database_that_is_behind(self) -> None:
        for behind, expected in ((0.9, 100), (1.0, 75)):
            machine = Machine()
            machine.behind = behind
            machine.look(times=LASTING)
            self.assertEqual(expected, len(machine.served()))

    def test_a_turn_of_the_reactor_that_takes_long_is_looked_at_while_it_runs(self) -> None:
        machine = Machine()
        begun, newest = machine.clock.seconds(), machine.numbers[-1]
        shed = [machine.overload.sheds(newest, begun + TICK + after / 8) for after in range(1, 9)]
        self.assertEqual([False] * 5 + [True] * 3, shed)

    def test_it_is_told_once_and_so_is_its_end(self) -> None:
        machine = Machine()
        with capturedLogs() as events:
            machine.look(1, 20)
            machine.look(times=100)
        said = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(2, len(said), said)
        self.assertIn("of 100 connections the newest are shed (1.0 s late", said[0])


class OrderTests(SynchronousTestCase):
    def test_the_newest_are_shed_first_and_the_first_stay(self) -> None:
        machine = Machine()
        machine.look(0.26, LASTING + 1)
        self.assertEqual(machine.numbers[:56], machine.served())
        late = machine.overload.enter()
        self.assertTrue(machine.overload.sheds(late, machine.clock.seconds()))
        machine.look(1, 100)
        self.assertEqual(machine.numbers[:FEWEST], machine.served())

    def test_the_worse_it_is_the_more_are_shed_at_once(self) -> None:
        for late, left in ((0.26, 75), (0.51, 49), (0.9, 27), (60, 25)):
            machine = Machine()
            machine.look(late, LASTING)
            self.assertEqual(left, len(machine.served()))

    def test_who_goes_makes_room_for_the_next(self) -> None:
        machine = Machine()
        machine.look(0.26, LASTING)
        for number in machine.numbers[:50]:
            machine.overload.leave(number)
        machine.look()
        self.assertEqual(machine.numbers, machine.served(), "they are fewer than what was served")

    def test_few_are_never_shed(self) -> None:
        machine = Machine(FEWEST)
        machine.look(60, 100)
        self.assertEqual(machine.numbers, machine.served())

    def test_all_are_served_again_in_less_than_five_seconds_from_any_number(self) -> None:
        for connections in (20, 1000, 10_000):
            machine = Machine(connections)
            machine.look(1, 200)
            self.assertEqual(FEWEST, len(machine.served()))
            machine.look(times=math.ceil(math.log(connections / FEWEST, 1.125)))
            self.assertEqual(machine.numbers, machine.served())

    def test_a_clock_that_jumps_is_no_overload(self) -> None:
        machine = Machine()
        machine.look(late=3600)
        machine.look()
        self.assertEqual(machine.numbers, machine.served())


class StormTests(SynchronousTestCase):
    def test_everybody_comes_back_who_comes_when_told_after_all_have_connected_at_once(self) -> None:
        """5,000 VENs at once, where a second is enough for 250 messages: each is served, none of them for ever later.

        What is not done in time makes everything behind it late; who is shed comes when it was told to.
        """
        machine = Machine(5000)
        wants = dict.fromkeys(machine.numbers, 0.0)
        queue: list[int] = []
        start = machine.clock.seconds()
        while wants or queue:
            now = machine.clock.seconds()
            for number in [number for number, at in wants.items() if at <= now]:
                if machine.overload.sheds(number, now):
                    wants[number] = now + machine.overload.retry_after()
                else:
                    del wants[number]
                    queue.append(number)
            # A turn of the reactor: what was there when it began.
            turn, queue = len(queue), []
            machine.look(late=max(0.0, turn / 250 - TICK))
            self.assertLess(machine.clock.seconds() - start, 300, f"{len(wants)} were not served")
        self.assertEqual(machine.numbers, machine.served())

    def test_when_they_shall_come_is_spread(self) -> None:
        told = {Machine().overload.retry_after() for _ in range(1)}
        overload = Machine().overload
        told |= {overload.retry_after() for _ in range(1000)}
        self.assertEqual((11, 30), (min(told - {10}), max(told)))
        self.assertGreater(len(told), 15)


class WireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.connections = [self.server.connect() for _ in range(FEWEST + 1)]
        self.server.site.doStart()
        self.addCleanup(self.server.site.doStop)
        self.first, self.last = self.connections[0], self.connections[-1]

    def overloaded(self) -> None:
        self.server.behind = 10
        self.server.clock.pump([TICK] * LASTING)

    def check_shed(self, connection: Connection) -> None:
        ((status, headers, body),) = connection.answers[-1:]
        self.assertEqual((503, "20", b"too much to do\n"), (status, headers["retry-after"], body))
        self.assertFalse(connection.closed)

    def test_what_is_shed_gets_503_unread_and_keeps_its_connection(self) -> None:
        self.overloaded()
        asked = len(self.server.asked)
        self.check_shed(self.last.post(b"x"))
        self.check_shed(self.last.send(head(b"Content-Length: 2") + b"a", b"b"))
        self.assertEqual(([], asked), (self.server.service.bodies, len(self.server.asked)))
        self.assertEqual({"overload": 2}, self.server.limited)
        self.assertEqual([200], self.first.post(b"y").statuses)

    def test_it_is_served_again_afterwards(self) -> None:
        self.overloaded()
        self.last.post(b"x")
        self.server.behind = 0
        self.server.clock.pump([TICK] * 2)
        self.assertEqual([503, 200], self.last.post(b"x").statuses)

    def test_what_is_in_work_is_answered(self) -> None:
        self.last.send(head(b"Content-Length: 2") + b"a")
        self.overloaded()
        self.assertEqual([200], self.last.send(b"b").statuses)

    def test_a_request_that_came_before_with_the_same_head_is_shed_like_any_other(self) -> None:
        self.last.post(b"x").post(b"x")
        self.overloaded()
        self.check_shed(self.last.post(b"x"))
        self.assertEqual([200, 200, 503], self.last.statuses)
