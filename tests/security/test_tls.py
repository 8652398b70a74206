"""Mutual TLS, joined in memory: who gets in with what, who does not, and what the log says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import attrs
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import TLSVersion
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security import certificates, tls
from oadrvtn.security.certificates import Authority, CertificateFileError, Credential
from oadrvtn.security.tls import (
    OperatorTls,
    ServerTls,
    TlsServer,
    client_policies,
    client_policy,
    own_certificate,
    peer_certificate,
)
from tests.security import link
from tests.security.link import Link, RawClient, anonymous, client, tls_1_2, tls_server


def certificate(authority: Authority) -> Any:
    return authority.credential.certificate


class ServedTests(SynchronousTestCase):
    def test_tls_1_3_and_1_2_both_work(self) -> None:
        self.assertEqual(self.served(client()).get_protocol_version_name(), "TLSv1.3")
        old = client(lowerMaximumSecurityTo=TLSVersion.TLSv1_2)
        self.assertEqual(self.served(old).get_protocol_version_name(), "TLSv1.2")

    def served(self, creator: Any, server: TlsServer | None = None) -> SSL.Connection:
        joined = Link(server or tls_server(), creator)
        self.assertTrue(joined.alive, joined.client.lost)
        return joined.handle

    def test_every_suite_of_tls_1_2_picks_the_certificate_that_fits(self) -> None:
        """Both of OpenADR's are among them, for VENs with an EC and with an RSA certificate."""
        rsa_ven = link.authority().issue_client("ven2", rsa=True)
        for suite, shown in (
            ("ECDHE-ECDSA-AES128-SHA256", link.server_ec()),
            ("AES128-SHA256", link.server_rsa()),
            ("ECDHE-RSA-AES128-SHA256", link.server_rsa()),
            ("ECDHE-ECDSA-AES128-GCM-SHA256", link.server_ec()),
            ("ECDHE-RSA-AES128-GCM-SHA256", link.server_rsa()),
            ("ECDHE-ECDSA-AES256-GCM-SHA384", link.server_ec()),
            ("ECDHE-RSA-AES256-GCM-SHA384", link.server_rsa()),
            ("ECDHE-ECDSA-CHACHA20-POLY1305", link.server_ec()),
            ("ECDHE-RSA-CHACHA20-POLY1305", link.server_rsa()),
        ):
            for credential in (link.ven(), rsa_ven):
                handle = self.served(client(credential, **tls_1_2(suite)))
                self.assertEqual(handle.get_cipher_name(), suite)
                self.assertEqual(handle.get_peer_certificate(as_cryptography=True), shown.certificate)

    def test_modern_suites_come_first_whatever_the_client_prefers(self) -> None:
        handle = self.served(client(**tls_1_2("AES128-SHA256:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-GCM-SHA256")))
        self.assertEqual(handle.get_cipher_name(), "ECDHE-RSA-AES128-GCM-SHA256")

    def test_each_certificate_travels_with_its_own_intermediates(self) -> None:
        intermediates = {
            suite: link.authority().issue_authority(f"intermediate of {suite}")
            for suite in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA256")
        }
        ec, rsa = intermediates.values()
        server = tls_server(credentials=(ec.issue_server(["localhost"]), rsa.issue_server(["localhost"], rsa=True)))
        for suite, intermediate in intermediates.items():
            chain = self.served(client(**tls_1_2(suite)), server).get_peer_cert_chain(as_cryptography=True)
            assert chain is not None
            self.assertEqual(chain[1:], [certificate(intermediate)])

    def test_a_ven_that_sends_only_its_leaf_is_verified_by_the_intermediate_in_the_ca_file(self) -> None:
        intermediate = link.authority().issue_authority("VENs")
        leaf_only = attrs.evolve(intermediate.issue_client("ven1"), chain=())
        known = (certificate(link.authority()), certificate(intermediate))
        joined = Link(tls_server(authorities=known), client(leaf_only))
        self.assertTrue(joined.alive)
        self.assertEqual(self.anchor(joined), certificate(link.authority()))
        self.assertFalse(Link(tls_server(), client(leaf_only)).alive)

    def anchor(self, joined: Link) -> Any:
        """The certificate at which the server stopped looking."""
        handle: SSL.Connection = joined.server.transport.getHandle()  # type: ignore[union-attr]
        chain = handle.get_verified_chain(as_cryptography=True)
        assert chain
        return chain[-1]

    def test_clients_are_told_which_authorities_count(self) -> None:
        names = self.served(client()).get_client_ca_list()
        self.assertEqual([name.CN for name in names], ["oadrvtn demonstration CA"])

    def test_a_ven_that_sends_its_chain_needs_only_the_root_in_the_ca_file(self) -> None:
        self.served(client(link.authority().issue_authority("VENs").issue_client("ven1")))

    def test_an_intermediate_alone_is_trusted_without_its_root(self) -> None:
        intermediate = link.authority().issue_authority("VENs")
        server = tls_server(authorities=(certificate(intermediate),))
        joined = Link(server, client(intermediate.issue_client("ven1")))
        self.assertTrue(joined.alive)
        self.assertEqual(self.anchor(joined), certificate(intermediate))
        sibling = link.authority().issue_authority("others").issue_client("ven1")
        self.assertFalse(Link(server, client(sibling)).alive)

    def test_http_1_1_is_all_that_is_ever_agreed_on(self) -> None:
        for offered, agreed in (
            ([b"h2", b"http/1.1"], b"http/1.1"),
            ([b"h2"], b""),
            ([b"http/1.1"], b"http/1.1"),
            ([], b""),
        ):
            raw = RawClient(link.ven())
            raw.alpn = offered
            self.assertEqual(self.served(raw).get_alpn_proto_negotiated(), agreed)

    def test_a_session_is_never_resumed(self) -> None:
        """So the certificate is verified on every connection."""
        verified = []

        def spy(connection: Any, certificate: Any, error: int, depth: int, ok: int) -> bool:
            verified.append(depth)
            return bool(ok)

        self.patch(tls, "_verified", spy)
        for version in (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION):
            server, raw = tls_server(), RawClient(link.ven())
            raw.context.set_max_proto_version(version)
            raw.session = self.served(raw, server).get_session()
            self.served(raw, server)
        self.assertEqual(verified.count(0), 4)

    def test_a_good_certificate_is_not_described(self) -> None:
        self.patch(tls, "printable", lambda text: self.fail("it was"))
        self.assertTrue(Link(tls_server(), client()).alive)

    def test_renegotiation_and_compression_are_off(self) -> None:
        options = tls_server()._context.set_options(0)
        for wanted in (SSL.OP_NO_RENEGOTIATION, SSL.OP_NO_COMPRESSION, SSL.OP_NO_TICKET):
            self.assertTrue(options & wanted)

    def test_the_certificate_that_the_peer_showed_is_read_from_the_transport(self) -> None:
        joined = Link(tls_server(), client())
        der = link.ven().certificate.public_bytes(Encoding.DER)
        self.assertEqual(peer_certificate(joined.server.transport), der)
        self.assertIsNone(peer_certificate(StringTransport()))
        self.assertIsNone(peer_certificate(None))

    def test_so_is_the_one_that_we_showed_of_two(self) -> None:
        for options, credential in (
            ({}, link.server_ec()),
            (tls_1_2("AES128-SHA256"), link.server_rsa()),
            (tls_1_2("ECDHE-ECDSA-AES128-SHA256"), link.server_ec()),
        ):
            joined = Link(tls_server(), client(**options))
            shown = credential.certificate.public_bytes(Encoding.DER)
            self.assertEqual(own_certificate(joined.server.transport), shown)
        self.assertIsNone(own_certificate(StringTransport()))
        self.assertIsNone(own_certificate(None))


class RefusedTests(SynchronousTestCase):
    def refused(self, creator: Any, **changes: Any) -> dict[str, Any]:
        """The one log event about the refusal."""
        server = tls_server(**changes)
        with capturedLogs() as events:
            joined = Link(server, creator)
        self.assertFalse(joined.alive)
        self.assertEqual(joined.server.received, b"")
        (event,) = (event for event in events if event["log_namespace"] == "oadrvtn.security.tls")
        self.assertEqual(event["log_level"], LogLevel.warn)
        self.assertEqual(dict(server.refused), {event["reason"]: 1})
        text = formatEvent(event)
        self.assertTrue(text.isprintable(), text)
        self.assertIn(event["reason"], text)
        return event

    def test_no_certificate(self) -> None:
        for options in ({}, {"lowerMaximumSecurityTo": TLSVersion.TLSv1_2}):
            event = self.refused(anonymous(**options))
            self.assertEqual(event["reason"], "peer did not return a certificate")

    def test_a_certificate_of_another_authority(self) -> None:
        foreign = Authority.create("another CA").issue_client("ven1")
        for options in ({}, {"lowerMaximumSecurityTo": TLSVersion.TLSv1_2}):
            event = self.refused(client(foreign, **options))
            self.assertEqual(event["reason"], "unable to get issuer cert locally")
            self.assertEqual(event["depth"], 0)
            self.assertEqual(event["subject"], "CN=ven1,O=oadrvtn demonstration")

    def test_a_root_that_a_stranger_sends_along_is_told_with_its_depth(self) -> None:
        foreign = Authority.create("another CA")
        event = self.refused(client(attrs.evolve(foreign.issue_client("ven1"), chain=(certificate(foreign),))))
        self.assertEqual(event["reason"], "self signed cert in chain")
        self.assertEqual(event["depth"], 1)
        self.assertIn("another CA", event["subject"])

    def test_an_authority_of_the_same_name(self) -> None:
        self.refused(client(Authority.create().issue_client("ven1")))

    def test_an_expired_certificate_and_one_of_the_future(self) -> None:
        """By OpenSSL's clock, which is the real one."""
        for days, reason in ((-1000, "cert has expired"), (30, "cert not yet valid")):
            then = datetime.now(UTC) + timedelta(days)
            authority = attrs.evolve(link.authority(), now=partial(datetime.fromtimestamp, then.timestamp(), UTC))
            event = self.refused(client(authority.issue_client("ven1")))
            self.assertEqual((event["reason"], event["depth"]), (reason, 0))

    def test_a_certificate_that_is_not_for_clients(self) -> None:
        usages = [certificates.SERVER_AUTH]
        event = self.refused(client(link.authority()._issue_leaf("ven1", False, usages)))
        self.assertEqual(event["reason"], "invalid purpose")

    def test_the_subject_in_the_log_is_escaped(self) -> None:
        event = self.refused(client(Authority.create("x").issue_client("ven1\nTLS handshake refused: no")))
        self.assertIn(r"ven1\nTLS", event["subject"])

    def test_aes128_sha256_when_it_is_switched_off(self) -> None:
        event = self.refused(client(**tls_1_2("AES128-SHA256")), allow_aes128_sha256=False)
        self.assertEqual(event["reason"], "no shared cipher")

    def test_tls_1_1(self) -> None:
        """Not even if OpenSSL's security level would let it pass."""
        self.patch(tls, "CIPHERS", (*tls.CIPHERS, "AES128-SHA", "@SECLEVEL=0"))
        raw = RawClient(link.ven())
        raw.context.set_cipher_list(b"ALL:@SECLEVEL=0")
        raw.context.set_min_proto_version(SSL.TLS1_VERSION)
        raw.context.set_max_proto_version(SSL.TLS1_1_VERSION)
        event = self.refused(raw)
        self.assertEqual(event["reason"], "unsupported protocol")

    def test_the_client_that_refuses_us_is_told_too(self) -> None:
        """Such as a VEN that does not have our root; one that dislikes our name may just hang up."""
        elsewhere = client_policy(link.ven(), [certificate(Authority.create("another CA"))])
        event = self.refused(elsewhere.creatorForNetloc(b"localhost", 8443))
        self.assertIn("alert unknown ca", event["reason"])

    def test_plain_http(self) -> None:
        server = tls_server()
        factory = TLSMemoryBIOFactory(server, False, Factory.forProtocol(Protocol), clock=Clock())
        protocol = factory.buildProtocol(IPv4Address("TCP", "192.168.1.1", 54321))
        transport = StringTransport()
        protocol.makeConnection(transport)
        with capturedLogs() as events:
            for _ in range(2):
                protocol.dataReceived(b"POST /OpenADR2/Simple/2.0b/OadrPoll HTTP/1.1\r\n")
        self.assertEqual(server.refused, {"http request": 1})
        self.assertTrue(transport.disconnecting)
        self.assertEqual([event["reason"] for event in events], ["http request"])
        self.assertEqual(events[0]["peer"], "192.168.1.1")

    def test_counted_reasons_are_limited(self) -> None:
        server = tls_server()
        server.refused.update(str(n) for n in range(64))
        Link(server, anonymous())
        Link(server, anonymous())
        self.assertEqual(len(server.refused), 65)
        self.assertEqual(server.refused["other"], 2)


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = link.new_directory(self)
        self.write(vtn=link.server_ec(), ca=link.authority().credential)
        self.file = self.directory / "vtn.crt"
        self.ca = self.directory / "ca.crt"
        self.read = partial(ServerTls.load, [(self.file, self.directory / "vtn.key")], [self.ca])
        self.server = TlsServer(self.read)

    def write(self, **credentials: Credential) -> None:
        for path in self.directory.glob("*"):
            if path.stem in credentials:
                path.unlink()
        certificates._write(self.directory, credentials)

    def shown(self, joined: Link) -> Any:
        return joined.handle.get_peer_certificate(as_cryptography=True)

    def test_new_connections_see_the_new_certificate_and_running_ones_go_on(self) -> None:
        running = Link(self.server, client())
        renewed = link.authority().issue_server(["localhost"])
        self.write(vtn=renewed)
        self.assertEqual(self.shown(Link(self.server, client())), link.server_ec().certificate)
        self.server.reload()
        self.assertEqual(self.shown(Link(self.server, client())), renewed.certificate)
        self.assertTrue(running.says(b"still here"))

    def test_an_authority_that_was_taken_out_lets_nobody_in_any_more(self) -> None:
        self.write(ca=Authority.create("another CA").credential)
        self.server.reload()
        self.assertFalse(Link(self.server, client()).alive)

    def test_a_broken_file_keeps_the_old_settings_and_says_so(self) -> None:
        for path in (self.file, self.directory / "vtn.key", self.ca):
            content = path.read_bytes()
            for broken in (b"", content[:100], link.ven().chain_pem + link.ven().key_pem):
                path.write_bytes(broken)
                with capturedLogs() as events:
                    error = self.assertRaises(CertificateFileError, self.server.reload)
                (event,) = (event for event in events if event["log_level"] is LogLevel.error)
                self.assertIn(str(error), formatEvent(event))
                self.assertIn(str(self.directory), str(error))
                self.assertEqual(self.shown(Link(self.server, client())), link.server_ec().certificate)
            path.write_bytes(content)
        self.server.reload()

    def test_at_the_first_load_the_error_flies(self) -> None:
        self.ca.unlink()
        error = self.assertRaises(CertificateFileError, TlsServer, self.read)
        self.assertEqual(error.path, str(self.ca))

    def test_a_leaf_among_the_authorities_is_refused_by_name(self) -> None:
        self.ca.write_bytes(link.ven().chain_pem)
        error = self.assertRaises(CertificateFileError, TlsServer, self.read)
        self.assertEqual(error.reason, "CN=ven1,O=oadrvtn demonstration is not the certificate of a CA")

    def test_two_certificates_with_the_same_kind_of_key_are_refused(self) -> None:
        credentials = (link.server_ec(), link.authority().issue_server(["localhost"]))
        error = self.assertRaises(CertificateFileError, tls_server, credentials=credentials)
        self.assertIn("same kind of key", error.reason)

    def test_what_openssl_does_not_take_is_refused_by_name(self) -> None:
        key = rsa.generate_private_key(65537, 1024)
        self.patch(rsa, "generate_private_key", lambda *wanted: key)
        weak = attrs.evolve(link.authority().issue_server(["localhost"], rsa=True), source="weak.crt")
        error = self.assertRaises(CertificateFileError, tls_server, credentials=(weak,))
        self.assertEqual(str(error), "weak.crt: TLS refuses it: ee key too small")

    def test_without_certificates_or_authorities_there_is_no_server(self) -> None:
        self.assertRaises(ValueError, tls_server, credentials=())
        self.assertRaises(ValueError, tls_server, authorities=())


class ClientTests(SynchronousTestCase):
    def test_the_server_must_have_the_name_that_was_asked_for(self) -> None:
        self.assertTrue(Link(tls_server(), client(host=b"127.0.0.1")).alive)
        for host in (b"127.0.0.2", b"vtn.example"):
            joined = Link(tls_server(), client(host=host))
            self.assertFalse(joined.alive)
            self.assertIsNotNone(joined.client.lost)

    def test_the_server_must_be_vouched_for(self) -> None:
        stranger = Authority.create().issue_server(["localhost"])
        self.assertFalse(Link(tls_server(credentials=(stranger,)), client()).alive)

    def test_a_ven_cannot_pass_itself_off_as_the_vtn(self) -> None:
        """Not even to a client that looks at the authority only, and never at the name."""
        raw = RawClient(link.ven())
        directory = link.new_directory(self)
        certificates._write(directory, {"ca": link.authority().credential})
        raw.context.load_verify_locations(directory / "ca.crt")
        raw.context.set_verify(SSL.VERIFY_PEER)
        self.assertTrue(Link(tls_server(), raw).alive)
        self.assertFalse(Link(tls_server(credentials=(link.authority().issue_client("ven2"),)), raw).alive)


class ManyClientsTests(SynchronousTestCase):
    def test_each_shows_its_own_certificate_on_what_they_share(self) -> None:
        policy = client_policies([certificate(link.authority())])
        server, ports = link.tls_server(), set()
        for name in ("one", "two"):
            credential = link.authority().issue_client(name)
            creator: Any = policy(credential).creatorForNetloc(b"localhost", 443)
            joined = Link(server, creator)
            self.assertTrue(joined.says(b"hello"))
            self.assertEqual(
                credential.certificate.public_bytes(Encoding.DER), peer_certificate(joined.server.transport)
            )
            ports.add(id(creator.creator))
        self.assertEqual(1, len(ports), "the context is one")

    def test_the_server_must_have_the_name_that_was_asked_for(self) -> None:
        policy = client_policies([certificate(link.authority())])
        creator: Any = policy(link.ven()).creatorForNetloc(b"elsewhere.example", 443)
        self.assertFalse(Link(link.tls_server(), creator).says(b"hello"))


class OperatorTests(SynchronousTestCase):
    """The API's side, whose clients show a token."""

    def setUp(self) -> None:
        self.shown = [link.server_ec()]
        self.server = OperatorTls(lambda: self.shown[-1])

    def test_a_client_without_a_certificate_is_served_and_asked_for_none(self) -> None:
        joined = Link(self.server, link.anonymous())
        self.assertTrue(joined.alive)
        self.assertEqual([], joined.handle.get_client_ca_list())

    def test_old_versions_and_suites_that_do_not_authenticate_are_refused(self) -> None:
        for suite in ("AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256"):
            self.assertFalse(Link(self.server, link.anonymous(**tls_1_2(suite))).alive, suite)
        raw = RawClient()
        raw.context.set_max_proto_version(SSL.TLS1_1_VERSION)
        raw.context.set_cipher_list(b"ALL:@SECLEVEL=0")
        self.assertFalse(Link(self.server, raw).alive)

    def test_a_new_certificate_is_shown_after_a_reload_and_a_bad_one_changes_nothing(self) -> None:
        def bad() -> Credential:
            raise CertificateFileError("api.crt", "is empty")

        renewed = link.authority().issue_server(["localhost"])
        self.shown.append(renewed)
        self.server.reload()
        self.server._read = bad
        self.assertRaises(CertificateFileError, self.server.reload)
        joined = Link(self.server, link.anonymous())
        self.assertEqual(renewed.certificate, joined.handle.get_peer_certificate(as_cryptography=True))
