"""Traces: what is kept of messages is bounded, and shows no secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import TraceLimits
from oadrvtn.vtn.traces import Traced, Traces, who
from tests.vtn.house import START

SECRETS = ("registrationID", "oadrTransportAddress", "SignatureValue", "DigestValue", "nonce")


def kept(document: bytes, **limits: Any) -> Traced:
    """How a document is kept that is the only one."""
    traces = Traces(TraceLimits(**limits), lambda: START)
    traces.note(b"x", "in", document, **TOLD)
    (message,) = traces.since(b"x")
    return message


TOLD: Any = {"peer": "192.0.2.1", "service": "EiEvent", "name": "oadrCreatedEvent", "code": "200"}


class BoundTests(SynchronousTestCase):
    def traces(self, **limits: Any) -> Traces:
        return Traces(TraceLimits(**limits), lambda: START)

    def note(self, traces: Traces, of: bytes, *documents: bytes) -> None:
        for document in documents:
            traces.note(of, "in", document, **TOLD)

    def heads(self, traces: Traces, of: bytes) -> list[bytes]:
        return [message.head for message in traces.since(of)]

    def test_a_ven_has_so_many_messages_and_loses_the_oldest(self) -> None:
        traces = self.traces(messages=2)
        self.note(traces, b"x", b"1", b"2", b"3")
        self.note(traces, b"y", b"4")
        self.assertEqual(([b"2", b"3"], [b"4"]), (self.heads(traces, b"x"), self.heads(traces, b"y")))

    def test_a_document_is_kept_from_its_beginning(self) -> None:
        message = kept(b"0123456789", message_size=4)
        self.assertEqual((b"0123", 10), (message.head, message.size))
        self.assertEqual("0123\n... and 6 bytes more", message.document)

    def test_who_was_quiet_for_longest_is_forgotten_first(self) -> None:
        traces = self.traces(memory=10_000, messages=1000)
        for of in (b"quiet", b"busy", b"x", b"busy", b"y", b"busy"):
            self.note(traces, of, b"." * 500)
        self.note(traces, b"z", b"." * 500)
        self.assertEqual([], self.heads(traces, b"quiet"))
        self.assertEqual(3, len(self.heads(traces, b"busy")))
        self.note(traces, b"flood", *[b"." * 500] * 100)
        self.assertEqual([0] * 4, [len(self.heads(traces, of)) for of in (b"busy", b"x", b"y", b"z")])
        self.assertEqual(6, len(self.heads(traces, b"flood")))

    @given(st.lists(st.tuples(st.sampled_from([b"x", b"y", b"z"]), st.integers(0, 4000))))
    def test_it_never_weighs_more_than_it_may(self, sizes: list[tuple[bytes, int]]) -> None:
        traces = self.traces(memory=6000, messages=3, message_size=3000)
        for of, size in sizes:
            self.note(traces, of, b"." * size)
            messages = [message for of in (b"x", b"y", b"z") for message in traces.since(of)]
            self.assertLessEqual(sum(1000 + len(message.head) for message in messages), 6000)
            self.assertEqual(size, messages and max(messages, key=lambda message: message.number).size)

    def test_it_can_be_switched_off(self) -> None:
        traces = self.traces(messages=0)
        self.note(traces, b"x", b"1")
        self.assertEqual([], self.heads(traces, b"x"))

    def test_what_came_since_is_found_by_the_number_also_after_a_restart(self) -> None:
        traces = self.traces()
        self.note(traces, b"x", b"1", b"2")
        first, last = (message.number for message in traces.since(b"x"))
        self.assertEqual([last], [message.number for message in traces.since(b"x", first)])
        later = Traces(TraceLimits(), lambda: START + timedelta(seconds=1))
        self.note(later, b"x", b"3")
        self.assertEqual([b"3"], [message.head for message in later.since(b"x", last)])

    def test_a_certificate_is_found_by_its_short_fingerprint(self) -> None:
        full = bytes(range(32))
        self.assertEqual(who(None, full), who(None, full[-10:]))

    def test_what_is_said_of_a_message_is_cut_too(self) -> None:
        traces = self.traces()
        traces.note(b"x", "in", b"", verdict="v" * 9999, place="p" * 9999, **TOLD)
        (message,) = traces.since(b"x")
        self.assertEqual(("v" * 497 + "...", "p" * 497 + "..."), (message.verdict, message.place))


class DocumentTests(SynchronousTestCase):
    def test_secrets_are_hidden_whatever_stands_around_them(self) -> None:
        for name in SECRETS:
            for document in (
                "<{0}>TOP</{0}>",
                "<ei:{0}>TOP</ei:{0}>",
                '<a:{0} b="c">\n TOP\n</a:{0} >',
                "<{0}>TOP",
                "<{0}>TOP</",
                "<{0}><![CDATA[TOP]]></{0}>",
                "<{0}><!-- -->TOP</{0}>",
                "<{0}>TOP</other></{0}>",
            ):
                text = kept(document.format(name).encode()).document
                self.assertNotIn("TOP", text)
                self.assertIn("(hidden)", text)

    def test_a_key_is_hidden_with_all_that_is_in_it(self) -> None:
        text = "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>MII</ds:X509Certificate></ds:X509Data></ds:KeyInfo><b>"
        self.assertEqual("<ds:KeyInfo>(hidden)</ds:KeyInfo><b>", kept(text.encode()).document)

    def test_nothing_else_is_hidden(self) -> None:
        for text in (
            "<ei:venID>ven</ei:venID><registrationIDs>1</registrationIDs>",
            "<ei:registrationID/><ei:venID>ven</ei:venID>",
            "<ei:registrationID /><ei:venID>ven</ei:venID>",
        ):
            self.assertEqual(text, kept(text.encode()).document)
        text = "<registrationID>1</registrationID><venID>ven</venID><nonce>2</nonce><x>"
        hidden = "<registrationID>(hidden)</registrationID><venID>ven</venID><nonce>(hidden)</nonce><x>"
        self.assertEqual(hidden, kept(text.encode()).document)

    def test_it_is_fit_for_a_screen(self) -> None:
        self.assertEqual(
            "<a>\n  \\x1b[31m\\u202e\\x00".replace("\\x00", ""), kept("<a>\r\n\t\x1b[31m\u202e".encode()).document
        )
        self.assertEqual("caf\ufffd", kept("café".encode(), message_size=4).document.splitlines()[0])

    def test_what_is_no_utf_8_in_which_no_secret_could_be_found_is_not_shown(self) -> None:
        self.assertEqual("", kept("<registrationID>TOP</registrationID>".encode("utf-16")).document)

    @given(st.text(alphabet="<>/ :n", max_size=200), st.text(alphabet="xyz", min_size=1))
    def test_no_text_around_it_brings_a_secret_out(self, around: str, secret: str) -> None:
        document = f"{around}\n<nonce>{secret}</nonce>"
        self.assertNotIn(f"<nonce>{secret}", kept(document.encode()).document)

    def test_a_hostile_document_takes_no_time_that_grows_by_its_square(self) -> None:
        """Each of these has many beginnings of what is looked for, and no end."""
        for piece in (b"<nonce ", b"<nonce>", b"<a.", b"<nonce></", b"</nonce"):
            document = piece * 200_000
            self.assertTrue(kept(document, message_size=10**7).document)
