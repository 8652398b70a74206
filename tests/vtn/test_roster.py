"""The roster: bounded, and never older than what was published."""

from __future__ import annotations

from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, Limits
from oadrvtn.model.party import OadrCreatePartyRegistration
from oadrvtn.storage.tables import microseconds
from oadrvtn.vtn import vtn
from oadrvtn.vtn.changes import Changes

from .house import House


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(limits=Limits(roster=3)))
        self.vens = [self.house.ven(f"ven-{number}") for number in range(8)]
        self.roster = self.house.vtn.roster

    def test_those_whose_counts_are_not_on_disk_stay(self) -> None:
        self.assertEqual(8, len(self.roster))
        self.house.round()
        self.assertEqual(3, len(self.roster))
        self.assertEqual(["ven-5", "ven-6", "ven-7"], [entry.ven.ven_id for entry in self.roster])

    def test_the_least_recently_used_leaves(self) -> None:
        self.house.round()
        self.assertIsNotNone(self.vens[5].entry)
        self.assertIsNotNone(self.vens[0].entry)
        self.assertEqual(["ven-7", "ven-5", "ven-0"], [entry.ven.ven_id for entry in self.roster])

    def test_who_left_is_known_again_at_once(self) -> None:
        self.house.event()
        self.house.round()
        self.assertEqual(["oadrDistributeEvent"] * 8, [ven.poll().name() for ven in self.vens])

    def test_many_are_written_in_pieces(self) -> None:
        runs: list[str] = []
        run = self.house.database.run

        def counted(name: str, *arguments: Any) -> Any:
            runs.append(name)
            return run(name, *arguments)

        self.house.after(60)
        for ven in self.vens:
            ven.poll()
        self.patch(self.house.database, "run", counted)
        with mock.patch.object(vtn, "_FLUSHED_AT_ONCE", 3):
            self.house.round()
        self.assertGreaterEqual(runs.count("flush"), 3)
        heard = {at for (at,) in self.house.sql("SELECT last_seen FROM vens")}
        self.assertEqual({microseconds(self.house.vtn.now())}, heard)

    def test_a_flush_that_fails_does_not_make_it_grow(self) -> None:
        def failing(*arguments: Any) -> None:
            raise OSError("disk full")

        self.patch(self.house.database, "run", failing)
        self.house.round()
        self.assertEqual(1, len(self.flushLoggedErrors(OSError)))
        self.assertEqual(0, len(self.roster.dirty))


class RaceTests(SynchronousTestCase):
    """Reads whose answers are held back while something is committed."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.stranger()
        self.held: list[tuple[Deferred[Any], Any]] = []

    def hold(self, wanted: str) -> None:
        read = self.house.database.read

        def holding(name: str, *arguments: Any) -> Deferred[Any]:
            done = read(name, *arguments)
            if name != wanted:
                return done
            later: Deferred[Any] = Deferred()
            done.addCallback(lambda answer: self.held.append((later, answer)))
            return later

        self.patch(self.house.database, "read", holding)

    def release(self) -> None:
        held, self.held = self.held, []
        for later, answer in held:
            later.callback(answer)

    def test_a_ven_that_registers_while_it_is_looked_up_is_looked_up_again(self) -> None:
        entry = self.ven.entry
        self.house.vtn.roster.publish(Changes.of("ven-1"))
        self.hold("identify")
        looking = self.house.vtn.identify(self.ven.full)
        message = OadrCreatePartyRegistration(
            request_id="r", profile_name="2.0b", transport_name="simpleHttp", report_only=False, xml_signature=False
        )
        self.successResultOf(self.house.vtn.handle(entry, message))
        self.release()
        self.assertNoResult(looking)
        self.release()
        found = self.successResultOf(looking)
        self.assertTrue(found and found.ven.registered)

    def test_the_changes_of_others_do_not_matter(self) -> None:
        self.hold("identify")
        looking = self.house.vtn.identify(self.ven.full)
        self.house.vtn.roster.publish(Changes.of("ven-2"))
        self.release()
        entry = self.successResultOf(looking)
        self.assertIs(entry, self.successResultOf(self.house.vtn.identify(self.ven.full)))

    def test_an_event_that_is_made_while_a_poll_looks_up_comes_at_the_next(self) -> None:
        self.ven.register()
        self.ven.take_register_report()
        self.house.vtn.roster.publish(Changes(everyone=True))
        entry = self.ven.entry
        self.hold("due")
        polling = self.house.vtn.poll(entry, lambda written: written())
        self.house.event()
        self.release()
        self.assertEqual("oadrResponse", self.successResultOf(polling).name())
        polling = self.house.vtn.poll(entry, lambda written: written())
        self.release()
        self.assertEqual("oadrDistributeEvent", self.successResultOf(polling).name())

    def test_two_polls_at_once_get_an_event_once(self) -> None:
        self.ven.register()
        self.ven.take_register_report()
        self.house.event()
        entry = self.ven.entry
        self.hold("due")
        polls = [self.house.vtn.poll(entry, lambda written: written()) for _ in range(2)]
        self.release()
        self.assertEqual(["oadrDistributeEvent", "oadrResponse"], [self.successResultOf(poll).name() for poll in polls])

    def test_an_event_that_is_answered_while_it_is_looked_up_is_not_sent(self) -> None:
        self.ven.register()
        self.ven.take_register_report()
        event = self.house.event()
        entry = self.ven.entry
        self.hold("due")
        polling = self.house.vtn.poll(entry, lambda written: written())
        self.ven.answer((event.event_id, 0))
        self.release()
        self.release()  # it is looked up once more
        self.assertEqual("oadrResponse", self.successResultOf(polling).name())
