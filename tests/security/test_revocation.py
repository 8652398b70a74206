"""CRL files: which are believed, what is revoked by them, and who gets in without one."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred, succeed
from twisted.internet.ssl import TLSVersion
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model import config
from oadrvtn.security import fingerprint
from oadrvtn.security.certificates import Authority, CertificateFileError, Credential
from oadrvtn.security.revocation import MOST_BYTES, REVOKED, UNSURE, WITHDRAWN, Crl, Revocation
from oadrvtn.security.tls import TlsServer, verified_chain
from tests.security import link
from tests.security.link import Link, client

DAY = timedelta(days=1)


def inline(function: Any, *arguments: Any) -> Deferred[Any]:
    return succeed(function(*arguments))


class CrlTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = link.new_directory(self)
        self.directory.mkdir()
        self.authority = link.authority()
        self.root = self.authority.credential.certificate
        self.ven = link.ven().certificate
        self.now = datetime.now(UTC)
        self.file = self.directory / "ca.crl"
        self.withdrawn: set[bytes] = set()
        self.revocation = Revocation(lambda: self.now, self.withdrawn)

    def write(self, *revoked: x509.Certificate, authority: Authority | None = None, life: timedelta = DAY) -> None:
        """The list of an authority in the file."""
        crl = (authority or self.authority).revoke(None, revoked, life)
        self.put(crl.public_bytes(Encoding.PEM))

    def put(self, content: bytes) -> None:
        new = self.directory / "new"
        new.write_bytes(content)
        os.replace(new, self.file)

    def configure(self, *authorities: x509.Certificate, **settings: Any) -> None:
        found = config.Revocation(**{"crl": [self.file]} | settings)
        self.revocation.configure(found, authorities or (self.root,))

    def look(self) -> bool:
        return self.successResultOf(Deferred.fromCoroutine(self.revocation.look(inline)))

    def states(self) -> list[str]:
        return [each.state for each in self.revocation.standings()]

    def refusal(self, *chain: x509.Certificate) -> str | None:
        return self.revocation.refusal(chain or (self.ven, self.root))


class FileTests(CrlTestCase):
    def broken(self, reason: str) -> None:
        error = self.assertRaises(CertificateFileError, Crl.load, self.file, [self.root])
        self.assertIn(reason, error.reason)

    def test_pem_and_der_are_read(self) -> None:
        crl = self.authority.revoke(None, [self.ven], DAY)
        for encoding in (Encoding.PEM, Encoding.DER):
            self.put(crl.public_bytes(encoding))
            self.assertEqual({self.ven.serial_number}, Crl.load(self.file, [self.root]).serials)

    def test_what_is_none_is_told(self) -> None:
        self.broken("No such file")
        for content in (b"", b"-----BEGIN X509 CRL-----\nMIIB", b"\x30\x82", link.ven().chain_pem):
            self.put(content)
            self.broken("no readable CRL")

    def test_one_that_is_too_large_is_not_read(self) -> None:
        with self.file.open("wb") as file:
            file.truncate(MOST_BYTES + 1)
        self.broken("larger than")

    def test_an_unknown_authority_has_no_say(self) -> None:
        self.write(authority=Authority.create("another CA"))
        self.broken("is none of the authorities")

    def test_neither_has_one_that_only_has_the_name(self) -> None:
        self.write(self.ven, authority=Authority.create())
        self.broken("is not signed by")

    def test_a_list_that_was_changed_is_not_believed(self) -> None:
        whole = bytearray(self.authority.revoke(None, [self.ven], DAY).public_bytes(Encoding.DER))
        place = bytes(whole).index(self.ven.serial_number.to_bytes(20, "big").lstrip(b"\0"))
        whole[place + 3] ^= 1
        self.put(bytes(whole))
        self.broken("is not signed by")

    def extended(self, extension: x509.ExtensionType, critical: bool = True) -> None:
        builder = x509.CertificateRevocationListBuilder(self.root.subject, self.now, self.now + DAY)
        crl = builder.add_extension(extension, critical).sign(self.authority.credential.key, SHA256())
        self.put(crl.public_bytes(Encoding.DER))

    def point(self, **changes: Any) -> x509.IssuingDistributionPoint:
        fields: dict[str, Any] = {
            "full_name": None, "relative_name": None, "only_contains_user_certs": False,
            "only_contains_ca_certs": False, "only_some_reasons": None, "indirect_crl": False,
            "only_contains_attribute_certs": False,
        }  # fmt: skip
        return x509.IssuingDistributionPoint(**fields | changes)

    def test_a_list_that_is_not_the_whole_is_none(self) -> None:
        reasons = frozenset([x509.ReasonFlags.key_compromise])
        for extension, reason in (
            (x509.DeltaCRLIndicator(1), "delta"),
            (self.point(indirect_crl=True), "indirect"),
            (self.point(only_contains_ca_certs=True), "some certificates only"),
            (self.point(only_some_reasons=reasons), "some certificates only"),
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\0"), "nobody knows"),
        ):
            self.extended(extension)
            self.broken(reason)

    def test_one_of_all_certificates_of_users_is_enough(self) -> None:
        self.extended(self.point(only_contains_user_certs=True))
        self.assertEqual(frozenset(), Crl.load(self.file, [self.root]).serials)


class RefusalTests(CrlTestCase):
    def test_who_is_on_the_list_is_refused(self) -> None:
        self.write(self.ven)
        self.configure()
        self.assertEqual(REVOKED, self.refusal())
        self.assertIsNone(self.refusal(self.authority.issue_client("ven2").certificate, self.root))

    def test_the_serial_of_another_authority_is_another(self) -> None:
        other = Authority.create("another CA")
        self.write(self.ven)
        self.configure(self.root, other.credential.certificate, crl_failure="soft")
        self.assertIsNone(self.refusal(self.ven, other.credential.certificate))

    def test_a_revoked_intermediate_revokes_what_it_signed(self) -> None:
        intermediate = self.authority.issue_authority("VENs")
        leaf, between = intermediate.issue_client("ven1").certificate, intermediate.credential.certificate
        self.write(between)
        self.configure(crl_failure="soft")
        self.assertEqual(REVOKED, self.refusal(leaf, between, self.root))

    def test_without_a_file_nothing_is_asked(self) -> None:
        self.configure(crl=[])
        self.assertEqual((None, [], False), (self.refusal(), self.states(), self.revocation.knows))

    def test_without_a_list_of_now_it_is_a_setting(self) -> None:
        intermediate = self.authority.issue_authority("VENs")
        leaf, between = intermediate.issue_client("ven1").certificate, intermediate.credential.certificate
        self.write()
        for failure, refused in (("hard", UNSURE), ("soft", None)):
            self.configure(crl_failure=failure)
            self.assertIsNone(self.refusal())
            self.assertEqual(refused, self.refusal(leaf, between, self.root))
            self.now += 2 * DAY
            self.assertEqual(refused, self.refusal())
            self.assertIsNone(self.revocation.revoked((self.ven, self.root)))
            self.now -= 2 * DAY

    def test_one_that_came_alone_is_looked_for_by_the_name_of_its_issuer(self) -> None:
        self.assertIsNone(self.revocation.listed(self.ven))
        self.write(self.ven)
        self.configure()
        self.assertEqual(REVOKED, self.revocation.listed(self.ven))
        for other in (self.authority.issue_client("ven2"), Authority.create("another CA").issue_client("ven1")):
            self.assertIsNone(self.revocation.listed(other.certificate))
        self.write(Authority.create("another CA").credential.certificate)
        self.look()
        self.assertIsNone(self.revocation.listed(self.ven))

    def test_a_stale_list_still_revokes(self) -> None:
        self.write(self.ven)
        self.configure(crl_failure="soft")
        self.now += 2 * DAY
        self.assertEqual(REVOKED, self.refusal())

    def test_what_is_among_the_authorities_needs_no_list(self) -> None:
        intermediate = self.authority.issue_authority("VENs")
        leaf, between = intermediate.issue_client("ven1").certificate, intermediate.credential.certificate
        self.write(authority=intermediate)
        self.configure(self.root, between)
        self.assertIsNone(self.refusal(leaf, between, self.root))

    def test_operators_revoke_without_any_list(self) -> None:
        self.configure(crl=[])
        self.withdrawn.add(fingerprint.short(link.ven().fingerprint))
        self.assertTrue(self.revocation.knows)
        self.assertEqual(WITHDRAWN, self.refusal())
        self.assertIsNone(self.refusal(self.authority.issue_client("ven2").certificate, self.root))
        self.assertIsNone(self.revocation.revoked(()))


class ReloadTests(CrlTestCase):
    def test_a_new_file_is_read(self) -> None:
        self.write()
        self.configure()
        self.assertFalse(self.look())
        self.write(self.ven)
        self.assertTrue(self.look())
        self.assertEqual(REVOKED, self.refusal())

    def test_a_file_that_stays_is_read_once(self) -> None:
        self.write()
        self.configure()
        loaded: list[Path] = []
        self.patch(Crl, "load", classmethod(lambda cls, path, authorities: loaded.append(path)))
        self.look()
        self.configure()
        self.assertEqual([], loaded)

    def test_a_broken_one_leaves_the_one_of_before_while_that_is_good(self) -> None:
        self.write(self.ven)
        self.configure()
        self.put(b"half")
        self.assertFalse(self.look())
        self.assertEqual((["broken"], REVOKED), (self.states(), self.refusal()))
        self.assertIn("the one of before is used", self.revocation.standings()[0].reason)
        self.file.unlink()
        self.look()
        self.assertEqual((["broken"], REVOKED), (self.states(), self.refusal()))
        self.now += 2 * DAY
        self.assertEqual(["stale"], self.states())

    def test_how_a_list_stands(self) -> None:
        self.configure()
        self.assertEqual(["missing", "missing"], self.states())  # the file, and so the authority's
        self.write(self.ven)
        self.look()
        (standing,) = self.revocation.standings()
        self.assertEqual(("good", 1, str(self.file)), (standing.state, standing.revoked, standing.file))
        self.now += DAY * 0.95
        self.assertEqual(["due"], self.states())
        self.now += DAY
        self.assertEqual(["stale"], self.states())

    def test_an_authority_without_a_list_is_told(self) -> None:
        other = Authority.create("another CA").credential.certificate
        self.write()
        self.configure(self.root, other)
        self.assertEqual("CN=another CA,O=oadrvtn demonstration", self.revocation.standings()[1].issuer)
        self.assertEqual(["good", "missing"], self.states())

    def test_other_authorities_are_asked_anew(self) -> None:
        self.write(self.ven)
        self.configure()
        self.configure(Authority.create("another CA").credential.certificate)
        self.assertEqual(["broken", "missing"], self.states())
        self.assertIsNone(self.revocation.revoked((self.ven, self.root)))

    def test_the_log_tells_of_each_change_once(self) -> None:
        with capturedLogs() as events:
            self.configure()
            self.look()
            self.write()
            self.look()
            self.look()
            self.now += 2 * DAY
            self.look()
            self.look()
        told = [(event["log_level"], formatEvent(event)) for event in events if "CRL" in formatEvent(event)]
        self.assertEqual([LogLevel.warn, LogLevel.warn, LogLevel.info, LogLevel.warn], [level for level, _ in told])
        for (_, text), word in zip(told, ("missing", "has no CRL", "good until", "stale"), strict=True):
            self.assertIn(word, text)

    def test_what_was_configured_while_a_thread_read_stands(self) -> None:
        self.write()
        self.configure()
        slow: Deferred[Any] = Deferred()
        looking = Deferred.fromCoroutine(self.revocation.look(lambda *_: slow))
        self.configure(crl=[])
        slow.callback(())
        self.assertFalse(self.successResultOf(looking))
        self.assertEqual([], self.states())


class HandshakeTests(CrlTestCase):
    """Over TLS in memory."""

    def link(self, credential: Credential | None = None, **options: Any) -> tuple[Link, list[dict[str, Any]]]:
        self.server = TlsServer(link.settings, self.revocation.refusal)
        with capturedLogs() as events:
            joined = Link(self.server, client(credential, **options))
        return joined, [event for event in events if event["log_namespace"] == "oadrvtn.security.tls"]

    def test_a_revoked_certificate_is_refused_with_its_serial_in_the_log(self) -> None:
        self.write(self.ven)
        self.configure()
        for options in ({}, {"lowerMaximumSecurityTo": TLSVersion.TLSv1_2}):
            joined, (event,) = self.link(**options)
            self.assertFalse(joined.alive)
            self.assertEqual({REVOKED: 1}, dict(self.server.refused))
            told = f"subject CN=ven1,O=oadrvtn demonstration, serial {self.ven.serial_number:X}"
            self.assertIn(told, formatEvent(event))

    def test_a_good_one_is_not(self) -> None:
        self.write()
        self.configure()
        joined, told = self.link()
        self.assertEqual((True, []), (joined.alive, told))

    def test_a_stale_list_refuses_where_it_is_hard(self) -> None:
        self.write()
        self.configure()
        self.now += 2 * DAY
        joined, (event,) = self.link()
        self.assertFalse(joined.alive)
        self.assertEqual(UNSURE, event["reason"])

    def test_an_intermediate_that_the_ven_sends_along_is_looked_at(self) -> None:
        intermediate = self.authority.issue_authority("VENs")
        self.write(intermediate.credential.certificate)
        self.configure(crl_failure="soft")
        joined, _ = self.link(intermediate.issue_client("ven1"))
        self.assertFalse(joined.alive)

    def test_the_chain_of_a_connection_can_be_looked_at_later(self) -> None:
        self.write()
        self.configure()
        joined, _ = self.link()
        chain = verified_chain(joined.server.transport)
        self.assertEqual([self.ven, self.root], chain)
        self.write(self.ven)
        self.look()
        self.assertEqual(REVOKED, self.revocation.revoked(chain))
        self.assertEqual([], verified_chain(None))

    def test_what_a_handshake_needed_is_not_kept_with_the_connection(self) -> None:
        joined, _ = self.link()
        handle: Any = joined.server.transport.getHandle()  # type: ignore[union-attr]
        self.assertIsInstance(handle, SSL.Connection)
        self.assertEqual([], handle._chain)

    def test_a_certificate_that_a_proxy_passes_on_is_held_against_the_lists_too(self) -> None:
        self.write(self.ven)
        self.configure()
        server = TlsServer(link.settings, self.revocation.refusal)
        error = self.assertRaises(ValueError, server.check, self.ven)
        self.assertEqual(REVOKED, str(error))
        server.check(self.authority.issue_client("ven2").certificate)
