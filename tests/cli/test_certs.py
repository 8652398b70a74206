"""Certificates at the command line, on files of its own."""

from __future__ import annotations

import stat
from pathlib import Path

from oadrvtn.security.certificates import describe, load_certificates

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
