"""Overload: when it is one, whom it costs what, and that everybody is served again."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Limits
from oadrvtn.transport.overload import FEWEST, LASTING, OVER, TICK, Overload
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

    def last(self, late: float = 0.0) -> None:
        """Look for as long as it takes to be no accident."""
        self.look(late, 1 + math.ceil(LASTING / (TICK + late)))

    def served(self) -> list[int]:
        return [number for number in self.numbers if not self.overload.sheds(number, self.clock.seconds())]


class SignTests(SynchronousTestCase):
    def test_to_be_late_for_a_moment_is_no_overload(self) -> None:
        machine = Machine()
        for _ in range(10):
            machine.look(late=5)
            self.assertEqual(machine.numbers, machine.served())
            machine.look()
            self.assertEqual(machine.numbers, machine.served())

    def test_looks_that_follow_each_other_closely_have_to_be_as_many_as_fill_the_time(self) -> None:
        machine = Machine()
        machine.behind = 60.0
        machine.look(times=2)
        self.assertEqual(machine.numbers, machine.served())
        machine.look()
        self.assertEqual(machine.numbers[:FEWEST], machine.served())

    def test_to_be_late_by_as_much_as_the_limit_is_one_when_it_lasts(self) -> None:
        lag = Limits().overload_lag
        for late, expected in ((0.99, 100), (1.0101, 98)):
            machine = Machine()
            machine.last(late * lag)
            self.assertEqual(expected, len(machine.served()))

    def test_so_is_a_database_that_is_behind(self) -> None:
        wait = Limits().overload_wait
        for behind, expected in ((0.99, 100), (1.0101, 98)):
            machine = Machine()
            machine.behind = behind * wait
            machine.last()
            self.assertEqual(expected, len(machine.served()))

    def test_both_delays_count_together_for_a_message_has_both(self) -> None:
        machine = Machine()
        machine.behind = 0.75 * Limits().overload_wait
        machine.last(0.749 * Limits().overload_lag)
        self.assertEqual(50, len(machine.served()))

    def test_a_turn_of_the_reactor_that_takes_long_is_looked_at_while_it_runs(self) -> None:
        machine = Machine()
        begun, newest = machine.clock.seconds() + TICK, machine.numbers[-1]
        shed = [machine.overload.sheds(newest, begun + after * 1.01 * TICK) for after in range(1, 9)]
        before = round((Limits().overload_lag + LASTING) / TICK) - 1
        self.assertEqual([False] * before + [True] * (8 - before), shed)

    def test_a_turn_that_took_long_counts_until_the_next_is_over(self) -> None:
        """What comes in the one has waited for the other."""
        machine = Machine()
        machine.look(late=1)
        now, newest = machine.clock.seconds(), machine.numbers[-1]
        self.assertFalse(machine.overload.sheds(newest, now))
        self.assertTrue(machine.overload.sheds(newest, now + LASTING))

    def test_it_is_told_once_and_so_is_its_end(self) -> None:
        machine = Machine()
        with capturedLogs() as events:
            for _ in range(3):
                machine.look(1, 20)
                machine.look(times=round(0.5 * OVER / TICK))
            machine.look(times=2 * round(OVER / TICK))
        said = [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]
        self.assertEqual(2, len(said), said)
        self.assertIn("of 100 connections the newest are shed (1.0 s late", said[0])


class OrderTests(SynchronousTestCase):
    def test_the_newest_are_shed_first_and_the_first_stay(self) -> None:
        machine = Machine()
        machine.last(1.499 * Limits().overload_lag)
        self.assertEqual(machine.numbers[:50], machine.served())
        late = machine.overload.enter()
        self.assertTrue(machine.overload.sheds(late, machine.clock.seconds()))
        machine.look(1, 100)
        self.assertEqual(machine.numbers[:FEWEST], machine.served())

    def test_the_worse_it_is_the_more_are_shed_at_once_and_at_twice_the_limit_all_but_the_first(self) -> None:
        for late, left in ((1.0101, 98), (1.2501, 74), (1.7501, 24), (2.0, FEWEST), (300, FEWEST)):
            machine = Machine()
            machine.last(late * Limits().overload_lag)
            self.assertEqual(left, len(machine.served()))

    def test_who_goes_makes_room_for_the_next(self) -> None:
        machine = Machine()
        machine.last(1.2501 * Limits().overload_lag)
        before = machine.served()
        for number in machine.numbers[:50]:
            machine.overload.leave(number)
        machine.look(1.2501 * Limits().overload_lag)
        self.assertEqual(machine.numbers[50:87], machine.served()[50:], "three quarters of those that are left")
        self.assertEqual(74, len(before))

    def test_few_are_never_shed(self) -> None:
        machine = Machine(FEWEST)
        machine.look(60, 100)
        self.assertEqual(machine.numbers, machine.served())

    def test_all_are_served_again_at_the_first_look_that_finds_it_well_whatever_their_number(self) -> None:
        for connections in (20, 1000, 10_000):
            machine = Machine(connections)
            machine.look(1, 200)
            self.assertEqual(FEWEST, len(machine.served()))
            machine.look()
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


class LoadTests(SynchronousTestCase):
    """Messages that come at their time, whatever is answered, to a VTN that can do 250 in a second.

    A turn of its reactor answers what the database has done, then takes what has come; to shed costs a tenth.
    """

    TAKEN, ANSWERED, SHED = 0.002, 0.002, 0.0004

    def send(self, rate: float, seconds: float, calm: float = 0.0) -> None:
        """Find out how long each message took that was served, and on which connections those came that were not.

        By when they were due.  For so many seconds of ``calm`` half as many come as can be served.
        """
        self.took: dict[float, float] = {}
        self.turned_away: dict[float, int] = {}
        machine = Machine(1000)
        clock = machine.clock
        start = began = clock.seconds()
        waiting: list[float] = []
        dues = [start + number / rate for number in range(int(rate * seconds))]
        dues += [start + seconds + number / 125 for number in range(int(125 * calm))]
        comes = [(due, number * 389 % 1000) for number, due in enumerate(dues)]
        while comes or waiting:
            done, waiting = waiting, []
            for due in done:
                clock.rightNow += self.ANSWERED
                self.took[due - start] = clock.seconds() - due
            clock.advance(0 if comes and comes[0][0] < clock.seconds() else TICK / 10)
            turn = sum(due <= clock.seconds() for due, _ in comes[:1000])
            for due, connection in comes[:turn]:
                machine.behind = clock.seconds() - began if waiting else 0.0
                if machine.overload.sheds(machine.numbers[connection], clock.seconds()):
                    clock.rightNow += self.SHED
                    self.turned_away[due - start] = connection
                else:
                    if not waiting:
                        began = clock.seconds()
                    clock.rightNow += self.TAKEN
                    waiting.append(due)
            comes = comes[turn:]

    def test_what_is_served_is_served_within_a_second_at_twice_and_at_four_times_what_can_be_done(self) -> None:
        for times in (2, 4):
            self.send(times * 250, 10)
            took = sorted(self.took.values())
            self.assertLess(took[int(0.99 * len(took))], 1.0, times)

    def test_nearly_as_much_is_served_as_can_be_done_beside_shedding_the_rest(self) -> None:
        for times in (2, 4):
            self.send(times * 250, 10)
            left = 10 - len(self.turned_away) * self.SHED
            self.assertGreater(len(self.took) * (self.TAKEN + self.ANSWERED), 0.85 * left, times)

    def test_what_can_be_done_is_not_shed(self) -> None:
        self.send(0.95 * 250, 10)
        self.assertEqual({}, self.turned_away)

    def test_who_has_the_oldest_connection_is_served_most(self) -> None:
        self.send(500, 10)
        shed = Counter(connection // 250 for connection in self.turned_away.values())
        self.assertEqual(sorted(shed.values()), [shed[quarter] for quarter in range(4)])
        self.assertLess(shed[0], shed[3] / 2)

    def test_a_second_after_the_load_nobody_is_shed_any_more(self) -> None:
        self.send(1000, 5, calm=3)
        self.assertGreater(len(self.turned_away), 1000)
        self.assertLess(max(self.turned_away), 6.0)


class WireTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.connections = [self.server.connect() for _ in range(FEWEST + 1)]
        self.server.site.doStart()
        self.addCleanup(self.server.site.doStop)
        self.first, self.last = self.connections[0], self.connections[-1]

    def overloaded(self) -> None:
        self.server.behind = 10
        self.server.clock.pump([TICK] * math.ceil(1 + LASTING / TICK))

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
