"""Fingerprints: known answer, both lengths, everything people write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.security import fingerprint

FULL = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")  # of nothing
SHORT = "93:4C:A4:95:99:1B:78:52:B8:55"

fingerprints = st.binary(min_size=10, max_size=10) | st.binary(min_size=32, max_size=32)


class FingerprintTests(SynchronousTestCase):
    def test_known_answer(self) -> None:
        self.assertEqual(fingerprint.sha256(b""), FULL)
        self.assertEqual(fingerprint.show(fingerprint.short(FULL)), SHORT)

    @given(fingerprints)
    def test_what_is_shown_is_parsed(self, value: bytes) -> None:
        self.assertEqual(fingerprint.parse(fingerprint.show(value)), value)

    def test_case_colons_and_spaces_do_not_matter(self) -> None:
        for text in (SHORT.lower(), SHORT.replace(":", ""), SHORT.replace(":", " "), f" {SHORT}\n"):
            self.assertEqual(fingerprint.parse(text), fingerprint.short(FULL))

    def test_anything_else_is_refused_and_told(self) -> None:
        for text, told in (
            ("", "0 bytes"),
            (SHORT[:-3], "9 bytes"),
            ("00" * 20, "20 bytes"),
            (SHORT[:-1], "pairs of hex digits"),
            ("xx" + SHORT[2:], "pairs of hex digits"),
        ):
            error = self.assertRaises(ValueError, fingerprint.parse, text)
            self.assertIn(told, str(error))

    def test_the_short_form_and_the_full_one_match(self) -> None:
        self.assertTrue(fingerprint.matches(FULL, FULL))
        self.assertTrue(fingerprint.matches(fingerprint.short(FULL), FULL))

    @given(st.binary(max_size=40))
    def test_nothing_else_matches(self, known: bytes) -> None:
        self.assertEqual(fingerprint.matches(known, FULL), known == FULL or known == fingerprint.short(FULL))
        self.assertFalse(fingerprint.matches(FULL[-5:], FULL))
        self.assertFalse(fingerprint.matches(b"", FULL))
