"""Certificates that are revoked, VENs that are suspended, and what is kept of the certificates that were shown."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.errors import InvalidData, InvalidID, NotRegistered
from oadrvtn.security.fingerprint import sha256
from oadrvtn.storage import certificates as stored
from oadrvtn.storage import vens
from oadrvtn.vtn import certificates, registration
from tests.handlers.house import House, certificate, code, create, made, poll
from tests.security import link


class RevocationTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(self)
        self.looked: list[set[bytes]] = []
        self.house.vtn.look_again = lambda: self.looked.append(set(self.house.vtn.revoked))
        self.short = certificate("ven-1")[-10:]

    def revoke(self, known: bytes | None = None, ven_id: str | None = None) -> Any:
        return self.house.write(certificates.revoke, known, ven_id)

    def test_a_revoked_certificate_is_nobodys_at_the_next_message(self) -> None:
        self.house.register("ven-1")
        self.house.register("ven-2")
        self.assertEqual("200", code(self.house.answer("OadrPoll", made("oadrResponse"), "ven-1")))
        self.revoke(certificate("ven-1"))
        self.assertEqual("463", code(self.house.answer("OadrPoll", poll(), "ven-1")))
        self.assertNotEqual("463", getattr(getattr(self.house.answer("OadrPoll", poll(), "ven-2"), "response", None),
                                           "response_code", ""))  # fmt: skip

    def test_by_its_ten_bytes_it_is_as_revoked(self) -> None:
        self.house.register("ven-1")
        self.revoke(self.short)
        self.assertEqual("463", code(self.house.answer("OadrPoll", poll(), "ven-1")))
        self.assertEqual([{self.short}], self.looked)

    def test_connections_are_looked_at_once_it_is_on_disk(self) -> None:
        self.revoke(certificate("ven-1"))
        self.assertEqual([{self.short}], self.looked)
        self.assertEqual({self.short}, self.house.read(stored.revoked))

    def test_all_of_a_ven_are_revoked_and_restored_together(self) -> None:
        both = [certificate("ven-1"), certificate("new")]
        self.house.write(registration.add, self.house.config, "ven-1", "ven-1", both, "operator")
        self.revoke(ven_id="ven-1")
        self.assertEqual({each[-10:] for each in both}, self.house.vtn.revoked)
        self.house.write(certificates.restore, None, "ven-1")
        self.assertEqual(set(), self.house.vtn.revoked)
        self.house.register("ven-1")

    def test_what_is_taken_back_is_let_in_again(self) -> None:
        self.revoke(certificate("ven-1"))
        self.assertEqual("463", code(self.house.answer("EiRegisterParty", create(), "ven-1")))
        self.house.write(certificates.restore, self.short, None)
        self.house.register("ven-1")

    def test_a_restart_knows_what_is_revoked(self) -> None:
        self.revoke(certificate("ven-1"))
        self.house.restart()
        self.assertEqual(set(), self.house.vtn.revoked)
        self.successResultOf(self.house.vtn.start())
        self.assertEqual({self.short}, self.house.vtn.revoked)

    def test_no_policy_lets_a_revoked_certificate_in(self) -> None:
        for policy in ("open", "approve"):
            house = House(self, policy=policy, known=())
            house.write(certificates.revoke, certificate("stranger"), None)
            self.assertEqual("463", code(house.answer("EiRegisterParty", create(), "stranger")))
            self.assertEqual([], house.read(vens.found_candidates))
            self.assertEqual([], house.read(vens.listed))

    def test_one_that_waits_for_approval_waits_no_more(self) -> None:
        house = House(self, policy="approve", known=())
        house.answer("EiRegisterParty", create(), "stranger")
        house.write(certificates.revoke, certificate("stranger"), None)
        self.assertEqual([], house.read(vens.found_candidates))

    def test_it_outlives_its_ven(self) -> None:
        self.revoke(ven_id="ven-1")
        self.house.write(registration.remove, "ven-1")
        failure = self.failureResultOf(self.house.vtn.write(
            "admit", registration.admit, self.house.config, "ven-1", "", "open", certificate("ven-1")
        ))  # fmt: skip
        self.assertIsInstance(failure.value, NotRegistered)

    def test_which_it_is_has_to_be_said(self) -> None:
        for rule in (certificates.revoke, certificates.restore):
            for known, ven_id in ((None, None), (certificate("ven-1"), "ven-1")):
                failure = self.failureResultOf(self.house.vtn.write("x", rule, known, ven_id))
                self.assertIsInstance(failure.value, InvalidData)
        for known, ven_id in ((certificate("x"), None), (None, "ven-1")):
            failure = self.failureResultOf(self.house.vtn.write("x", certificates.restore, known, ven_id))
            self.assertIsInstance(failure.value, InvalidID)
        failure = self.failureResultOf(self.house.vtn.write("x", certificates.revoke, None, "nobody"))
        self.assertIsInstance(failure.value, InvalidID)


class RotationTests(SynchronousTestCase):
    def test_of_two_certificates_both_work_and_the_one_that_is_taken_away_does_not(self) -> None:
        house = House(self, known=("ven-1",))
        house.register("ven-1")

        def known_by(*names: str) -> None:
            known = [certificate(name) for name in names]
            house.write(registration.add, house.config, "ven-1", "ven-1", known, "operator")

        def answers() -> list[str]:
            found = (house.answer("EiRegisterParty", made("oadrQueryRegistration"), name) for name in ("ven-1", "new"))
            return [answer.ven_id or code(answer) for answer in found]

        self.assertEqual(["ven-1", "463"], answers())
        known_by("ven-1", "new")
        self.assertEqual(["ven-1", "ven-1"], answers())
        known_by("new")
        self.assertEqual(["463", "ven-1"], answers())


class SuspensionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.house = House(self)
        self.house.register("ven-1")

    def test_whatever_a_suspended_ven_says_is_refused_until_it_is_resumed(self) -> None:
        self.house.write(certificates.suspend, "ven-1")
        for service, message in (
            ("OadrPoll", poll()),
            ("EiRegisterParty", create()),
            ("EiRegisterParty", made("oadrQueryRegistration")),
            ("EiEvent", made("oadrRequestEvent")),
        ):
            answer = self.house.answer(service, message)
            self.assertEqual(("463", "VEN 'ven-1' is suspended"), (code(answer), answer.response.response_description))
        self.house.write(certificates.resume, "ven-1")
        self.assertTrue(self.house.read(vens.get, "ven-1").registered)
        self.house.register("ven-1", registration_id=self.house.read(vens.get, "ven-1").registration_id)

    def test_it_is_suspended_once_and_for_itself(self) -> None:
        first = self.house.write(certificates.suspend, "ven-1")
        self.house.clock.advance(60)
        self.assertEqual(first.suspended_at, self.house.write(certificates.suspend, "ven-1").suspended_at)
        self.house.register("ven-2")
        counts = self.house.read(vens.counts)
        self.assertEqual((2, 1), (counts["vens"], counts["vens_suspended"]))


class CalendarTests(SynchronousTestCase):
    """What a certificate says is on disk after the next flush, once."""

    def setUp(self) -> None:
        self.house = House(self)
        shown = link.ven().certificate
        self.der, self.end = shown.public_bytes(Encoding.DER), shown.not_valid_after_utc
        self.full = sha256(self.der)
        self.house.write(registration.add, self.house.config, "ven-3", "ven-3", [self.full], "operator")

    def entry(self) -> Any:
        return self.successResultOf(self.house.vtn.identify(self.full))

    def connect(self) -> Any:
        entry = self.entry()
        self.house.vtn.met(entry, self.full, self.der)
        return entry

    def flush(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.house.vtn.flush()))

    def test_what_it_says_is_remembered(self) -> None:
        self.connect()
        self.flush()
        (known,) = self.house.read(stored.of_ven, "ven-3")
        self.assertEqual(self.end, known.not_after)
        self.assertEqual(f"{link.ven().certificate.serial_number:X}", known.serial)
        self.assertIn("CN=ven1", known.subject)

    def test_another_connection_writes_nothing(self) -> None:
        entry = self.connect()
        self.assertEqual(1, len(entry.certificates))
        self.flush()
        self.connect()
        self.assertEqual(((), set()), (entry.certificates, self.house.vtn.roster.dirty))

    def test_what_cannot_be_read_is_no_fault(self) -> None:
        entry = self.entry()
        self.house.vtn.met(entry, self.full, b"no certificate")
        self.assertEqual((), entry.certificates)

    def test_pages_come_by_the_end(self) -> None:
        self.connect()
        self.flush()
        late = self.house.read(stored.found, None, 10)
        self.assertEqual(["ven-3", "ven-1", "ven-2"], [each.ven_id for each in late[:1]] + sorted(
            each.ven_id for each in late[1:]
        ))  # fmt: skip
        pages, cursor = [], None
        while page := self.house.read(stored.found, cursor, 1)[:1]:
            pages += page
            cursor = page[0].key
        self.assertEqual(late, pages)
        for before, number in ((self.end, 1), (self.end - timedelta(seconds=1), 0)):
            self.assertEqual(number, len(self.house.read(lambda txn, b=before: stored.found(txn, None, 10, before=b))))
            self.assertEqual(number, self.house.read(stored.ending, before))
