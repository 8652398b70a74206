"""What responders say of certificates: what is believed, for how long, and what becomes of the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as wire
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Revocation
from oadrvtn.security.certificates import Authority
from oadrvtn.security.ocsp import AT_ONCE, NO_ANSWER, PAUSE, Answer, Ocsp
from oadrvtn.security.revocation import REVOKED
from tests.security import link
from tests.security.responder import Responder, delegate, failing

URL = "http://ocsp.example/"


class OcspTestCase(SynchronousTestCase):
    set_by = 0
    """Seconds by which the clock on the wall was set."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(datetime.now(UTC).timestamp())
        self.authority = link.authority()
        self.responder = Responder(self.authority, self.now)
        self.responder.knows(link.ven().certificate)
        self.urls: list[str] = []
        self.came: Any = None
        self.ocsp = Ocsp(self.fetch, self.clock, self.now)
        self.configure()
        self.chain = [link.ven().certificate, self.authority.credential.certificate]

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.seconds() + self.set_by, UTC).replace(microsecond=0)

    def configure(self, **settings: Any) -> None:
        self.ocsp.configure(Revocation(**{"ocsp": "hard", "ocsp_responder": URL} | settings))

    def fetch(self, url: str, kind: str, body: bytes) -> Deferred[bytes]:
        self.assertEqual("application/ocsp-request", kind)
        self.urls.append(url)
        return succeed(self.responder.answer(body)) if self.came is None else self.came

    def ask(self, chain: Any = None) -> Answer:
        return self.successResultOf(self.ocsp.ask(chain or self.chain))

    def failed(self, reason: str) -> None:
        answer = self.ask()
        self.assertEqual("failed", answer.status)
        self.assertIn(reason, answer.reason)
        self.assertEqual(NO_ANSWER, self.ocsp.refusal(answer))
        self.configure(ocsp="soft")
        self.assertIsNone(self.ocsp.refusal(answer))


class AnswerTests(OcspTestCase):
    def test_a_good_certificate_is_taken(self) -> None:
        answer = self.ask()
        self.assertEqual(("good", None), (answer.status, self.ocsp.refusal(answer)))
        self.assertEqual([URL], self.urls)

    def test_a_revoked_one_is_refused_also_where_it_is_soft(self) -> None:
        self.responder.status = wire.OCSPCertStatus.REVOKED
        for level in ("hard", "soft"):
            self.configure(ocsp=level)
            answer = self.ask()
            self.assertEqual(("revoked", REVOKED), (answer.status, self.ocsp.refusal(answer)))

    def test_one_that_the_responder_does_not_know_is_refused_where_it_is_hard(self) -> None:
        self.responder.status = wire.OCSPCertStatus.UNKNOWN
        answer = self.ask()
        self.assertEqual(("unknown", NO_ANSWER), (answer.status, self.ocsp.refusal(answer)))
        self.configure(ocsp="soft")
        self.assertIsNone(self.ocsp.refusal(answer))

    def test_a_responder_with_a_certificate_for_that_may_sign(self) -> None:
        self.responder.signer = delegate(self.authority)
        self.assertEqual("good", self.ask().status)

    def test_nobody_else_may_sign(self) -> None:
        other = Authority.create("another CA")
        client = delegate(self.authority, ExtendedKeyUsageOID.CLIENT_AUTH)
        for signer in (other.credential, delegate(other), client, link.ven()):
            self.ocsp = Ocsp(self.fetch, self.clock, self.now)
            self.configure()
            self.responder.signer = signer
            self.failed("not signed for this authority")

    def test_a_responder_whose_certificate_is_over_may_not(self) -> None:
        self.responder.signer = delegate(self.authority)
        self.clock.advance(826 * 86400)
        self.failed("not signed for this authority")

    def test_an_answer_about_another_certificate_is_none(self) -> None:
        self.responder.about = link.server_ec().certificate
        self.failed("about another certificate")

    def test_neither_is_one_with_another_kind_of_certificate_id(self) -> None:
        self.responder.hash = SHA256()
        self.failed("about another certificate")

    def test_an_answer_that_is_over_is_none(self) -> None:
        self.responder.age = timedelta(hours=1)
        self.failed("not of now")

    def test_an_answer_of_tomorrow_is_none(self) -> None:
        self.responder.age = -timedelta(hours=1)
        self.failed("not of now")

    def test_an_answer_without_an_end_is_good_for_the_longest_time(self) -> None:
        self.responder.life = None
        self.responder.age = timedelta(minutes=59)
        self.assertEqual("good", self.ask().status)
        self.ocsp = Ocsp(self.fetch, self.clock, self.now)
        self.configure(ocsp_max_age="58m")
        self.failed("not of now")

    def test_garbage_is_none(self) -> None:
        for came, reason in ((b"", "no OCSP"), (b"<html/>", "no OCSP"), (failing(), "try_later")):
            self.ocsp = Ocsp(self.fetch, self.clock, self.now)
            self.configure()
            self.came = succeed(came)
            self.failed(reason)

    def test_an_answer_that_was_cut_or_changed_is_none(self) -> None:
        self.ask()
        whole = self.responder.answer(self.request())
        for place in range(0, len(whole), 7):
            changed = bytearray(whole)
            changed[place] ^= 1
            for came in (bytes(changed), whole[:place]):
                self.ocsp = Ocsp(self.fetch, self.clock, self.now)
                self.configure()
                self.came = succeed(came)
                # The nonce in it is of another question in any case.
                self.assertEqual("failed", self.ask().status)

    def request(self) -> bytes:
        return self.responder.asked[-1].public_bytes(Encoding.DER)

    def test_the_nonce_of_another_question_is_refused(self) -> None:
        self.responder.nonce = b"x" * 16
        self.failed("nonce of another question")

    def test_an_answer_without_a_nonce_is_taken_unless_it_is_required(self) -> None:
        self.responder.nonce = None
        self.assertEqual("good", self.ask().status)
        self.configure(ocsp_nonce="require")
        self.failed("has no nonce")


class FetchTests(OcspTestCase):
    def test_a_responder_that_does_not_answer_is_given_up_and_left_alone_for_a_while(self) -> None:
        self.came = Deferred()
        asked = self.ocsp.ask(self.chain)
        self.clock.advance(4.9)
        self.assertNoResult(asked)
        self.clock.advance(0.2)
        self.assertIn("does not answer", self.successResultOf(asked).reason)
        self.responder.knows(link.server_ec().certificate)
        other = self.ask([link.server_ec().certificate, self.chain[1]])
        self.assertIn("a moment ago", other.reason)
        self.assertEqual(1, len(self.urls))
        self.clock.advance(PAUSE)
        self.came = None
        self.assertEqual("good", self.ask().status)

    def test_one_that_cannot_be_reached_is_told(self) -> None:
        self.came = fail(ConnectionRefusedError())
        self.failed("refused")

    def test_who_asks_meanwhile_waits_for_the_same_answer(self) -> None:
        self.came = Deferred()
        asked = [self.ocsp.ask(self.chain) for _ in range(3)]
        self.assertEqual(1, len(self.urls))
        self.came.callback(b"")
        self.assertEqual({"failed"}, {self.successResultOf(each).status for each in asked})

    def test_only_so_many_are_asked_at_once(self) -> None:
        leaves = [self.authority.issue_client(f"ven-{number}").certificate for number in range(AT_ONCE + 5)]
        open: list[Deferred[bytes]] = []

        def fetch(url: str, kind: str, body: bytes) -> Deferred[bytes]:
            open.append(Deferred())
            return open[-1]

        self.ocsp = Ocsp(fetch, self.clock, self.now)
        self.configure()
        asked = [self.ocsp.ask([leaf, self.chain[1]]) for leaf in leaves]
        self.assertEqual(AT_ONCE, len(open))
        for one in list(open):
            one.errback(ConnectionRefusedError())
        self.assertEqual({"failed"}, {self.successResultOf(each).status for each in asked})
        self.assertEqual(AT_ONCE, len(open))

    def test_an_answer_is_believed_until_its_end(self) -> None:
        self.ask()
        self.clock.advance(599)
        self.ask()
        self.assertEqual(1, len(self.urls))
        self.clock.advance(2)
        self.ask()
        self.assertEqual(2, len(self.urls))

    def test_and_never_longer_than_the_configuration_says(self) -> None:
        self.configure(ocsp_max_age="2m")
        self.ask()
        self.clock.advance(121)
        self.ask()
        self.assertEqual(2, len(self.urls))

    def test_a_clock_that_is_set_changes_neither_what_is_believed_nor_for_how_long(self) -> None:
        for number, self.set_by in enumerate((3600, -3600), 1):
            self.assertEqual("good", self.ask().status)
            self.assertEqual(number, len(self.urls))
            self.clock.advance(599)
            self.ask()
            self.assertEqual(number, len(self.urls))
            self.clock.advance(2)

    def test_only_so_many_answers_are_kept(self) -> None:
        self.configure(ocsp_cache=2)
        leaves = [self.authority.issue_client(f"ven-{number}").certificate for number in range(3)]
        self.responder.knows(*leaves)
        for leaf in (*leaves, leaves[2], leaves[1]):
            self.ask([leaf, self.chain[1]])
        self.assertEqual(3, len(self.urls))
        self.ask([leaves[0], self.chain[1]])
        self.assertEqual(4, len(self.urls))

    def test_a_handshake_goes_by_what_is_remembered(self) -> None:
        self.assertIsNone(self.ocsp.remembered(self.chain))
        self.responder.status = wire.OCSPCertStatus.REVOKED
        self.ask()
        self.assertEqual(REVOKED, self.ocsp.remembered(self.chain))
        self.clock.advance(3601)
        self.assertIsNone(self.ocsp.remembered(self.chain))

    def test_what_came_is_counted(self) -> None:
        self.ask()
        self.ask()
        self.assertEqual({"good": 1}, dict(self.ocsp.answers))


class UrlTests(OcspTestCase):
    def certificate(self, *urls: str) -> x509.Certificate:
        places = [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))
            for url in urls
        ]
        issuer = self.authority.credential
        leaf = link.ven().certificate
        builder = x509.CertificateBuilder(
            issuer.certificate.subject, leaf.subject, leaf.public_key(), 7, self.now(), self.now() + timedelta(days=1)
        )
        found = builder.add_extension(x509.AuthorityInformationAccess(places), False).sign(issuer.key, SHA256())
        self.responder.knows(found)
        return found

    def test_a_certificate_names_the_responder_only_where_that_is_allowed(self) -> None:
        chain = [self.certificate("http://named.example/"), self.chain[1]]
        self.assertEqual("good", self.ask(chain).status)
        self.configure(ocsp_responder=None, ocsp_from_certificate=True)
        self.assertEqual("good", self.ask(chain).status)
        self.assertEqual([URL, "http://named.example/"], self.urls)

    def test_one_that_is_configured_is_asked_instead(self) -> None:
        self.configure(ocsp_from_certificate=True)
        self.ask([self.certificate("http://named.example/"), self.chain[1]])
        self.assertEqual([URL], self.urls)

    def test_nothing_but_http_is_asked(self) -> None:
        self.configure(ocsp_responder=None, ocsp_from_certificate=True)
        for url in ("https://x.example/", "file:///etc/passwd", "ldap://x.example/", "gopher://x/", "x"):
            self.ocsp = Ocsp(self.fetch, self.clock, self.now)
            self.configure(ocsp_responder=None, ocsp_from_certificate=True)
            answer = self.ask([self.certificate(url), self.chain[1]])
            self.assertEqual(("failed", "no responder is known for it"), (answer.status, answer.reason))
        self.assertEqual([], self.urls)

    def test_a_certificate_that_names_none_has_none(self) -> None:
        self.configure(ocsp_responder=None, ocsp_from_certificate=True)
        self.failed("no responder is known")
