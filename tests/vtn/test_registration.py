"""Registration: who comes in, what a registration starts, and how it ends."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, KnownVen, Limits, Registration
from oadrvtn.model.errors import DeploymentError, InvalidData, InvalidID, NotAllowed, NotRegistered
from oadrvtn.model.party import (
    OadrCanceledPartyRegistration,
    OadrCancelPartyRegistration,
    OadrCreatePartyRegistration,
    OadrQueryRegistration,
    OadrRequestReregistration,
)
from oadrvtn.model.values import Duration
from oadrvtn.storage import vens
from oadrvtn.vtn import registration
from oadrvtn.wire import bends
from tests.handlers.house import create

from .house import START, FakeVen, House, response

POLL = 10.0


def print_of(name: str) -> bytes:
    """The SHA-256 of a certificate."""
    return hashlib.sha256(name.encode()).digest()


class RegisteringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.stranger()

    def row(self) -> vens.Ven:
        return self.house.read(vens.get, "ven-1")

    def test_a_query_tells_what_is_offered_and_no_ids_to_a_stranger(self) -> None:
        reply = self.ven.send(OadrQueryRegistration(request_id="q"))
        self.assertEqual(("200", "q"), (reply.response.response_code, reply.response.request_id))
        self.assertEqual((None, None, "oadrvtn"), (reply.registration_id, reply.ven_id, reply.vtn_id))
        self.assertEqual([("2.0b", ("simpleHttp",))], [(one.profile_name, one.transports) for one in reply.profiles])
        self.assertEqual(Duration("PT10S"), reply.requested_poll_freq)

    def test_a_query_tells_a_registered_ven_its_ids(self) -> None:
        self.ven.register()
        reply = self.ven.send(OadrQueryRegistration(request_id="q"))
        self.assertEqual((self.ven.registration_id, "ven-1"), (reply.registration_id, reply.ven_id))

    def test_a_query_of_nobody_is_answered(self) -> None:
        self.house.vtn.handle(None, OadrQueryRegistration(request_id="q")).addCallback(
            lambda reply: self.assertIsNone(reply.ven_id)
        )

    def test_a_registration_gives_ids_and_the_poll_frequency(self) -> None:
        reply = self.ven.register(registration_id=None, ven_id=None, ven_name="Cold store")
        self.assertEqual(("ven-1", Duration("PT10S")), (reply.ven_id, reply.requested_poll_freq))
        row = self.row()
        self.assertEqual((reply.registration_id, "Cold store", True), (row.registration_id, row.ven_name, row.online))

    def test_the_registration_id_of_a_users_handler_is_taken(self) -> None:
        message = OadrCreatePartyRegistration(
            request_id="r", profile_name="2.0b", transport_name="simpleHttp", report_only=False, xml_signature=False
        )
        self.assertEqual("mine", self.ven.send(message, "mine").registration_id)

    def test_registering_again_keeps_the_registration_id_and_starts_an_epoch(self) -> None:
        first = self.ven.register().registration_id
        for given in (first, None, ""):
            self.assertEqual(first, self.ven.register(registration_id=given).registration_id)
        self.assertEqual(4, self.row().epoch)

    def test_a_wrong_registration_id_is_refused_and_changes_nothing(self) -> None:
        self.ven.register()
        self.assertRaises(InvalidID, self.ven.register, registration_id="other")
        self.assertEqual((1, self.ven.registration_id), (self.row().epoch, self.row().registration_id))

    def test_a_registration_id_that_the_vtn_lost_does_not_stop_a_ven(self) -> None:
        self.assertTrue(self.ven.register(registration_id="from-elsewhere").registration_id)

    def test_what_is_not_offered_is_refused_with_the_reason(self) -> None:
        for changes, reason in (
            ({"http_pull_model": False, "transport_address": "https://ven.example"}, "push"),
            ({"http_pull_model": None, "transport_address": "https://ven.example"}, "push"),
            ({"transport_name": "xmpp"}, "xmpp"),
            ({"profile_name": "2.0a"}, "2.0a"),
        ):
            error = self.assertRaises(DeploymentError, self.ven.register, **changes)
            self.assertEqual("469", error.response_code)
            self.assertIn(reason, error.description)
        self.assertFalse(self.row().registered)

    def test_an_address_that_says_nothing_is_no_wish_for_push(self) -> None:
        for address in (None, "", "None"):
            self.ven.register(http_pull_model=None, transport_address=address)
        self.ven.register(http_pull_model=True, transport_address="https://ven.example")


class CancellingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def cancel(self, registration_id: Any) -> Any:
        return self.ven.send(OadrCancelPartyRegistration(request_id="c", registration_id=registration_id))

    def confirm(self, code: str, request_id: str) -> Any:
        return self.ven.send(OadrCanceledPartyRegistration(response=response(code, request_id)))

    def test_a_ven_cancels_with_its_registration_id_only(self) -> None:
        self.assertRaises(InvalidID, self.cancel, "other")
        reply = self.cancel(self.ven.registration_id)
        self.assertEqual(
            ("200", "c", "ven-1", self.ven.registration_id),
            (reply.response.response_code, reply.response.request_id, reply.ven_id, reply.registration_id),
        )
        self.assertRaises(NotRegistered, self.ven.poll)
        self.assertRaises(InvalidID, self.cancel, self.ven.registration_id)

    def test_it_may_register_again(self) -> None:
        self.cancel(self.ven.registration_id)
        self.ven.register()
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())

    def test_the_vtn_cancels_once_the_ven_confirms(self) -> None:
        self.house.write(registration.request_cancellation, "ven-1")
        sent = self.ven.poll()
        self.assertEqual(self.ven.registration_id, sent.registration_id)
        self.assertEqual("oadrResponse", self.confirm("200", sent.request_id).name())
        self.assertRaises(NotRegistered, self.ven.poll)

    def test_a_ven_that_refuses_stays(self) -> None:
        self.house.write(registration.request_cancellation, "ven-1")
        self.confirm("451", self.ven.poll().request_id)
        self.assertEqual("oadrResponse", self.ven.poll().name())

    def test_a_ven_that_registers_again_instead_stays(self) -> None:
        self.house.write(registration.request_cancellation, "ven-1")
        sent = self.ven.poll()
        self.ven.register()
        self.confirm("200", sent.request_id)
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())

    def test_a_ven_is_asked_to_register_again_until_it_does(self) -> None:
        self.house.write(registration.request_reregistration, "ven-1")
        for _ in range(3):
            self.assertIsInstance(self.ven.poll(), OadrRequestReregistration)
            self.house.after(POLL)
        self.ven.register()
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], self.ven.poll_names(2))

    def test_cancellations_may_cross(self) -> None:
        """Both sides cancel at once: the VEN's answer finds its registration ended, and comes twice."""
        self.house.write(registration.request_cancellation, "ven-1")
        sent = self.ven.poll()
        self.cancel(self.ven.registration_id)
        for request_id in (sent.request_id, sent.request_id, "", "0"):
            self.assertEqual("200", self.confirm("200", request_id).response.response_code)
        self.ven.register()
        self.assertEqual("200", self.confirm("200", sent.request_id).response.response_code)
        self.assertEqual("oadrRegisterReport", self.ven.poll().name())

    def test_a_cancellation_that_was_not_fetched_is_dropped_when_the_ven_cancels_first(self) -> None:
        self.house.write(registration.request_cancellation, "ven-1")
        self.cancel(self.ven.registration_id)
        self.ven.register()
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], self.ven.poll_names(2))

    def test_who_was_never_asked_has_nothing_to_confirm(self) -> None:
        self.assertRaises(InvalidID, self.confirm, "200", "made-up")
        self.cancel(self.ven.registration_id)
        for request_id in ("made-up", ""):
            self.assertRaises(NotRegistered, self.confirm, "200", request_id)

    def test_asking_twice_asks_once(self) -> None:
        for rule in (registration.request_reregistration, registration.request_cancellation):
            self.house.write(rule, "ven-1")
            self.house.write(rule, "ven-1")
        names = self.ven.poll_names(3)
        self.assertEqual(["oadrRequestReregistration", "oadrCancelPartyRegistration", "oadrResponse"], names)

    def test_only_a_registered_ven_can_be_asked(self) -> None:
        self.house.stranger("ven-2")
        for rule in (registration.request_reregistration, registration.request_cancellation):
            self.assertRaises(NotAllowed, self.house.write, rule, "ven-2")
            self.assertRaises(InvalidID, self.house.write, rule, "nobody")


class PolicyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(limits=Limits(unknown_certificates=3)))

    def admit(self, ven_id: str | None, name: str, source: str = "open") -> vens.Ven:
        return self.house.write(registration.admit, self.house.config, ven_id, "", source, print_of(name))

    def remember(self, name: str, ven_name: str | None = None, ven_id: str | None = None) -> None:
        self.house.write(registration.remember, self.house.config, print_of(name), f"CN={name}", ven_id, ven_name)

    def approve(self, name: str, ven_id: str | None = None) -> vens.Ven:
        return self.house.write(registration.approve, self.house.config, print_of(name), ven_id, None)

    def test_a_certificate_is_admitted_once_and_keeps_its_ven_id(self) -> None:
        first = self.admit(None, "a")
        self.assertEqual(first.ven_id, self.admit("other", "a").ven_id)
        self.assertEqual("wanted", self.admit("wanted", "b").ven_id)

    def test_the_ven_id_of_another_certificate_is_refused(self) -> None:
        self.admit("ven-1", "a")
        self.assertRaises(NotRegistered, self.admit, "ven-1", "b")

    def test_those_who_wait_are_remembered_up_to_a_number(self) -> None:
        for number in range(5):
            self.house.after(1)
            self.remember(f"c{number}")
        waiting = self.house.read(vens.found_candidates)
        self.assertEqual(["CN=c4", "CN=c3", "CN=c2"], [one.subject for one in waiting])

    def test_who_asks_again_is_not_counted_twice_and_keeps_its_name(self) -> None:
        self.remember("a", "Cold store")
        self.house.after(1)
        self.remember("a")
        [one] = self.house.read(vens.found_candidates)
        self.assertEqual(("Cold store", 1.0), (one.ven_name, (one.last_seen - one.first_seen).total_seconds()))

    def test_a_certificate_is_enrolled_with_its_registration_or_not_at_all(self) -> None:
        """What cannot be registered leaves no VEN behind that was let in."""
        before = self.house.read(vens.listed)
        wants_xmpp = create(transport_name="xmpp")
        arguments = (self.house.config, print_of("a"), "ven-9", "open", wants_xmpp, None)
        self.assertRaises(DeploymentError, self.house.write, registration.enroll, *arguments)
        self.assertEqual(before, self.house.read(vens.listed))

    def test_an_approved_certificate_comes_in_and_waits_no_more(self) -> None:
        self.remember("a", "Cold store")
        ven = self.approve("a")
        self.assertEqual(("Cold store", "operator"), (ven.name, ven.source))
        self.assertEqual([], self.house.read(vens.found_candidates))
        self.assertRaises(InvalidID, self.approve, "a")

    def test_an_approved_certificate_is_the_ven_that_it_says_it_is_unless_told_otherwise(self) -> None:
        self.remember("a", ven_id="site-1")
        self.remember("b", ven_id="site-2")
        self.assertEqual("site-1", self.approve("a").ven_id)
        self.assertEqual("other", self.approve("b", "other").ven_id)

    def test_an_approval_under_the_ven_id_of_another_is_refused_and_it_goes_on_waiting(self) -> None:
        self.admit("ven-1", "a")
        self.remember("b")
        self.assertRaises(NotRegistered, self.approve, "b", "ven-1")
        self.assertEqual(1, len(self.house.read(vens.found_candidates)))

    def add(self, ven_id: str, *prints: bytes) -> vens.Ven:
        return self.house.write(registration.add_new, self.house.config, ven_id, "", prints)

    def test_a_ven_has_one_or_two_certificates(self) -> None:
        self.assertRaises(InvalidData, self.add, "ven-1")
        self.assertRaises(InvalidData, self.add, "ven-1", print_of("a"), print_of("b"), print_of("c"))
        self.add("ven-1", print_of("a"), print_of("b")[-10:])
        self.assertEqual({print_of("a"), print_of("b")[-10:]}, set(self.house.read(vens.fingerprints, "ven-1")))

    def test_a_known_ven_id_and_anothers_certificate_are_refused(self) -> None:
        self.add("ven-1", print_of("a"))
        self.assertRaises(NotAllowed, self.add, "ven-1", print_of("b"))
        self.assertRaises(NotAllowed, self.add, "ven-2", print_of("a"))
        self.assertIsNone(self.house.read(vens.get, "ven-2"))

    def test_a_removed_ven_leaves_nothing(self) -> None:
        ven = self.house.ven()
        self.house.event()
        ven.poll()
        self.house.write(registration.remove, "ven-1")
        self.assertIsNone(ven.entry)
        self.house.round()
        self.assertEqual(
            [(0, 0)], self.house.sql("SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM outbox)")
        )
        self.assertRaises(InvalidID, self.house.write, registration.remove, "ven-1")


class ConfiguredTests(SynchronousTestCase):
    def configured(self, **prints: tuple[str, ...]) -> Config:
        known = tuple(
            KnownVen(ven_id=ven_id.replace("_", "-"), fingerprints=tuple(print_of(one).hex() for one in names))
            for ven_id, names in prints.items()
        )
        return Config(vens=known)

    def reconfigure(self, house: House, **prints: tuple[str, ...]) -> None:
        self.assertIsNone(self.successResultOf(house.vtn.reconfigure(self.configured(**prints))))

    def ven_of(self, house: House, name: str) -> str | None:
        entry = self.successResultOf(house.vtn.identify(print_of(name)))
        return entry.ven.ven_id if entry else None

    def test_listed_vens_are_known_at_start(self) -> None:
        house = House(self.configured(ven_1=("a", "b")))
        self.assertEqual(["ven-1"] * 2 + [None], [self.ven_of(house, name) for name in "abc"])

    def test_a_listed_ven_is_not_removed(self) -> None:
        house = House(self.configured(ven_1=("a",)))
        error = self.assertRaises(NotAllowed, house.write, registration.remove, "ven-1")
        self.assertIn("configuration", error.description)

    def test_an_unlisted_ven_is_kept_and_not_let_in(self) -> None:
        house = House(self.configured(ven_1=("a",)))
        self.assertEqual("ven-1", self.ven_of(house, "a"))
        self.reconfigure(house)
        self.assertIsNone(self.ven_of(house, "a"))
        self.assertEqual("unlisted", house.read(vens.get, "ven-1").source)
        for source in ("open", "handler"):
            self.assertRaises(
                NotRegistered, house.write, registration.admit, house.config, "ven-1", "", source, print_of("a")
            )
        house.write(registration.admit, house.config, "ven-1", "", "operator", print_of("a"))
        self.assertEqual("ven-1", self.ven_of(house, "a"))
        house.write(registration.remove, "ven-1")

    def test_certificates_may_be_renewed_and_swapped(self) -> None:
        house = House(self.configured(ven_1=("a",), ven_2=("b",)))
        self.reconfigure(house, ven_1=("b",), ven_2=("a",))
        self.assertEqual(["ven-2", "ven-1"], [self.ven_of(house, name) for name in "ab"])
        self.reconfigure(house, ven_1=("c",), ven_2=("a",))
        self.assertEqual(["ven-2", None, "ven-1"], [self.ven_of(house, name) for name in "abc"])

    def test_a_certificate_known_by_its_end_is_pinned_at_first_contact(self) -> None:
        end = print_of("a")[-10:].hex(":")
        house = House(Config(vens=(KnownVen(ven_id="ven-1", fingerprints=(end,)),)))
        self.assertEqual("ven-1", self.ven_of(house, "a"))
        self.assertEqual([print_of("a")], house.read(vens.fingerprints, "ven-1"))
        forged = b"\0" * 22 + print_of("a")[-10:]
        self.assertIsNone(self.successResultOf(house.vtn.identify(forged)))
        house.open()
        self.assertIsNone(self.successResultOf(house.vtn.identify(forged)))
        self.assertEqual("ven-1", self.ven_of(house, "a"))


class FrequencyTests(SynchronousTestCase):
    """A VEN's own poll frequency."""

    def setUp(self) -> None:
        self.house = House()
        self.ven = self.house.ven()

    def set(self, seconds: Any, ven_id: str = "ven-1") -> vens.Ven:
        return self.house.write(registration.set_poll_frequency, self.house.config, ven_id, seconds)

    def told(self) -> float:
        """What the VTN takes the VEN to know."""
        return self.house.read(vens.get, "ven-1").poll_frequency

    def test_a_registered_ven_is_asked_to_register_again_and_then_told(self) -> None:
        self.assertEqual((60, 10), (self.set(60).wanted_poll_frequency, self.told()))
        self.assertIsInstance(self.ven.poll(), OadrRequestReregistration)
        self.assertEqual(Duration("PT1M"), self.ven.register().requested_poll_freq)
        self.assertEqual(60, self.told())
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], self.ven.poll_names(2))

    def test_a_query_tells_it_too(self) -> None:
        self.set(60)
        reply = self.ven.send(OadrQueryRegistration(request_id="q"))
        self.assertEqual((Duration("PT1M"), 60), (reply.requested_poll_freq, self.told()))

    def test_a_ven_counts_as_online_by_what_it_was_told(self) -> None:
        self.set(100)
        self.ven.register()
        self.house.live(299)
        self.assertTrue(self.house.read(vens.get, "ven-1").online)

    def test_what_it_knows_already_is_not_told_again(self) -> None:
        self.set(10)
        self.assertEqual("oadrResponse", self.ven.poll().name())
        self.set(60)
        self.ven.register()
        self.set(60)
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], self.ven.poll_names(2))

    def test_without_one_of_its_own_it_has_that_of_the_configuration(self) -> None:
        self.set(60)
        self.ven.register()
        self.assertIsNone(self.set(None).wanted_poll_frequency)
        self.assertEqual(Duration("PT10S"), self.ven.register().requested_poll_freq)

    def test_who_is_not_registered_is_told_when_it_registers(self) -> None:
        stranger = self.house.stranger("ven-2")
        self.set(60, "ven-2")
        self.assertEqual(Duration("PT1M"), stranger.register().requested_poll_freq)
        self.assertEqual(["oadrRegisterReport", "oadrResponse"], stranger.poll_names(2))

    def test_what_is_no_whole_number_of_seconds_is_refused(self) -> None:
        for seconds in (0, -5, 1.5, float("nan"), float("inf"), 10**30, True, "soon"):
            error = self.assertRaises(InvalidData, self.set, seconds)
            self.assertEqual("poll_frequency", error.mistakes[0].place)
        self.assertIsNone(self.house.read(vens.get, "ven-1").wanted_poll_frequency)

    def test_an_unknown_ven_has_none(self) -> None:
        self.assertRaises(InvalidID, self.set, 60, "nobody")


class LeniencyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House()
        self.house.ven()

    def set(self, profile: str | None, ven_id: str = "ven-1") -> vens.Ven:
        return self.house.write(registration.set_leniency, ven_id, profile)

    def test_a_ven_has_a_profile_of_its_own_or_none(self) -> None:
        for profile in (*bends.PROFILES, None):
            self.assertEqual(profile, self.set(profile).leniency)

    def test_it_holds_from_the_next_message_on(self) -> None:
        ven = FakeVen(self.house, "ven-1")
        self.assertIsNone(ven.entry.ven.leniency)
        self.set("bare")
        self.assertEqual("bare", ven.entry.ven.leniency)

    def test_another_is_refused_with_those_that_there_are(self) -> None:
        [mistake] = self.assertRaises(InvalidData, self.set, "loose").mistakes
        self.assertEqual(("leniency", tuple(bends.PROFILES)), (mistake.place, mistake.allowed))
        self.assertRaises(InvalidID, self.set, "bare", "nobody")

    def test_how_often_and_when_last_a_bend_was_needed_is_kept(self) -> None:
        ven = FakeVen(self.house, "ven-1")
        for _ in range(2):
            ven.entry.bends.update(["bare_root"])
            ven.poll()
            self.house.after(10)
            self.house.round()
        self.assertEqual({"bare_root": (2, START + timedelta(seconds=20))}, self.house.read(vens.bends_of, "ven-1"))


class ListedTests(SynchronousTestCase):
    """What the configuration says of a VEN: it is written at start and on SIGHUP, and operators do not change it."""

    def configured(self, **values: Any) -> Config:
        return Config(vens=(KnownVen(ven_id="ven-1", fingerprints=(print_of("ven-1").hex(),), **values),))

    def house_of(self, **values: Any) -> tuple[House, FakeVen]:
        house = House(self.configured(**values))
        ven = FakeVen(house, "ven-1")
        ven.register()
        ven.take_register_report()
        return house, ven

    def reconfigure(self, house: House, **values: Any) -> vens.Ven:
        house.config = self.configured(**values)
        self.successResultOf(house.vtn.reconfigure(house.config))
        return house.read(vens.get, "ven-1")

    def test_it_is_written_and_taken_back(self) -> None:
        full = print_of("signing")
        house, ven = self.house_of(
            poll_frequency="1m", leniency="bare", signatures="require", signing_fingerprint=full.hex()
        )
        self.assertEqual(("bare", 60), (ven.entry.ven.leniency, ven.entry.ven.poll_frequency))
        self.assertEqual(("require", full), (ven.entry.ven.signatures, ven.entry.ven.signing_fingerprint))
        row = self.reconfigure(house)
        self.assertEqual((None, None), (row.leniency, row.wanted_poll_frequency))
        self.assertEqual((None, None), (row.signatures, row.signing_fingerprint))

    def test_another_poll_frequency_asks_for_a_new_registration_once(self) -> None:
        house, ven = self.house_of()
        self.reconfigure(house, poll_frequency="1m")
        self.assertIsInstance(ven.poll(), OadrRequestReregistration)
        self.assertEqual(Duration("PT1M"), ven.register().requested_poll_freq)
        ven.take_register_report()
        self.reconfigure(house, poll_frequency="1m")
        house.open()
        self.assertEqual("oadrResponse", ven.poll().name())

    def test_operators_are_sent_to_the_file(self) -> None:
        house, _ = self.house_of()
        for rule, arguments, place in (
            (registration.set_leniency, ("ven-1", "bare"), "leniency"),
            (registration.set_signatures, ("ven-1", "off"), "signatures"),
            (registration.set_signing_fingerprint, ("ven-1", None), "signing_fingerprint"),
            (registration.set_poll_frequency, (house.config, "ven-1", 60), "poll_frequency"),
        ):
            error = self.assertRaises(NotAllowed, house.write, rule, *arguments)
            self.assertEqual(place, error.mistakes[0].place)
            self.assertIn("configuration file", error.description)


class PresenceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(Config(registration=Registration(offline_after=3)))
        self.ven = self.house.ven()
        self.house.hooks.clear()

    def online(self) -> bool:
        return self.house.read(vens.get, "ven-1").online

    def test_a_registration_brings_a_ven_online(self) -> None:
        self.house.ven("ven-2")
        self.assertEqual([("on_ven_online", "ven-2")], self.house.hooks)

    def test_a_ven_is_offline_after_three_missed_polls_and_online_at_its_next_message(self) -> None:
        self.house.live(30)
        self.assertTrue(self.online())
        self.house.live(1)
        self.assertFalse(self.online())
        self.ven.poll()
        self.assertTrue(self.online())
        self.assertEqual([("on_ven_offline", "ven-1"), ("on_ven_online", "ven-1")], self.house.hooks)

    def test_it_goes_by_the_frequency_that_the_ven_was_told(self) -> None:
        slow = Config(registration=Registration(poll_frequency=100))
        self.successResultOf(self.house.vtn.reconfigure(slow))
        self.house.live(50)
        self.assertFalse(self.online())
        self.ven.register()
        self.house.live(299)
        self.assertTrue(self.online())

    def test_a_ven_that_polls_stays_online(self) -> None:
        for _ in range(20):
            self.ven.poll()
            self.house.after(10)
            self.house.round()
        self.assertEqual([], self.house.hooks)

    def test_time_in_which_the_process_stood_still_is_not_missed(self) -> None:
        self.house.live(10)
        self.house.after(120)
        self.house.round()
        self.assertTrue(self.online())
        self.house.live(31)
        self.assertFalse(self.online())

    def test_downtime_is_not_missed(self) -> None:
        self.house.after(86400)
        self.house.open()
        self.house.round()
        self.assertTrue(self.online())
        self.house.live(31)
        self.assertFalse(self.online())

    def test_a_ven_that_cancelled_goes_silently(self) -> None:
        self.ven.send(OadrCancelPartyRegistration(request_id="c", registration_id=self.ven.registration_id))
        self.house.live(100)
        self.assertEqual(([], False), (self.house.hooks, self.online()))

    def test_a_hook_that_fails_harms_nothing(self) -> None:
        def failing(*call: object) -> None:
            raise ZeroDivisionError

        self.house.vtn.hooks.add("on_ven_online", failing)
        FakeVen.register(self.house.stranger("ven-2"))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertTrue(self.house.read(vens.get, "ven-2").online)
