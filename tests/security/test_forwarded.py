"""Certificates that a proxy passes on: how they are read, and who vouches for them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security.certificates import SERVER_AUTH, Authority
from oadrvtn.security.forwarded import FORMS, Unreadable, read
from tests.security.link import authority, server_ec, tls_server, ven

PEM = ven().chain_pem.decode()
ESCAPED = quote(PEM, safe="").encode()
XFCC = b'By=spiffe://vtn;Hash=00ff;Cert="%b";Subject="CN=a\\"b,O=c";URI=' % ESCAPED


class ReadTests(SynchronousTestCase):
    def test_the_forms_of_nginx_and_envoy_are_read(self) -> None:
        for form, value in (("nginx", ESCAPED), ("nginx", b" %b " % ESCAPED), ("envoy", XFCC)):
            self.assertEqual(ven().certificate, read(form, [value]))
        for value in (b"Cert=%b" % ESCAPED, b'Hash=1;cert="%b"' % ESCAPED):
            self.assertEqual(ven().certificate, read("envoy", [value]))

    def test_what_is_not_exactly_one_certificate_is_refused(self) -> None:
        two = quote(PEM + PEM, safe="").encode()
        for form, values in (
            ("nginx", []),
            ("nginx", [ESCAPED, ESCAPED]),
            ("nginx", [b""]),
            ("nginx", [two]),
            ("nginx", [ESCAPED[:-40]]),
            ("nginx", [b"-----BEGIN CERTIFICATE-----"]),
            ("nginx", [b"%00%ff"]),
            ("nginx", [XFCC]),
            ("nginx", [ESCAPED[:100] + b"\t" + ESCAPED[100:]]),
            ("envoy", []),
            ("envoy", [XFCC, XFCC]),
            ("envoy", [XFCC + b"," + XFCC]),
            ("envoy", [b'Hash=1;Cert="%b",Hash=2' % ESCAPED]),
            ("envoy", [b'Cert="%b";Cert="%b"' % (ESCAPED, ESCAPED)]),
            ("envoy", [b'Subject=";Cert=%b"' % ESCAPED]),
            ("envoy", [b'Cert="%b' % ESCAPED]),
            ("envoy", [b"Hash=1"]),
            ("envoy", [ESCAPED]),
        ):
            self.assertRaises(Unreadable, read, form, values)

    @given(st.sampled_from(sorted(FORMS)), st.one_of(st.binary(), st.binary().map(lambda data: b'Cert="%b"' % data)))
    def test_whatever_the_header_holds_is_read_or_refused(self, form: str, value: bytes) -> None:
        self.assertRaises(Unreadable, read, form, [value])


class CheckTests(SynchronousTestCase):
    def test_who_has_a_certificate_of_a_configured_authority_is_let_in(self) -> None:
        tls_server().check(ven().certificate)
        tls_server().check(server_ec().certificate)  # which is for clients as well

    def test_all_others_are_not(self) -> None:
        long_ago = datetime.now(UTC) - timedelta(days=10_000)
        old = Authority(authority().credential, lambda: long_ago)
        for certificate in (
            Authority.create("another CA").issue_client("ven1").certificate,
            old.issue_client("ven1").certificate,
            authority()._issue_leaf("server", False, [SERVER_AUTH]).certificate,
        ):
            self.assertRaises(ValueError, tls_server().check, certificate)

    def test_a_leaf_below_an_intermediate_needs_that_in_the_ca_files(self) -> None:
        middle = authority().issue_authority("middle")
        leaf = middle.issue_client("leaf").certificate
        self.assertRaises(ValueError, tls_server().check, leaf)
        both = (authority().credential.certificate, middle.credential.certificate)
        tls_server(authorities=both).check(leaf)
        tls_server(authorities=both[1:]).check(leaf)
