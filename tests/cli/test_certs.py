"""Certificates at the command line, on files of its own."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from cryptography.x509 import CRLNumber

from oadrvtn.security.certificates import describe, load_certificates, load_crl

from .case import CliTestCase


class CertsTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())

    def certs(self, *arguments: str) -> str:
        return self.good("certs", *arguments, "--directory", str(self.directory))

    def test_init_makes_a_pki_for_the_names_that_are_given(self) -> None:
        self.certs("init", "--name", "vtn.example.org", "--name", "192.0.2.1")
        for name in ("vtn-ec", "vtn-rsa"):
            (certificate, *_) = load_certificates(self.directory / f"{name}.crt")
            self.assertEqual(("vtn.example.org", "192.0.2.1"), describe(certificate).names)
            self.assertEqual(0o600, stat.S_IMODE((self.directory / f"{name}.key").stat().st_mode))

    def test_nothing_is_overwritten(self) -> None:
        self.certs("init")
        self.has(self.refused("certs", "init", "--directory", str(self.directory)), "not overwritten")
        self.certs("issue", "ven-1")
        self.has(self.refused("certs", "issue", "ven-1", "--directory", str(self.directory)), "not overwritten")

    def test_issue_says_how_to_let_the_ven_in(self) -> None:
        self.certs("init")
        text = self.certs("issue", "ven-1")
        fingerprint = self.good("certs", "fingerprint", str(self.directory / "ven-1.crt")).strip()
        self.has(text, fingerprint, f"oadrvtn ven add ven-1 --certificate {self.directory / 'ven-1.crt'}")
        self.certs("issue", "ven-2", "--rsa")
        (certificate, *_) = load_certificates(self.directory / "ven-2.crt")
        self.assertEqual("RSA 2048", describe(certificate).key)

    def test_a_name_that_is_no_file_name_is_a_usage_error(self) -> None:
        self.certs("init")
        self.has(
            self.refused("certs", "issue", "../ven", "--directory", str(self.directory), code=2), "cannot be a name"
        )

    def test_without_an_authority_nothing_is_issued(self) -> None:
        self.has(self.refused("certs", "issue", "ven-1", "--directory", str(self.directory)), "ca.crt")

    def test_show_tells_what_is_in_a_certificate(self) -> None:
        self.certs("init", "--name", "vtn.example.org")
        file = str(self.directory / "vtn-ec.crt")
        self.has(self.good("certs", "show", file), "vtn.example.org", "EC secp256r1", "Fingerprint")
        (shown,) = self.shown("certs", "show", file)
        self.assertEqual((False, ["vtn.example.org"]), (shown["authority"], shown["names"]))
        self.has(self.refused("certs", "show", str(self.directory / "vtn-ec.key")), "no readable PEM certificate")


class KnownTests(CliTestCase):
    """Those that a VTN knows."""

    def setUp(self) -> None:
        super().setUp()
        directory = str(Path(self.mktemp()))
        self.good("certs", "init", "--directory", directory)
        self.good("certs", "issue", "ven-1", "--directory", directory)
        self.file = str(Path(directory) / "ven-1.crt")
        self.good("ven", "add", "ven-1", "--certificate", self.file)
        self.fingerprint = self.good("certs", "fingerprint", self.file).strip()

    def test_those_that_end_soon_are_listed(self) -> None:
        self.assertNotIn(self.fingerprint, self.good("certs", "expiring"))
        self.has(self.good("certs", "expiring", "--within", "5000d"), "ven-1", self.fingerprint, "CN=ven-1")
        shown = self.shown("certs", "expiring", "--within", "5000d")
        self.assertEqual(([], ["ven-1"]), (shown["own"], [row["ven_id"] for row in shown["certificates"]]))
        self.has(self.refused("certs", "expiring", "--within", "soon"), "expiring_within")

    def test_one_is_revoked_and_restored(self) -> None:
        self.assertEqual(f"{self.fingerprint} is revoked\n", self.good("certs", "revoke", self.fingerprint))
        self.has(self.good("ven", "show", "ven-1"), "revoked")
        self.has(self.good("certs", "revoked"), self.fingerprint, "ven-1")
        self.has(self.good("certs", "revoke", "--ven", "ven-1", "--undo"), "no longer revoked")
        self.assertEqual([], self.shown("certs", "revoked")["revocations"])
        for arguments in ([], [self.fingerprint, "--ven", "ven-1"]):
            self.has(self.refused("certs", "revoke", *arguments, code=2), "say which")

    def test_a_ven_is_suspended_and_resumed(self) -> None:
        self.has(self.good("ven", "suspend", "ven-1"), "463")
        self.has(self.good("ven", "list", "--state", "suspended"), "ven-1", "suspended")
        self.good("ven", "resume", "ven-1")
        self.assertEqual([], self.shown("ven", "list", "--state", "suspended")["vens"])


class CrlTests(CliTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.certs("init")
        for name in ("ven-1", "ven-2"):
            self.certs("issue", name)

    def certs(self, *arguments: str) -> str:
        return self.good("certs", *arguments, "--directory", str(self.directory))

    def revoked(self) -> Any:
        return self.shown("certs", "crl", "list", "--directory", str(self.directory))

    def test_certificates_are_added_to_the_list_and_stay_there(self) -> None:
        self.assertEqual({"valid_to": None, "revoked": []}, self.revoked())
        self.has(self.certs("crl", "list"), "not written yet")
        serials = []
        for number, name in enumerate(("ven-1", "ven-2", "ven-1")):
            file = self.directory / f"{name}.crt"
            self.has(self.certs("crl", "add", str(file)), "ca.crl is written")
            serials.append(describe(load_certificates(file)[0]).serial)
            self.assertEqual({*serials}, {row["serial"] for row in self.revoked()["revoked"]})
            crl = load_crl(self.directory)
            assert crl is not None
            self.assertEqual(number + 1, crl.extensions.get_extension_for_class(CRLNumber).value.crl_number)
            self.assertTrue(crl.is_signature_valid(load_certificates(self.directory / "ca.crt")[0].public_key()))  # type: ignore[arg-type]
        self.has(self.certs("crl", "list"), *serials)

    def test_it_is_written_anew_with_another_end(self) -> None:
        self.certs("crl", "write", "--valid", "1d")
        soon = self.revoked()["valid_to"]
        self.has(self.certs("crl", "write", "--valid", "2d", "--json"), '"file"', "ca.crl")
        self.assertLess(soon, self.revoked()["valid_to"])
        self.has(self.refused("certs", "crl", "write", "--valid", "long", code=2), "--valid")

    def test_the_certificate_of_another_authority_is_not_taken(self) -> None:
        other = Path(self.mktemp())
        self.good("certs", "init", "--directory", str(other))
        file = str(other / "vtn-ec.crt")
        arguments = ("certs", "crl", "add", file, "--directory", str(self.directory))
        self.has(self.refused(*arguments), "has not issued")
        self.assertFalse((self.directory / "ca.crl").exists())

    def test_a_list_that_cannot_be_read_is_not_overwritten(self) -> None:
        (self.directory / "ca.crl").write_text("mine")
        self.has(self.refused("certs", "crl", "write", "--directory", str(self.directory)), "no readable PEM CRL")
        self.assertEqual("mine", (self.directory / "ca.crl").read_text())
