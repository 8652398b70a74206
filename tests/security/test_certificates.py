"""The demonstration PKI: what it issues, what it writes, and what loading refuses."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security import certificates, fingerprint
from oadrvtn.security.certificates import Authority, CertificateFileError, Credential, describe, printable
from tests.security import link

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class IssueTests(SynchronousTestCase):
    def test_a_server_has_its_names_and_both_usages(self) -> None:
        """The strict verifier of cryptography (the web's rules) is content with it."""
        issued = link.server_ec()
        self.assertEqual(describe(issued.certificate).names, ("localhost", "127.0.0.1"))
        usages = issued.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(set(usages), {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH})
        store = Store([link.authority().credential.certificate])
        verifier = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("localhost"))
        self.assertEqual(len(verifier.verify(issued.certificate, [])), 2)

    def test_a_ven_is_good_for_a_client_only(self) -> None:
        usages = link.ven().certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        self.assertEqual(list(usages), [ExtendedKeyUsageOID.CLIENT_AUTH])

    def test_an_rsa_key_may_encipher_keys_and_an_ec_key_may_not(self) -> None:
        for credential, may in ((link.server_rsa(), True), (link.server_ec(), False)):
            usage = credential.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
            self.assertEqual((usage.digital_signature, usage.key_encipherment), (True, may))

    def test_dates_begin_a_little_early_and_end_with_the_authority(self) -> None:
        authority = Authority.create(now=lambda: NOW)
        issued = authority.issue_client("ven1").certificate
        self.assertEqual(issued.not_valid_before_utc, NOW - timedelta(hours=1))
        self.assertEqual(issued.not_valid_after_utc, NOW + timedelta(days=825))
        late = Authority(authority.credential, lambda: NOW + timedelta(days=3600))
        self.assertEqual(
            late.issue_client("ven1").certificate.not_valid_after_utc,
            authority.credential.certificate.not_valid_after_utc,
        )

    def test_serial_numbers_differ(self) -> None:
        serials = {link.authority().issue_client("ven1").certificate.serial_number for _ in range(5)}
        self.assertEqual(len(serials), 5)

    def test_a_leaf_carries_its_intermediates_but_not_the_root(self) -> None:
        root = link.authority()
        self.assertEqual(root.issue_client("ven1").chain, ())
        intermediate = root.issue_authority("VENs of 2026")
        issued = intermediate.issue_client("ven1")
        self.assertEqual(issued.chain, (intermediate.credential.certificate,))
        loaded = x509.load_pem_x509_certificates(issued.chain_pem)
        self.assertEqual(loaded, [issued.certificate, intermediate.credential.certificate])
        issued.certificate.verify_directly_issued_by(intermediate.credential.certificate)

    def test_the_private_key_is_not_shown_by_repr(self) -> None:
        self.assertNotIn("key", repr(link.ven()))


class DescribeTests(SynchronousTestCase):
    def test_everything_that_show_wants(self) -> None:
        certificate = link.server_rsa().certificate
        described = describe(certificate)
        self.assertEqual(described.subject, "CN=localhost,O=oadrvtn demonstration")
        self.assertEqual(described.issuer, "CN=oadrvtn demonstration CA,O=oadrvtn demonstration")
        self.assertEqual(described.key, "RSA 2048")
        self.assertEqual(describe(link.ven().certificate).key, "EC secp256r1")
        self.assertFalse(described.is_authority)
        self.assertTrue(describe(link.authority().credential.certificate).is_authority)
        self.assertEqual(fingerprint.parse(described.sha256), link.server_rsa().fingerprint)
        self.assertTrue(described.sha256.endswith(described.fingerprint))
        self.assertEqual(described.not_after, certificate.not_valid_after_utc)

    def test_what_a_stranger_wrote_into_the_subject_cannot_start_a_line(self) -> None:
        hostile = link.authority().issue_client("ven1\nall is well\x1b[2J\u202e")
        self.assertTrue(describe(hostile.certificate).subject.isprintable())
        self.assertEqual(printable("Zähler\r\n\u202e"), r"Zähler\r\n\u202e")


class DirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = link.new_directory(self)

    def test_init_makes_a_pki_that_serves_and_issues(self) -> None:
        certificates.init(self.directory, ["vtn.example", "10.0.0.1"])
        self.assertEqual(
            sorted(os.listdir(self.directory)),
            ["ca.crt", "ca.key", "vtn-ec.crt", "vtn-ec.key", "vtn-rsa.crt", "vtn-rsa.key"],
        )
        issued = certificates.issue(self.directory, "meter-7.a")
        read = Credential.load(self.directory / "meter-7.a.crt", self.directory / "meter-7.a.key")
        self.assertEqual(read.certificate, issued.certificate)
        (ca,) = certificates.load_certificates(self.directory / "ca.crt")
        read.certificate.verify_directly_issued_by(ca)
        (ec,) = certificates.load_certificates(self.directory / "vtn-ec.crt")
        self.assertEqual(describe(ec).names, ("vtn.example", "10.0.0.1"))
        self.assertEqual(describe(ec).key, "EC secp256r1")
        self.assertEqual(describe(certificates.issue(self.directory, "r", rsa=True).certificate).key, "RSA 2048")

        # keys are for their owner alone, and nothing is ever overwritten
        for key in self.directory.glob("*.key"):
            self.assertEqual(stat.S_IMODE(key.stat().st_mode), 0o600)
        before = {path: path.read_bytes() for path in self.directory.iterdir()}
        error = self.assertRaises(CertificateFileError, certificates.issue, self.directory, "meter-7.a")
        self.assertIn("meter-7.a.key: exists already", str(error))
        (self.directory / "vtn-ec.key").unlink()
        self.assertRaises(CertificateFileError, certificates.init, self.directory)
        del before[self.directory / "vtn-ec.key"]
        self.assertEqual(before, {path: path.read_bytes() for path in self.directory.iterdir()})

    def test_a_key_is_never_open_to_others_even_for_a_moment(self) -> None:
        opened = []
        real = os.open

        def spy(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
            opened.append((Path(path).suffix, mode, bool(flags & os.O_EXCL)))
            return real(path, flags, mode, **more)

        self.patch(os, "open", spy)
        certificates._write(self.directory, {"x": link.ven()})
        self.assertEqual(opened, [(".key", 0o600, True), (".crt", 0o644, True)])

    def test_a_link_in_the_way_is_not_followed(self) -> None:
        self.directory.mkdir()
        (self.directory / "x.key").symlink_to("elsewhere")
        self.assertRaises(CertificateFileError, certificates._write, self.directory, {"x": link.ven()})
        self.assertFalse((self.directory / "elsewhere").exists())

    def test_names_that_are_paths_are_refused(self) -> None:
        for name in ("../x", "a/b", "", ".", "..", ".hidden", "x\n", "x\0", "a" * 65, "ä"):
            self.assertRaises(ValueError, certificates.issue, self.directory, name)

    def test_issuing_without_an_authority_names_the_missing_file(self) -> None:
        error = self.assertRaises(CertificateFileError, certificates.issue, self.directory, "ven1")
        self.assertEqual(error.path, str(self.directory / "ca.crt"))


class LoadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = link.new_directory(self)
        certificates._write(self.directory, {"ven1": link.ven(), "other": link.server_ec()})
        self.certificate = self.directory / "ven1.crt"
        self.key = self.directory / "ven1.key"

    def refused(self, certificate: Path, key: Path) -> CertificateFileError:
        return self.assertRaises(CertificateFileError, Credential.load, certificate, key)

    def test_what_is_wrong_is_told_with_the_file(self) -> None:
        garbage = self.directory / "garbage"
        garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        encrypted = self.directory / "encrypted.key"
        encrypted.write_bytes(
            link.ven().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        )
        for certificate, key, culprit, reason in (
            (self.directory / "none", self.key, self.directory / "none", "No such file"),
            (self.certificate, self.directory, self.directory, "Is a directory"),
            (garbage, self.key, garbage, "no readable PEM certificate"),
            (self.key, self.key, self.key, "no readable PEM certificate"),
            (self.certificate, self.certificate, self.certificate, "no readable PEM private key"),
            (self.certificate, encrypted, encrypted, "encrypted"),
            (self.certificate, self.directory / "other.key", self.directory / "other.key", "ven1.crt"),
        ):
            error = self.refused(certificate, key)
            self.assertEqual(error.path, str(culprit))
            self.assertIn(reason, error.reason)

    def test_only_the_keys_that_openadr_knows(self) -> None:
        strange = self.directory / "ed25519.key"
        key = ed25519.Ed25519PrivateKey.generate()
        strange.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self.assertIn("neither an EC nor an RSA key", str(self.refused(self.certificate, strange)))

    def test_certificate_and_key_may_share_a_file(self) -> None:
        both = self.directory / "both.pem"
        both.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        both.chmod(0o600)
        self.assertEqual(Credential.load(both, both).certificate, link.ven().certificate)

    def test_a_key_that_everybody_may_read_is_warned_of(self) -> None:
        with capturedLogs() as events:
            Credential.load(self.certificate, self.key)
            self.assertEqual(events, [])
            self.key.chmod(0o644)
            Credential.load(self.certificate, self.key)
        self.assertEqual([event["path"] for event in events], [str(self.key)])
