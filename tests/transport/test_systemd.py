"""What systemd is told: that the VTN is alive, for as long as the writer of its database is."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config
from oadrvtn.storage.database import Database
from oadrvtn.transport import systemd
from oadrvtn.transport.systemd import Supervised
from oadrvtn.vtn.vtn import Vtn


class WatchdogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.database = Database(None)
        self.database.start()
        self.addCleanup(self.database.stop)
        self.vtn = Vtn(Config(), self.database, self.clock)
        self.told: list[str] = []

    def start(self, within: float | None) -> Supervised:
        supervised = Supervised(self.vtn, self.told.append, within)
        supervised.startService()
        return supervised

    def pass_by(self, seconds: int) -> int:
        """How many signs of life there are within some seconds."""
        before = len(self.told)
        for _ in range(seconds):
            self.clock.advance(1)
        return len(self.told) - before

    def test_there_are_several_signs_of_life_within_the_time_in_which_one_is_wanted(self) -> None:
        self.start(60)
        self.assertEqual(3, self.pass_by(60))
        self.assertEqual({"WATCHDOG=1"}, {*self.told})

    def test_a_writer_that_does_not_answer_leaves_systemd_without_one(self) -> None:
        self.start(60)
        run, waiting = self.database.run, Deferred[Any]()
        self.patch(self.database, "run", lambda *arguments: waiting)
        self.assertEqual(0, self.pass_by(600))
        self.patch(self.database, "run", run)
        waiting.callback(None)
        self.assertEqual(3, self.pass_by(60))

    def test_a_writer_that_fails_leaves_systemd_without_one_and_is_asked_again(self) -> None:
        self.start(60)

        def fails(*arguments: Any) -> Deferred[Any]:
            failed: Deferred[Any] = Deferred()
            failed.errback(RuntimeError("the disk is gone"))
            return failed

        run = self.database.run
        self.patch(self.database, "run", fails)
        self.assertEqual(0, self.pass_by(60))
        self.patch(self.database, "run", run)
        self.assertEqual(3, self.pass_by(60))
        self.assertEqual(3, len(self.flushLoggedErrors(RuntimeError)))

    def test_where_nobody_wants_any_the_writer_is_not_asked(self) -> None:
        self.start(None)
        self.assertEqual(0, self.pass_by(600))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_after_a_stop_there_are_none(self) -> None:
        self.start(60).stopService()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_the_time_is_that_of_the_environment_if_it_is_meant_for_this_process(self) -> None:
        mine, others = str(os.getpid()), str(os.getpid() + 1)
        self.assertEqual(60, systemd.watchdog({"WATCHDOG_USEC": "60000000"}))
        self.assertEqual(0.5, systemd.watchdog({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": mine}))
        for environ in (
            {},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "x"},
            {"WATCHDOG_USEC": "9", "WATCHDOG_PID": others},
        ):
            self.assertIsNone(systemd.watchdog(environ))


class NotifierTests(SynchronousTestCase):
    def test_without_somebody_who_listens_nothing_is_sent(self) -> None:
        def no_socket(*arguments: Any) -> Any:
            raise AssertionError("a socket was made")

        self.patch(socket, "socket", no_socket)
        for environ in ({}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:1:2"}):
            systemd.notifier(environ)("READY=1")

    def test_a_listener_that_is_gone_does_no_harm(self) -> None:
        systemd.notifier({"NOTIFY_SOCKET": "/nowhere/at/all"})("READY=1")


class InheritedTests(SynchronousTestCase):
    def test_without_systemd_there_are_no_sockets(self) -> None:
        self.assertEqual({}, systemd.inherited(Clock(), "listen", "api"))
