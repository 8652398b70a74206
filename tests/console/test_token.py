"""The token's file: made once, closed to others, and refused where it is not."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console.token import load_token, read_token
from oadrvtn.model.config import ConfigError


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "api-token"

    def refused(self) -> str:
        error = self.assertRaises(ConfigError, load_token, self.path)
        return str(error)

    def test_the_first_start_makes_a_token_that_only_its_owner_may_read(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        token = load_token(self.path)
        self.assertGreaterEqual(len(token), 43)  # 32 bytes in base 64
        self.assertEqual(0o600, self.path.stat().st_mode & 0o777)
        self.assertEqual([self.path], list(self.path.parent.iterdir()))

    def test_later_starts_and_the_client_find_the_same_token(self) -> None:
        token = load_token(self.path)
        self.assertEqual(token, load_token(self.path))
        self.assertEqual(token, read_token(self.path))

    def test_a_file_that_everybody_may_read_is_refused(self) -> None:
        load_token(self.path)
        for mode in (0o604, 0o602, 0o644):
            self.path.chmod(mode)
            self.assertIn("chmod 600", self.refused())
        self.path.chmod(0o640)  # a group of operators
        load_token(self.path)

    def test_a_file_without_a_token_is_refused(self) -> None:
        load_token(self.path)
        for content in (
            b"",
            b"\n",
            b"short",
            b"two words in one file",
            "\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc\u00fc".encode(),
            b"\xff" * 20,
        ):
            self.path.write_bytes(content)
            self.assertIn(str(self.path), self.refused())

    def test_the_client_makes_none_and_says_who_does(self) -> None:
        error = self.assertRaises(ConfigError, read_token, self.path)
        self.assertIn("at its first start", str(error))
        self.assertFalse(self.path.exists())

    def test_a_directory_that_cannot_be_made_is_told(self) -> None:
        top = Path(self.mktemp())
        top.write_text("a file where the directory should be")
        self.path = top / "api-token"
        self.assertIn(str(self.path), self.refused())
