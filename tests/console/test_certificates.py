"""Certificates at the API: when they end, and that they are revoked."""

from __future__ import annotations

from datetime import timedelta

from oadrvtn.security.certificates import Authority, describe, pem

from .case import ApiTestCase
from .office import START, certificate, colons


class CertificatesTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority.create(now=lambda: START)
        self.credential = self.authority.issue_client("ven-1")
        self.described = describe(self.credential.certificate)
        self.office.api.own = lambda: [("ca", describe(self.authority.credential.certificate))]
        body = {"ven_id": "ven-1", "certificates": [pem(self.credential.certificate)]}
        self.good("POST", "/vens", body, 201)

    def test_one_that_a_ven_is_added_with_is_known_with_its_end(self) -> None:
        (known,) = self.good("GET", "/vens/ven-1")["fingerprints"]
        self.assertEqual(self.described.sha256, known["sha256"])
        self.assertEqual(self.described.serial, known["serial"])
        self.assertEqual(self.described.not_after.isoformat().replace("+00:00", "Z"), known["not_after"])

    def test_a_second_one_is_added_in_the_same_way(self) -> None:
        second = self.authority.issue_client("ven-1").certificate
        body = {"fingerprints": [self.described.sha256], "certificates": [pem(second)]}
        known = self.good("PATCH", "/vens/ven-1", body)["fingerprints"]
        self.assertEqual({self.described.serial, describe(second).serial}, {each["serial"] for each in known})

    def test_what_is_no_certificate_is_told_with_its_place(self) -> None:
        told = self.refused(422, "POST", "/vens", {"ven_id": "v", "certificates": ["nothing"]})
        self.assertEqual("/certificates/0", told["errors"][0]["pointer"])

    def test_those_that_end_in_time_are_listed_with_those_of_the_vtn(self) -> None:
        left = (self.described.not_after - START).total_seconds()
        found = self.good("GET", f"/certificates?expiring_within={left:.0f}")
        self.assertEqual(["ven-1"], [row["ven_id"] for row in found["certificates"]])
        self.assertEqual([], found["own"])
        self.assertEqual([], self.good("GET", f"/certificates?expiring_within={left - 1:.0f}")["certificates"])
        (own,) = self.good("GET", "/certificates?expiring_within=5000d")["own"]
        self.assertEqual("ca", own["kind"])
        self.good("GET", "/certificates?expiring_within=999999999999")

    def test_all_are_listed_those_of_which_no_end_is_known_last(self) -> None:
        self.office.registered("ven-2")
        rows = self.good("GET", "/certificates")["certificates"]
        self.assertEqual(
            [("ven-1", False), ("ven-2", True)], [(row["ven_id"], row["not_after"] is None) for row in rows]
        )
        first = self.good("GET", "/certificates?limit=1")
        second = self.good("GET", f"/certificates?limit=1&cursor={first['next']}")
        self.assertEqual((rows, []), (first["certificates"] + second["certificates"], second["own"]))

    def test_those_that_expire_are_counted(self) -> None:
        def counted() -> str:
            text = self.office.ask("GET", "/metrics").body.decode()
            return "".join(line for line in text.splitlines() if line.startswith("oadrvtn_certificates_expiring"))

        self.assertIn('{of="ven"} 0.0', counted())
        self.office.clock.advance((self.described.not_after - START - timedelta(days=29)).total_seconds())
        self.assertIn('{of="ven"} 1.0', counted())
        self.assertIn('{of="ca"} 0.0', counted())

    def test_revoking_is_told_and_taken_back(self) -> None:
        (made,) = self.good("POST", "/revocations", {"ven_id": "ven-1"})["revoked"]
        self.assertEqual(("ven-1", self.described.fingerprint), (made["ven_id"], made["fingerprint"]))
        self.assertEqual([made], self.good("GET", "/revocations")["revocations"])
        self.assertTrue(self.good("GET", "/vens/ven-1")["fingerprints"][0]["revoked_at"])
        back = self.good("POST", "/revocations/restore", {"fingerprint": made["fingerprint"]})
        self.assertEqual([made["fingerprint"]], back["restored"])
        self.refused(404, "POST", "/revocations/restore", {"fingerprint": made["fingerprint"]})
        self.refused(422, "POST", "/revocations", {})

    def test_a_certificate_that_nobody_has_yet_can_be_revoked(self) -> None:
        (made,) = self.good("POST", "/revocations", {"fingerprint": colons(certificate("x"))})["revoked"]
        self.assertIsNone(made["ven_id"])

    def test_a_rehearsal_revokes_nothing(self) -> None:
        self.good("POST", "/revocations?dry_run=1", {"ven_id": "ven-1"})
        self.assertEqual([], self.good("GET", "/revocations")["revocations"])
        self.assertEqual(set(), self.office.vtn.revoked)

    def test_a_ven_is_suspended_and_resumed(self) -> None:
        self.assertTrue(self.good("POST", "/vens/ven-1/suspend")["suspended_at"])
        self.assertEqual(1, self.good("GET", "/status")["vens_suspended"])
        self.assertEqual(1, len(self.good("GET", "/vens?suspended=1")["vens"]))
        self.assertIsNone(self.good("POST", "/vens/ven-1/resume")["suspended_at"])
        self.assertEqual([], self.good("GET", "/vens?suspended=1")["vens"])
        self.refused(404, "POST", "/vens/nobody/suspend")
